//! What the guard does once an engine is fenced: cancels until nothing can be open any more, and then, if it is to, closes
//! every position.
//!
//! Thread: the cancelling one. Blocks: through its [`Desk`], which has the venue, the clock and the waiting; in tests all
//! three are virtual.
//!
//! The order matters. An order of the engine that is still under way, or one that rests, could open anew what was closed, so
//! the first closing order goes out only after the [`Sweep`] is done; and whenever orders turn up later, they are cancelled
//! before the next one.
//!
//! Closing orders only reduce and are immediate-or-cancel. That is why an outcome that is not known, a time-out of a create,
//! needs no more than to ask for the positions again before the next order: if both came through, the second one finds no
//! more than what is left of the position, and neither can turn it over or rest. So that a late one does not meet the position
//! of a next engine either, it is over only when such an order has become too old for the venue.

use super::flatten::{CloseOrder, CloseTerms, Held, Quote};
use super::{Next, Sweep};
use crate::types::Nanos;

/// Pause between two rounds of closing, and between two orders of one round: each of the venue's questions stays below its
/// ordinary limit of 10 a second.
const CLOSE_PAUSE_NS: u64 = 120_000_000;

/// First and longest pause after a round with a failure: as the [`Sweep`]'s.
const FAILED_PAUSE_NS: [u64; 2] = [100_000_000, 2_000_000_000];

/// The venue and the clock, as far as acting needs them. Each failure is a text for people, and is tried again.
pub trait Desk {
    /// Cancels everything that is guarded and returns how much; `round` counts from 0.
    ///
    /// # Errors
    /// What the venue said.
    fn cancel(&mut self, round: usize) -> Result<usize, String>;

    /// Counts the open orders of everything that is guarded.
    ///
    /// # Errors
    /// What the venue said.
    fn open_orders(&mut self) -> Result<usize, String>;

    /// Positions of the guarded contracts that are not flat.
    ///
    /// # Errors
    /// What the venue said.
    fn held(&mut self) -> Result<Vec<Held>, String>;

    /// Steps of a position's contract, and the best price there is now to close it at.
    ///
    /// # Errors
    /// What the venue said.
    fn quote(&mut self, held: &Held) -> Result<Quote, String>;

    /// Sends a closing order.
    ///
    /// # Errors
    /// [`NotClosed`].
    fn close(&mut self, order: &CloseOrder) -> Result<(), NotClosed>;

    /// After a failure: puts right what may have caused it.
    fn recover(&mut self);

    /// Whether another engine trades the account by now: its positions are its own.
    fn is_taken_over(&self) -> bool;

    /// Now.
    fn now(&self) -> Nanos;

    /// Waits.
    fn pause(&mut self, pause_ns: u64);

    /// Tells what was done.
    fn tell(&mut self, step: Step);
}

/// Why a closing order was not taken, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotClosed {
    /// For people.
    pub text: String,
    /// Whether it may have come through, or may yet.
    pub may_arrive: bool,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something failed and is tried again.
    Trouble(String),
    /// So many orders were cancelled.
    Cancelled(usize),
    /// The venue shows no open order, for the first time.
    NoneOpen,
    /// The sweep is over: these positions are to be closed.
    Closing(Vec<Held>),
    /// A closing order goes out.
    Order(CloseOrder),
    /// How the closing ended.
    Closed(Closed),
}

/// How the closing ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The venue shows no position.
    Flat,
    /// Time was up, and these are left.
    Left(Vec<Held>),
    /// Time was up, and the venue did not say what is left.
    Unknown,
    /// Another engine trades by now.
    TakenOver,
}

/// Cancels, and then closes positions if there are terms for it.
pub fn act(desk: &mut impl Desk, not_before: Nanos, closing: Option<&CloseTerms>) {
    sweep(desk, not_before);
    if let Some(terms) = closing {
        let closed = close_all(desk, terms);
        desk.tell(Step::Closed(closed));
    }
}

