//! Fills of our orders against a captured feed, by their place in the queue.
//!
//! The capture does not know our orders, so nothing here changes it. A resting order is filled by three things only:
//!
//! - a trade at its price, after trades there have consumed the quantity that was displayed before it;
//! - a trade through its price (strictly beyond it), up to the traded quantity;
//! - an opposite quote strictly beyond its price, up to the displayed quantity.
//!
//! It is never filled because a price touched it: an opposite quote at its very price fills nothing until it trades. What a level loses
//! without a trade is shared out by a [`QueuePosition`]; by default the worse is assumed, that it stood behind us, unless less is
//! displayed than was ahead. A trade may be told before the level's change that it caused or after it, and counts once either
//! way. Orders of several owners do not see each other.

use super::order::{CancelReason, Fill, Incoming, OrderNo, OwnerId, RejectReason, Report, SelfTrade, crosses, rank};
use super::position::{QueuePosition, whole_lots};
use crate::book::L2Book;
use crate::types::{Book, BookKind, Level, Lots, Nanos, Side, Ticks, TimeInForce, Top, TopCheck, Trade};

/// Prices in the dense window of a side of the view, and levels outside of it: as the engine's own books.
const WINDOW_TICKS: usize = 16_384;
const FAR_LEVELS_MAX: usize = 16_384;

/// The market of one instrument as a capture shows it, and our orders in it.
pub struct QueueModel {
    position: QueuePosition,
    /// What the capture shows.
    view: L2Book,
    /// What our orders took of levels since the feed last spoke of them: the capture still shows it, but it is gone.
    taken: [Vec<Level>; 2],
    /// Our resting orders per side, best price first, oldest first at a price.
    ours: [Vec<Resting>; 2],
    /// Sequence of the newest book event, to ignore older tops.
    cross_seq: u64,
    version: u64,
}

impl Default for QueueModel {
    fn default() -> Self {
        Self {
            position: QueuePosition::default(),
            view: L2Book::new(WINDOW_TICKS, FAR_LEVELS_MAX),
            taken: Default::default(),
            ours: Default::default(),
            cross_seq: 0,
            version: 0,
        }
    }
}

#[derive(Clone, Copy)]
struct Resting {
    order: Incoming,
    leaves: Lots,
    /// Displayed quantity that must trade before us, in lots and, by a probabilistic model, parts of them.
    front: f64,
    /// How much the newest update of our level lowered `front`. The trades behind that update may be told after it, and must not lower
    /// `front` a second time.
    explained: Lots,
    /// The venue's moment of that update: a trade after it is no part of it.
    told_at: Nanos,
    /// What traded at our price since the level was last told: its next change holds that, and no cancellation.
    traded: Lots,
}

impl QueueModel {
    /// Makes an empty market in which the worse is assumed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty market whose cancellations are shared out by `position`.
    pub fn with_position(position: QueuePosition) -> Self {
        Self { position, ..Self::default() }
    }

