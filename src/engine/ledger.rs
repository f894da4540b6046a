//! Executions in the venue's order, whatever the order of their arrival.
//!
//! Average cost depends on the order: selling before a cheaper purchase realises another profit than selling after it. An
//! execution that was lost on the stream and is read later has its place before others that were booked meanwhile. So the
//! newest executions are kept beside what was before them, and a late one is put in its place and the rest booked anew.

use std::collections::VecDeque;

use super::portfolio::Holding;
use crate::book::Touch;
use crate::types::{Fill, InstrumentSpec, Money, Nanos};

/// Executions that can still be put into their order. One that is older than all of them is booked as the oldest.
const TAIL: usize = 64;

struct Booked {
    /// The venue's moment and its number.
    key: (Nanos, u64),
    fill: Fill,
    touch: Touch,
}

/// The newest executions of one instrument.
pub(crate) struct Ledger {
    base: Holding,
    tail: VecDeque<Booked>,
}

impl Ledger {
    pub fn new() -> Self {
        Self { base: Holding::default(), tail: VecDeque::with_capacity(TAIL) }
    }

    /// Starts from what is held.
    pub fn begin(&mut self, holding: &Holding) {
        self.base = *holding;
        self.tail.clear();
    }

    /// Books an execution into `holding` at its place in the venue's order.
    ///
    /// # Cost
    /// Constant in order; up to [`TAIL`] bookings for a late one. Does not allocate.
    pub fn book(&mut self, holding: &mut Holding, spec: &InstrumentSpec, fill: &Fill, touch: &Touch) {
        if self.tail.len() == TAIL
            && let Some(oldest) = self.tail.pop_front()
        {
            self.base.on_fill(spec, &oldest.fill, &oldest.touch);
        }
        let key = (fill.meta.venue_ts, fill.meta.seq);
        let at = self.tail.partition_point(|booked| booked.key <= key);
        self.tail.insert(at, Booked { key, fill: *fill, touch: *touch });
        if at + 1 == self.tail.len() {
            return holding.on_fill(spec, fill, touch);
        }
        *holding = self.base;
        for booked in &self.tail {
            holding.on_fill(spec, &booked.fill, &booked.touch);
        }
    }

    /// Books a funding payment, which moves no cost and so has no place among the executions.
    pub fn pay_funding(&mut self, holding: &mut Holding, paid: Money) {
        for it in [&mut self.base, holding] {
            it.funding = it.funding.saturating_add(paid);
        }
    }

    /// The venue told a fee that had been estimated: `difference` is what it is more.
    pub fn correct_fee(&mut self, holding: &mut Holding, difference: Money) {
        for it in [&mut self.base, holding] {
            it.fees = it.fees.saturating_add(difference);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{ClientOrderId, Lots, Meta, Product, Side, Step, Symbol, Ticks, VenueId};

    fn spec() -> InstrumentSpec {
        let step = |s: &str| Step::from_text(s.as_bytes()).unwrap();
        let symbol = Symbol::new(b"X").unwrap();
        InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap()
    }

    proptest! {
        /// Any order of arrival within the tail gives the holding of the venue's order, estimated fees included.
        #[test]
        fn order_of_arrival_does_not_matter(
            fills in proptest::collection::vec((any::<bool>(), 900i64..1100, 1i64..50, 0usize..30), 1..120)
        ) {
            let (spec, touch) = (spec(), Touch::default());
            let fill = |idx: usize, &(is_buy, px, qty, _): &(bool, i64, i64, usize)| Fill {
                meta: Meta { venue_ts: Nanos::new(idx as u64 / 3), seq: idx as u64, ..Meta::default() },
                client_id: ClientOrderId(1),
                exec_id: idx as u128,
                side: if is_buy { Side::Bid } else { Side::Ask },
                is_maker: true,
                px: Ticks::new(px),
                qty: Lots::new(qty),
                fee: Money::new(3),
                is_fee_final: idx.is_multiple_of(2),
                is_query: false,
                venue_order_id: 0,
            };
            let in_order: Vec<Fill> = fills.iter().enumerate().map(|(idx, it)| fill(idx, it)).collect();
            let mut expected = Holding::default();
            in_order.iter().for_each(|fill| expected.on_fill(&spec, fill, &touch));
            // Each arrives up to 29 places late.
            let mut late: Vec<(usize, Fill)> =
                in_order.iter().enumerate().map(|(idx, fill)| (idx + fills[idx].3, *fill)).collect();
            late.sort_by_key(|(at, _)| *at);
            let (mut ledger, mut holding) = (Ledger::new(), Holding::default());
            for (_, fill) in &late {
                ledger.book(&mut holding, &spec, fill, &touch);
                if !fill.is_fee_final {
                    ledger.correct_fee(&mut holding, Money::new(4));
                    expected.fees = expected.fees.saturating_add(Money::new(4));
                }
            }
            prop_assert_eq!(holding, expected);
        }
    }
}