/// Cancels until nothing that could be open is: see [`Sweep`].
fn sweep(desk: &mut impl Desk, not_before: Nanos) {
    let mut sweep = Sweep::new(not_before);
    let mut was_zero = false;
    for round in 0.. {
        let cancelled = desk.cancel(round);
        if let Ok(count @ 1..) = cancelled {
            desk.tell(Step::Cancelled(count));
        }
        let open = match cancelled {
            Ok(_) => desk.open_orders(),
            Err(text) => Err(text),
        };
        if let Ok(0) = open
            && !std::mem::replace(&mut was_zero, true)
        {
            desk.tell(Step::NoneOpen);
        }
        if let Err(text) = &open {
            desk.tell(Step::Trouble(text.clone()));
            desk.recover();
        }
        match sweep.after(desk.now(), open.ok()) {
            Next::Again(pause_ns) => desk.pause(pause_ns),
            Next::Done => return,
        }
    }
}

/// Closes every position, until the venue shows none or time is up.
fn close_all(desk: &mut impl Desk, terms: &CloseTerms) -> Closed {
    let until = desk.now().saturating_add(terms.within_ns);
    let mut failed_pause_ns = FAILED_PAUSE_NS[0];
    // Until then an order whose outcome is not known may arrive: it must not meet the position of a next engine.
    let mut doubt_until = desk.now();
    let mut is_told = false;
    let mut unable = String::new();
    loop {
        if desk.is_taken_over() {
            return Closed::TakenOver;
        }
        let found = look(desk);
        // Asked before the clock: what is left is what was there when time was up.
        let now = desk.now();
        let (is_over, is_certain) = (now >= until, now >= doubt_until);
        let outcome = match found {
            Ok(Some(held)) if held.is_empty() && is_certain => return Closed::Flat,
            Ok(Some(held)) if is_over && is_certain => return Closed::Left(held),
            Ok(Some(held)) if !is_over && !held.is_empty() => {
                if !std::mem::replace(&mut is_told, true) {
                    desk.tell(Step::Closing(held.clone()));
                }
                let round = close_round(desk, &held, terms, until);
                doubt_until = doubt_until.max(round.doubt_until);
                // The same every round, maybe: told once.
                if round.unable != unable && !round.unable.is_empty() {
                    desk.tell(Step::Trouble(round.unable.clone()));
                }
                unable = round.unable;
                round.failure.map_or(Ok(()), Err)
            }
            _ if is_over && is_certain => return Closed::Unknown,
            Ok(_) => Ok(()),
            Err(text) => Err(text),
        };
        let mut pause_ns = CLOSE_PAUSE_NS;
        if let Err(text) = outcome {
            desk.tell(Step::Trouble(text));
            desk.recover();
            pause_ns = failed_pause_ns;
            failed_pause_ns = (failed_pause_ns * 2).min(FAILED_PAUSE_NS[1]);
        } else {
            failed_pause_ns = FAILED_PAUSE_NS[0];
        }
        // A long pause must not put off the last look; a short one lets the venue book what it has just filled.
        let left_ns = until.saturating_since(desk.now()).max(CLOSE_PAUSE_NS);
        desk.pause(pause_ns.min(left_ns));
    }
}

/// The positions, if no order is open; orders that turned up are cancelled instead.
fn look(desk: &mut impl Desk) -> Result<Option<Vec<Held>>, String> {
    if desk.open_orders()? == 0 {
        return desk.held().map(Some);
    }
    let count = desk.cancel(0)?;
    desk.tell(Step::Cancelled(count));
    Ok(None)
}

/// What came of one round of orders.
#[derive(Default)]
struct Round {
    /// Positions for which there is no order, and why.
    unable: String,
    /// The first request that failed.
    failure: Option<String>,
    /// Until then an order whose outcome is not known may arrive.
    doubt_until: Nanos,
}