    /// Takes an order: fills what is displayed within its limit, level by level, then rests or ends the rest.
    pub fn place(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        let Incoming { no, owner, .. } = *order;
        if order.qty <= Lots::ZERO || order.px <= Ticks::ZERO {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::NotPositive });
        }
        if self.find(no).is_some() {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::Duplicate });
        }
        out.push(Report::Accepted { no, owner });
        self.enter(order, out);
    }

    fn enter(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        let Incoming { no, owner, side, .. } = *order;
        let cancel = |leaves, reason| Report::Cancelled { no, owner, leaves, reason };
        let takes = self.best_available(side.opposite()).is_some_and(|level| order.crosses(level.px));
        if order.tif == TimeInForce::PostOnly && takes {
            return out.push(cancel(order.qty, CancelReason::WouldTake));
        }
        if order.self_trade != SelfTrade::None && self.meets_own(order) {
            if order.self_trade != SelfTrade::CancelTaker {
                self.cancel_met(order, out);
            }
            if order.self_trade != SelfTrade::CancelMaker {
                return out.push(cancel(order.qty, CancelReason::SelfTrade));
            }
        }
        if order.tif == TimeInForce::FillOrKill && self.fillable(order) < order.qty {
            return out.push(cancel(order.qty, CancelReason::NoFullFill));
        }
        let mut leaves = order.qty;
        for shown in self.view.iter(side.opposite()) {
            if leaves.is_zero() || !order.crosses(shown.px) {
                break;
            }
            let taken = &mut self.taken[side.opposite() as usize];
            let qty = leaves.min(available(taken, shown));
            if qty > Lots::ZERO {
                take(taken, shown.px, qty);
                leaves = leaves.saturating_sub(qty);
                out.push(Report::Fill(Fill { no, owner, side, px: shown.px, qty, leaves, is_maker: false }));
                self.version += 1;
            }
        }
        if leaves.is_zero() {
            return;
        }
        if matches!(order.tif, TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill) {
            return out.push(cancel(leaves, CancelReason::NoLiquidity));
        }
        let front = self.shown_qty(side, order.px).get() as f64;
        let orders = &mut self.ours[side as usize];
        let at = orders.partition_point(|other| rank(side, other.order.px) >= rank(side, order.px));
        orders.insert(
            at,
            Resting { order: *order, leaves, front, explained: Lots::ZERO, told_at: Nanos::ZERO, traded: Lots::ZERO },
        );
    }

    /// Changes a resting order, as [`Matching::amend`](super::Matching::amend) does: less at the same price keeps its place.
    pub fn amend(&mut self, no: OrderNo, px: Ticks, leaves: Lots, out: &mut Vec<Report>) {
        let Some((side, at)) = self.find(no) else {
            return out.push(Report::Rejected { no, owner: OwnerId(0), reason: RejectReason::UnknownOrder });
        };
        let orders = &mut self.ours[side as usize];
        let resting = &mut orders[at];
        let owner = resting.order.owner;
        if leaves <= Lots::ZERO || px <= Ticks::ZERO {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::NotPositive });
        }
        out.push(Report::Amended { no, owner, px, leaves });
        if px == resting.order.px && leaves <= resting.leaves {
            resting.leaves = leaves;
        } else {
            let order = orders.remove(at).order;
            self.enter(&Incoming { px, qty: leaves, ..order }, out);
        }
    }

    /// Cancels a resting order; false when there is none of that number.
    pub fn cancel(&mut self, no: OrderNo, reason: CancelReason, out: &mut Vec<Report>) -> bool {
        let Some((side, at)) = self.find(no) else { return false };
        let Resting { order, leaves, .. } = self.ours[side as usize].remove(at);
        out.push(Report::Cancelled { no, owner: order.owner, leaves, reason });
        true
    }

    /// Takes a book event of the capture.
    pub fn on_book(&mut self, book: &Book<'_>, out: &mut Vec<Report>) {
        self.cross_seq = book.cross_seq;
        if book.kind == BookKind::Snapshot {
            self.view.clear();
            self.taken.iter_mut().for_each(Vec::clear);
        }
        for (side, levels) in [(Side::Bid, book.bids), (Side::Ask, book.asks)] {
            if self.ours[side as usize].is_empty() && self.taken[side as usize].is_empty() {
                // Nobody has to be told: the common case, and the fast one.
                levels.iter().for_each(|&level| self.view.set_level(side, level));
                self.version += levels.len() as u64;
                continue;
            }
            for &level in levels {
                self.set_level(side, level, book.meta.venue_ts);
            }
        }
        if book.kind == BookKind::Snapshot {
            // A level that the snapshot does not name is empty, which no `set_level` has told our orders. What was cancelled
            // since the last message cannot be told from what joined.
            let at_venue = book.meta.venue_ts;
            for side in [Side::Bid, Side::Ask] {
                for at in 0..self.ours[side as usize].len() {
                    let px = self.ours[side as usize][at].order.px;
                    let qty = self.shown_qty(side, px);
                    self.ours[side as usize][at].on_level(QueuePosition::Conservative, qty, qty, at_venue);
                }
            }
        }
        self.fill_crossed(out);
    }

    /// Takes the venue's own best bid and offer. One that is older than the book, or of unknown age, is ignored.
    pub fn on_top(&mut self, top: &Top, out: &mut Vec<Report>) {
        if !matches!(top.check, TopCheck::AtOrBefore | TopCheck::SameSeq) || top.meta.seq < self.cross_seq {
            return;
        }
        for (side, best) in [(Side::Bid, top.bid), (Side::Ask, top.ask)] {
            let Some(best) = best else { continue };
            while let Some(shown) = self.view.touch().side(side)
                && rank(side, shown.px) > rank(side, best.px)
            {
                let gone = Level { px: shown.px, qty: Lots::ZERO };
                self.set_level(side, gone, top.meta.venue_ts);
            }
            self.set_level(side, best, top.meta.venue_ts);
        }
        self.fill_crossed(out);
    }

    /// Takes a public trade of the capture.
    pub fn on_trade(&mut self, trade: &Trade, out: &mut Vec<Report>) {
        let side = trade.taker.opposite();
        let mut volume = trade.qty;
        for resting in &mut self.ours[side as usize] {
            let order = resting.order;
            if volume.is_zero() || !crosses(side, order.px, trade.px) {
                break;
            }
            let mut reach = volume;
            if order.px == trade.px {
                if trade.meta.venue_ts > resting.told_at {
                    resting.explained = Lots::ZERO;
                }
                let known = reach.min(resting.explained);
                resting.explained = resting.explained.saturating_sub(known);
                reach = reach.saturating_sub(known);
                resting.traded = resting.traded.saturating_add(reach);
                let consumed = reach.min(resting.ahead());
                resting.front = (resting.front - reach.get() as f64).max(0.0);
                reach = reach.saturating_sub(consumed);
            }
            let qty = reach.min(resting.leaves);
            if qty > Lots::ZERO {
                volume = volume.saturating_sub(qty);
                out.push(resting.fill(qty));
            }
        }
        self.drop_filled(side);
    }

    /// Forgets the market, for a feed that lost its continuity; our orders stay and wait for the next snapshot.
    pub fn clear_view(&mut self) {
        self.view.clear();
        self.taken.iter_mut().for_each(Vec::clear);
        self.cross_seq = 0;
        self.version += 1;
    }

    /// Returns the best displayed level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.view.touch().side(side)
    }

    /// Returns the displayed levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.view.iter(side)
    }

    /// Returns what is left of a resting order.
    pub fn leaves(&self, no: OrderNo) -> Option<Lots> {
        self.find(no).map(|(side, at)| self.ours[side as usize][at].leaves)
    }

    /// Returns the displayed quantity that still has to trade before a resting order.
    pub fn ahead(&self, no: OrderNo) -> Option<Lots> {
        self.find(no).map(|(side, at)| self.ours[side as usize][at].ahead())
    }

    /// Returns the cross sequence of the newest book event.
    pub fn cross_seq(&self) -> u64 {
        self.cross_seq
    }

    /// Returns a number that grows with every change of the displayed market.
    pub fn version(&self) -> u64 {
        self.version
    }

    fn set_level(&mut self, side: Side, level: Level, at_venue: Nanos) {
        self.taken[side as usize].retain(|taken| taken.px != level.px);
        // Best price first: most levels lie beyond our first or our last.
        let ours = &self.ours[side as usize];
        let spans = |first: &Resting, last: &Resting| {
            let range = rank(side, last.order.px)..=rank(side, first.order.px);
            range.contains(&rank(side, level.px))
        };
        if ours.first().zip(ours.last()).is_some_and(|(first, last)| spans(first, last))
            && ours.iter().any(|resting| resting.order.px == level.px)
        {
            let before = self.shown_qty(side, level.px);
            for resting in self.ours[side as usize].iter_mut().filter(|resting| resting.order.px == level.px) {
                resting.on_level(self.position, before, level.qty, at_venue);
            }
        }
        self.view.set_level(side, level);
        self.version += 1;
    }

    fn fill_crossed(&mut self, out: &mut Vec<Report>) {
        for side in [Side::Bid, Side::Ask] {
            // Our best order is first: if the other side's best does not cross it, nothing crosses anything.
            let opposite = self.view.touch().side(side.opposite());
            let best = self.ours[side as usize].first().zip(opposite);
            if !best.is_some_and(|(resting, shown)| resting.order.crosses(shown.px)) {
                continue;
            }
            for resting in &mut self.ours[side as usize] {
                let taken = &mut self.taken[side.opposite() as usize];
                for shown in self.view.iter(side.opposite()) {
                    let beyond = shown.px != resting.order.px && resting.order.crosses(shown.px);
                    if !beyond || resting.leaves.is_zero() {
                        break;
                    }
                    let qty = resting.leaves.min(available(taken, shown));
                    if qty > Lots::ZERO {
                        take(taken, shown.px, qty);
                        out.push(resting.fill(qty));
                    }
                }
            }
            self.drop_filled(side);
        }
    }

    fn drop_filled(&mut self, side: Side) {
        self.ours[side as usize].retain(|resting| !resting.leaves.is_zero());
    }

    fn meets_own(&self, order: &Incoming) -> bool {
        self.ours[order.side.opposite() as usize]
            .iter()
            .any(|resting| resting.order.owner == order.owner && order.crosses(resting.order.px))
    }

    fn cancel_met(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        self.ours[order.side.opposite() as usize].retain(|resting| {
            let met = resting.order.owner == order.owner && order.crosses(resting.order.px);
            if met {
                out.push(Report::Cancelled {
                    no: resting.order.no,
                    owner: resting.order.owner,
                    leaves: resting.leaves,
                    reason: CancelReason::SelfTrade,
                });
            }
            !met
        });
    }

    fn fillable(&self, order: &Incoming) -> Lots {
        let side = order.side.opposite();
        let crossed = self.view.iter(side).take_while(|shown| order.crosses(shown.px));
        crossed.fold(Lots::ZERO, |sum, shown| sum.saturating_add(available(&self.taken[side as usize], shown)))
    }

    fn best_available(&self, side: Side) -> Option<Level> {
        let taken = &self.taken[side as usize];
        let left = |shown: Level| Level { qty: available(taken, shown), ..shown };
        self.view.iter(side).map(left).find(|level| level.qty > Lots::ZERO)
    }

    fn shown_qty(&self, side: Side, px: Ticks) -> Lots {
        self.view.qty_at(side, px)
    }

    fn find(&self, no: OrderNo) -> Option<(Side, usize)> {
        [Side::Bid, Side::Ask].into_iter().find_map(|side| {
            let at = self.ours[side as usize].iter().position(|resting| resting.order.no == no)?;
            Some((side, at))
        })
    }
}