/// One order for each position, at the prices of now. One that cannot be closed does not keep the others.
fn close_round(desk: &mut impl Desk, held: &[Held], terms: &CloseTerms, until: Nanos) -> Round {
    let mut round = Round::default();
    for (idx, held) in held.iter().enumerate() {
        if idx > 0 {
            desk.pause(CLOSE_PAUSE_NS);
        }
        let done = desk.quote(held).and_then(|quote| {
            // Prices took a while to come.
            if desk.is_taken_over() || desk.now() >= until {
                return Ok(());
            }
            let order = match CloseOrder::of(held, &quote, terms.slippage) {
                Ok(order) => order,
                Err(why) => {
                    let and = if round.unable.is_empty() { "" } else { "; " };
                    round.unable += &format!("{and}{}: {why}", held.symbol);
                    return Ok(());
                }
            };
            desk.tell(Step::Order(order));
            desk.close(&order).map_err(|NotClosed { text, may_arrive }| {
                if may_arrive {
                    round.doubt_until = desk.now().saturating_add(terms.doubt_ns);
                }
                text
            })
        });
        if let Err(text) = done {
            round.failure.get_or_insert(format!("{}: {text}", held.symbol));
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InstrumentSpec, Lots, Money, Product, Rate, Side, Step as Size, Symbol, VenueId};

    const MS: u64 = 1_000_000;
    const TERMS: CloseTerms =
        CloseTerms { slippage: Rate::new(1_000_000), within_ns: 2_000 * MS, doubt_ns: 6_500 * MS };

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Asked {
        Cancel,
        Orders,
        Held,
        Close(Side, i64, i64),
    }

    /// What becomes of a closing order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fate {
        /// It fills up to so many lots.
        Fills(i64),
        /// It fills up to so many lots, and the answer is lost.
        Lost(i64),
        /// The venue refuses.
        Refused,
    }

    /// A venue with one contract, on virtual time: every request takes a millisecond.
    struct Toy {
        now: u64,
        /// Orders that are open, and when more of them arrive.
        open: usize,
        arrive_at: Vec<u64>,
        lots: i64,
        best: Option<i64>,
        fates: Vec<Fate>,
        /// From then on another engine trades.
        taken_over_at: u64,
        deaf_until: u64,
        asked: Vec<(u64, Asked)>,
        told: Vec<Step>,
    }

    impl Toy {
        fn new(lots: i64) -> Self {
            Self {
                now: 0,
                open: 0,
                arrive_at: Vec::new(),
                lots,
                best: Some(1_000),
                fates: Vec::new(),
                taken_over_at: u64::MAX,
                deaf_until: 0,
                asked: Vec::new(),
                told: Vec::new(),
            }
        }

        fn spec() -> InstrumentSpec {
            let step = Size::from_text(b"1").unwrap();
            let symbol = Symbol::new(b"XUSDT").unwrap();
            let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap();
            InstrumentSpec { max_qty: Lots::new(10), ..spec }
        }

        fn asks(&mut self, what: Asked) -> Result<(), String> {
            self.asked.push((self.now, what));
            self.now += MS;
            let now = self.now;
            let before = self.arrive_at.len();
            self.arrive_at.retain(|at| *at > now);
            self.open += before - self.arrive_at.len();
            if self.now < self.deaf_until { Err("no answer".to_owned()) } else { Ok(()) }
        }

        fn closes(&self) -> Vec<(u64, Side, i64, i64)> {
            let close = |(at, asked): &(u64, Asked)| match *asked {
                Asked::Close(side, px, qty) => Some((*at, side, px, qty)),
                _ => None,
            };
            self.asked.iter().filter_map(close).collect()
        }
    }

    impl Desk for Toy {
        fn cancel(&mut self, _: usize) -> Result<usize, String> {
            self.asks(Asked::Cancel)?;
            Ok(std::mem::take(&mut self.open))
        }

        fn open_orders(&mut self) -> Result<usize, String> {
            self.asks(Asked::Orders)?;
            Ok(self.open)
        }

        fn held(&mut self) -> Result<Vec<Held>, String> {
            self.asks(Asked::Held)?;
            let held =
                Held { symbol: Self::spec().symbol, size: Money::ONE.saturating_mul(self.lots), is_one_way: true };
            Ok(if self.lots == 0 { Vec::new() } else { vec![held] })
        }

        fn quote(&mut self, _: &Held) -> Result<Quote, String> {
            self.now += MS;
            let best_px = self.best.map(|px| Money::ONE.saturating_mul(px));
            Ok(Quote { spec: Self::spec(), best_px })
        }

        fn close(&mut self, order: &CloseOrder) -> Result<(), NotClosed> {
            let asked = Asked::Close(order.side, order.px.get(), order.qty.get());
            let not_closed = |text: &str, may_arrive| Err(NotClosed { text: text.to_owned(), may_arrive });
            if self.asks(asked).is_err() {
                return not_closed("no answer", true);
            }
            assert_eq!(self.open, 0, "an order is open beside it");
            assert_eq!(order.side == Side::Ask, self.lots > 0);
            let fate = if self.fates.is_empty() { Fate::Fills(i64::MAX) } else { self.fates.remove(0) };
            let mut fill = |most: i64| self.lots -= self.lots.signum() * order.qty.get().min(most).min(self.lots.abs());
            match fate {
                Fate::Fills(most) => {
                    fill(most);
                    Ok(())
                }
                Fate::Lost(most) => {
                    fill(most);
                    not_closed("no answer", true)
                }
                Fate::Refused => not_closed("refused", false),
            }
        }

        fn recover(&mut self) {
            self.now += MS;
        }

        fn is_taken_over(&self) -> bool {
            self.now >= self.taken_over_at
        }

        fn now(&self) -> Nanos {
            Nanos::new(self.now)
        }

        fn pause(&mut self, pause_ns: u64) {
            self.now += pause_ns;
        }

        fn tell(&mut self, step: Step) {
            self.told.push(step);
        }
    }

    #[test]
    fn it_cancels_first_and_closes_only_when_nothing_can_arrive_any_more() {
        let mut toy = Toy::new(7);
        (toy.open, toy.arrive_at) = (3, vec![900 * MS, 4_000 * MS]);
        act(&mut toy, Nanos::new(6_500 * MS), Some(&TERMS));
        assert_eq!(toy.asked[0].1, Asked::Cancel);
        let [(at, side, px, qty)] = toy.closes()[..] else { panic!("{:?}", toy.asked) };
        assert_eq!((side, px, qty), (Side::Ask, 990, 7));
        assert!(at >= 6_500 * MS, "{at}");
        let before = toy.asked.iter().take_while(|(when, _)| *when < at);
        let looks: Vec<Asked> = before.map(|(_, asked)| *asked).collect();
        assert!(looks.ends_with(&[Asked::Cancel, Asked::Orders, Asked::Orders, Asked::Held]), "{looks:?}");
        assert!(!looks[..looks.len() - 1].contains(&Asked::Held), "nobody asks what is held before");
        let cancelled: usize =
            toy.told.iter().map(|step| if let Step::Cancelled(count) = step { *count } else { 0 }).sum();
        assert_eq!((cancelled, toy.lots), (5, 0));
        assert_eq!(toy.told.last(), Some(&Step::Closed(Closed::Flat)));
    }

    #[test]
    fn without_terms_positions_stay() {
        let mut toy = Toy::new(-7);
        act(&mut toy, Nanos::ZERO, None);
        assert!(toy.asked.iter().all(|(_, asked)| matches!(asked, Asked::Cancel | Asked::Orders)));
        assert_eq!((toy.lots, &toy.told[..]), (-7, &[Step::NoneOpen][..]));
    }

    #[test]
    fn an_order_that_turns_up_late_is_cancelled_before_the_next_closing_order() {
        let mut toy = Toy::new(-8);
        toy.fates = vec![Fate::Fills(3)];
        // After the first closing order, before the second.
        toy.arrive_at = vec![60 * MS];
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
        let asked: Vec<Asked> = toy.asked.iter().map(|(_, asked)| *asked).collect();
        let [first, second] = [Asked::Close(Side::Bid, 1_010, 8), Asked::Close(Side::Bid, 1_010, 5)];
        let look = [Asked::Orders, Asked::Held];
        assert_eq!(
            asked,
            [&look[..], &[first, Asked::Orders, Asked::Cancel], &look, &[second], &look].concat(),
            "the toy itself asserts that nothing was open beside an order"
        );
    }

    #[test]
    fn a_large_position_goes_in_pieces_at_the_price_of_each_time() {
        let mut toy = Toy::new(25);
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
        let quantities: Vec<i64> = toy.closes().iter().map(|(.., qty)| *qty).collect();
        assert_eq!(quantities, [10, 10, 5]);
        let mut toy = Toy::new(5);
        toy.fates = vec![Fate::Fills(0)];
        toy.best = Some(500);
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
        assert_eq!(toy.closes().iter().map(|(_, _, px, _)| *px).collect::<Vec<_>>(), [495, 495]);
    }

    #[test]
    fn what_is_not_closed_in_time_is_told_and_a_price_that_is_not_there_is_waited_for() {
        let mut toy = Toy::new(4);
        toy.best = None;
        let closed = close_all(&mut toy, &TERMS);
        let Closed::Left(held) = &closed else { panic!("{closed:?}") };
        assert_eq!(held[0].size, Money::ONE.saturating_mul(4));
        assert!(toy.now >= TERMS.within_ns && toy.now < TERMS.within_ns + 500 * MS, "{}", toy.now);
        let nobody = |step: &&Step| matches!(step, Step::Trouble(text) if text.contains("nobody"));
        assert_eq!(toy.told.iter().filter(nobody).count(), 1, "told once");
        // No time at all: nothing is sent, and it is still told.
        let mut toy = Toy::new(4);
        let closed = close_all(&mut toy, &CloseTerms { within_ns: 0, ..TERMS });
        assert!(matches!(closed, Closed::Left(_)) && toy.closes().is_empty());
        // A venue that is deaf to the end.
        let mut toy = Toy::new(4);
        toy.deaf_until = u64::MAX;
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Unknown);
        // And one that comes back.
        toy = Toy::new(4);
        toy.deaf_until = 1_000 * MS;
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
    }

    #[test]
    fn an_outcome_that_is_not_known_is_settled_by_the_positions_and_outlived() {
        let mut toy = Toy::new(9);
        toy.fates = vec![Fate::Lost(4), Fate::Refused];
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
        let closes = toy.closes();
        assert_eq!(closes.iter().map(|(.., qty)| *qty).collect::<Vec<_>>(), [9, 5, 5]);
        for pair in toy.asked.windows(2) {
            assert!(!matches!(pair[1].1, Asked::Close(..)) || pair[0].1 == Asked::Held, "{:?}", toy.asked);
        }
        // Not over while the first one might still arrive; and a refusal is no doubt.
        assert!(toy.now >= closes[0].0 + TERMS.doubt_ns, "{}", toy.now);
        let mut toy = Toy::new(9);
        toy.fates = vec![Fate::Refused];
        assert_eq!(close_all(&mut toy, &TERMS), Closed::Flat);
        assert!(toy.now < 1_000 * MS);
    }

    #[test]
    fn positions_of_another_engine_are_let_alone() {
        let mut toy = Toy::new(25);
        toy.taken_over_at = 100 * MS;
        assert_eq!(close_all(&mut toy, &TERMS), Closed::TakenOver);
        assert_eq!((toy.closes().len(), toy.lots), (1, 15));
        // Between the price and the order.
        let mut toy = Toy::new(25);
        toy.taken_over_at = 3 * MS;
        assert_eq!(close_all(&mut toy, &TERMS), Closed::TakenOver);
        assert!(toy.closes().is_empty());
    }
}