/// What is left of a displayed level after what our orders took.
fn available(taken: &[Level], shown: Level) -> Lots {
    let gone = taken.iter().find(|taken| taken.px == shown.px).map_or(Lots::ZERO, |taken| taken.qty);
    shown.qty.saturating_sub(gone).max(Lots::ZERO)
}

fn take(taken: &mut Vec<Level>, px: Ticks, qty: Lots) {
    match taken.iter_mut().find(|taken| taken.px == px) {
        Some(found) => found.qty = found.qty.saturating_add(qty),
        None => taken.push(Level { px, qty }),
    }
}

impl Resting {
    /// Whole lots that must trade before us.
    fn ahead(&self) -> Lots {
        whole_lots(self.front)
    }

    /// Our level goes from `before` to `after`; what traded since it was last told is no cancellation.
    fn on_level(&mut self, position: QueuePosition, before: Lots, after: Lots, at_venue: Nanos) {
        let ahead = self.ahead();
        let before = before.saturating_sub(self.traded).max(after.min(before));
        self.front = position.after_change(self.front, before.get() as f64, after.get().max(0) as f64);
        self.explained = ahead.saturating_sub(self.ahead());
        (self.traded, self.told_at) = (Lots::ZERO, at_venue);
    }

    fn fill(&mut self, qty: Lots) -> Report {
        let Incoming { no, owner, side, px, .. } = self.order;
        self.leaves = self.leaves.saturating_sub(qty);
        Report::Fill(Fill { no, owner, side, px, qty, leaves: self.leaves, is_maker: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Meta;
    use proptest::prelude::*;

    fn level(px: i64, qty: i64) -> Level {
        Level { px: Ticks::new(px), qty: Lots::new(qty) }
    }

    fn book(kind: BookKind, bids: &[(i64, i64)], asks: &[(i64, i64)], model: &mut QueueModel) -> Vec<Report> {
        let bids: Vec<_> = bids.iter().map(|&(px, qty)| level(px, qty)).collect();
        let asks: Vec<_> = asks.iter().map(|&(px, qty)| level(px, qty)).collect();
        let mut out = Vec::new();
        model.on_book(&Book { meta: Meta::default(), kind, cross_seq: 1, bids: &bids, asks: &asks }, &mut out);
        out
    }

    fn delta(model: &mut QueueModel, bids: &[(i64, i64)], asks: &[(i64, i64)]) -> Vec<Report> {
        book(BookKind::Delta, bids, asks, model)
    }

    fn trade(model: &mut QueueModel, taker: Side, px: i64, qty: i64) -> Vec<Report> {
        let mut out = Vec::new();
        let trade = Trade { meta: Meta::default(), taker, px: Ticks::new(px), qty: Lots::new(qty) };
        model.on_trade(&trade, &mut out);
        out
    }

    fn place(model: &mut QueueModel, no: u64, side: Side, px: i64, qty: i64, tif: TimeInForce) -> Vec<Report> {
        let mut out = Vec::new();
        let order = Incoming {
            no: OrderNo(no),
            owner: OwnerId(1),
            side,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            tif,
            self_trade: SelfTrade::CancelTaker,
        };
        model.place(&order, &mut out);
        out
    }

    fn fills(reports: &[Report]) -> Vec<(u64, i64, i64, bool)> {
        let fill = |report: &Report| match report {
            Report::Fill(fill) => Some((fill.no.0, fill.px.get(), fill.qty.get(), fill.is_maker)),
            _ => None,
        };
        reports.iter().filter_map(fill).collect()
    }

    fn market() -> QueueModel {
        let mut model = QueueModel::new();
        book(BookKind::Snapshot, &[(100, 10), (99, 20)], &[(102, 5), (103, 7)], &mut model);
        model
    }

    const GTC: TimeInForce = TimeInForce::GoodTillCancel;

    #[test]
    fn a_resting_order_fills_after_the_quantity_ahead_has_traded() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 100, 4, GTC);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(10)));
        assert_eq!(fills(&trade(&mut model, Side::Ask, 100, 9)), []);
        assert_eq!(fills(&trade(&mut model, Side::Bid, 100, 50)), [], "buyers do not hit bids");
        assert_eq!(fills(&trade(&mut model, Side::Ask, 100, 3)), [(1, 100, 2, true)]);
        assert_eq!(fills(&trade(&mut model, Side::Ask, 100, 3)), [(1, 100, 2, true)]);
        assert_eq!(model.leaves(OrderNo(1)), None);
    }

    #[test]
    fn a_touch_fills_nothing() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 101, 4, GTC);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::ZERO));
        assert_eq!(fills(&delta(&mut model, &[(101, 3)], &[])), []);
        assert_eq!(fills(&delta(&mut model, &[(101, 0)], &[(101, 8)])), [], "an ask at our bid's price has not traded");
        assert_eq!(fills(&trade(&mut model, Side::Ask, 102, 3)), []);
    }

    #[test]
    fn a_trade_through_and_a_crossing_quote_fill_at_our_price_up_to_what_was_there() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 100, 9, GTC);
        assert_eq!(fills(&trade(&mut model, Side::Ask, 99, 2)), [(1, 100, 2, true)]);
        assert_eq!(fills(&delta(&mut model, &[(100, 0)], &[(99, 3)])), [(1, 100, 3, true)]);
        assert_eq!(fills(&delta(&mut model, &[(98, 1)], &[])), [], "the three are gone until the level is updated");
        assert_eq!(fills(&delta(&mut model, &[], &[(99, 1)])), [(1, 100, 1, true)]);
    }

    #[test]
    fn less_displayed_caps_what_is_ahead_and_its_trades_do_not_count_twice() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 100, 4, GTC);
        delta(&mut model, &[(100, 30)], &[]);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(10)), "others join behind us");
        delta(&mut model, &[(100, 25)], &[]);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(10)), "whoever leaves was behind us");
        delta(&mut model, &[(100, 6)], &[]);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(6)));
        assert_eq!(fills(&trade(&mut model, Side::Ask, 100, 4)), []);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(6)), "the book told of these four before");
        trade(&mut model, Side::Ask, 100, 4);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(2)));
        book(BookKind::Snapshot, &[(99, 1)], &[(102, 1)], &mut model);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::ZERO));
    }

    #[test]
    fn our_orders_at_one_price_share_a_trade_in_order() {
        let mut model = market();
        place(&mut model, 1, Side::Ask, 102, 2, GTC);
        place(&mut model, 2, Side::Ask, 102, 2, GTC);
        place(&mut model, 3, Side::Ask, 101, 1, GTC);
        assert_eq!(
            fills(&trade(&mut model, Side::Bid, 102, 9)),
            [(3, 101, 1, true), (1, 102, 2, true), (2, 102, 1, true)]
        );
    }

    #[test]
    fn a_marketable_order_takes_level_by_level_and_what_it_took_is_gone() {
        let mut model = market();
        assert_eq!(fills(&place(&mut model, 1, Side::Bid, 103, 8, GTC)), [(1, 102, 5, false), (1, 103, 3, false)]);
        assert_eq!(
            fills(&place(&mut model, 2, Side::Bid, 110, 8, TimeInForce::ImmediateOrCancel)),
            [(2, 103, 4, false)]
        );
        assert!(matches!(
            place(&mut model, 3, Side::Bid, 110, 1, TimeInForce::FillOrKill)[..],
            [Report::Accepted { .. }, Report::Cancelled { reason: CancelReason::NoFullFill, .. }]
        ));
        delta(&mut model, &[], &[(102, 1)]);
        assert!(matches!(
            place(&mut model, 4, Side::Bid, 102, 1, TimeInForce::PostOnly)[..],
            [Report::Accepted { .. }, Report::Cancelled { reason: CancelReason::WouldTake, .. }]
        ));
        assert_eq!(fills(&place(&mut model, 5, Side::Bid, 102, 1, TimeInForce::FillOrKill)), [(5, 102, 1, false)]);
    }

    #[test]
    fn less_at_the_same_price_keeps_the_place() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 100, 4, GTC);
        trade(&mut model, Side::Ask, 100, 5);
        let mut out = Vec::new();
        model.amend(OrderNo(1), Ticks::new(100), Lots::new(3), &mut out);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(5)));
        model.amend(OrderNo(1), Ticks::new(100), Lots::new(4), &mut out);
        assert_eq!(model.ahead(OrderNo(1)), Some(Lots::new(10)));
        model.amend(OrderNo(1), Ticks::new(102), Lots::new(4), &mut out);
        assert_eq!(fills(&out), [(1, 102, 4, false)]);
    }

    #[test]
    fn a_top_newer_than_the_book_moves_the_market() {
        let mut model = market();
        place(&mut model, 1, Side::Bid, 100, 4, GTC);
        let top = |seq, check| Top {
            meta: Meta { seq, ..Meta::default() },
            check,
            bid: Some(level(98, 1)),
            ask: Some(level(99, 3)),
        };
        let mut out = Vec::new();
        model.on_top(&top(0, TopCheck::SameSeq), &mut out);
        model.on_top(&top(2, TopCheck::PriceAtArrival), &mut out);
        assert_eq!(fills(&out), []);
        model.on_top(&top(2, TopCheck::SameSeq), &mut out);
        assert_eq!(fills(&out), [(1, 100, 3, true)]);
        assert_eq!(model.best(Side::Bid), Some(level(98, 1)));
    }

    #[test]
    fn a_cancellation_moves_a_probable_place_and_a_trade_counts_once_whenever_it_is_told() {
        let placed = || {
            let mut model = QueueModel::with_position("power:1".parse().unwrap());
            book(BookKind::Snapshot, &[(100, 30)], &[(102, 5)], &mut model);
            place(&mut model, 1, Side::Bid, 100, 4, GTC);
            // Ten join behind us.
            delta(&mut model, &[(100, 40)], &[]);
            model
        };
        let ahead = |model: &QueueModel| model.ahead(OrderNo(1)).unwrap().get();
        let mut cancelled = placed();
        delta(&mut cancelled, &[(100, 32)], &[]);
        assert_eq!(ahead(&cancelled), 24, "three of four stood ahead");
        // The same decrease by a trade: all of it was ahead, whether the trade is told first or last.
        let mut first = placed();
        trade(&mut first, Side::Ask, 100, 8);
        delta(&mut first, &[(100, 32)], &[]);
        let mut last = placed();
        delta(&mut last, &[(100, 32)], &[]);
        trade(&mut last, Side::Ask, 100, 8);
        assert_eq!((ahead(&first), ahead(&last)), (22, 22));
        // A trade that is later by the venue's clock is none of the level's last change.
        let later = Meta { venue_ts: Nanos::new(5), ..Meta::default() };
        let trade_later = Trade { meta: later, taker: Side::Ask, px: Ticks::new(100), qty: Lots::new(8) };
        cancelled.on_trade(&trade_later, &mut Vec::new());
        assert_eq!(ahead(&cancelled), 24 - 8);
        // Both: eight traded and eight were cancelled, six of those ahead of us by the places before.
        let mut both = placed();
        trade(&mut both, Side::Ask, 100, 8);
        delta(&mut both, &[(100, 24)], &[]);
        assert_eq!(ahead(&both), 22 - 6);
        assert_eq!(
            fills(&trade(&mut both, Side::Ask, 100, 6 + 16 + 3)),
            [(1, 100, 3, true)],
            "six may be what the level told"
        );
    }

    proptest! {
        /// On the same tape the conservative place is the last one: whatever it has filled, the others have filled.
        #[test]
        fn nobody_is_filled_later_than_the_conservative_one(
            halves in 1u8..=20,
            kind in 0usize..3,
            steps in proptest::collection::vec((any::<bool>(), 0i64..60), 1..80),
        ) {
            let n = crate::sim::position::Exponent::halves(halves).unwrap();
            let position = [QueuePosition::Power(n), QueuePosition::PowerOfSum(n), QueuePosition::PowerOfShare(n)][kind];
            let mut models = [QueueModel::new(), QueueModel::with_position(position)];
            for model in &mut models {
                book(BookKind::Snapshot, &[(100, 30)], &[(102, 5)], model);
                place(model, 1, Side::Bid, 100, 10, TimeInForce::PostOnly);
            }
            for (is_trade, amount) in steps {
                for model in &mut models {
                    if is_trade { trade(model, Side::Ask, 100, amount); } else { delta(model, &[(100, amount)], &[]); }
                }
                let [slow, quick] = [0, 1].map(|at: usize| models[at].leaves(OrderNo(1)).map_or(0, Lots::get));
                prop_assert!(quick <= slow, "{quick} left of the probable one, {slow} of the conservative one");
                let [slow, quick] = [0, 1].map(|at: usize| models[at].ahead(OrderNo(1)).map_or(0, Lots::get));
                prop_assert!(quick <= slow, "{quick} {slow} ahead");
            }
        }

        /// What can never be: a fill without a trade at or through our price and without an opposite quote beyond it.
        #[test]
        fn resting_fills_are_bounded_by_what_traded_or_crossed(
            px in 95i64..105,
            qty in 1i64..40,
            steps in proptest::collection::vec((0u8..3, any::<bool>(), 90i64..110, 0i64..20), 1..60),
        ) {
            let mut model = market();
            let placed = place(&mut model, 1, Side::Bid, px, qty, TimeInForce::PostOnly);
            // One that would have taken is gone at once.
            let qty = if placed.len() == 1 { qty } else { 0 };
            let mut left = qty;
            let ahead = model.ahead(OrderNo(1)).map_or(0, Lots::get);
            let (mut traded_at, mut traded_through, mut shown_beyond) = (0, 0, 0);
            let mut least_shown = ahead;
            for (what, buy, at, amount) in steps {
                let reports = match what {
                    0 => {
                        if !buy && at == px { traded_at += amount; }
                        if !buy && at < px { traded_through += amount; }
                        trade(&mut model, if buy { Side::Bid } else { Side::Ask }, at, amount)
                    }
                    _ if buy => {
                        if at == px { least_shown = least_shown.min(amount); }
                        delta(&mut model, &[(at, amount)], &[])
                    }
                    _ => {
                        if at < px { shown_beyond += amount; }
                        delta(&mut model, &[], &[(at, amount)])
                    }
                };
                for (_, fill_px, fill_qty, is_maker) in fills(&reports) {
                    prop_assert!(is_maker && fill_px == px, "a resting order fills at its own price");
                    left -= fill_qty;
                }
                let at_price = (traded_at - least_shown.max(0)).max(0);
                prop_assert!(left >= 0 && qty - left <= at_price + traded_through + shown_beyond);
                prop_assert_eq!(model.leaves(OrderNo(1)).map_or(0, Lots::get), left);
            }
        }
    }
}
