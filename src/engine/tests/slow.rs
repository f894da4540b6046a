//! How the engine obeys slow risk.

use super::*;
use crate::risk::SlowLimits;

const SECOND: u64 = 1_000_000_000;

fn slow_rig(strategy: Fixed) -> Rig {
    Rig::with(strategy, |config| {
        config.risk.slow = Some(SlowLimits { fresh_for_ns: 2 * SECOND, dead_after_ns: 10 * SECOND });
        config.risk.stale_after_ns = 3_600 * SECOND;
    })
}

impl Rig {
    fn scale(&mut self, value: f64) {
        let meta = self.meta();
        self.event(Event::Signal(Signal { meta, slot: BoardSlot::RiskScale.number(), value }));
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.engine.report().refused.iter().find(|(found, _)| *found == refusal).map_or(0, |(_, count)| *count)
    }
}

/// 60 to 66 units a lot of 0.001: a quote of 10 lots is worth 600 of the 20,000.
#[test]
fn without_a_word_of_slow_risk_nothing_is_placed_and_with_one_it_is() {
    let mut rig = slow_rig(quoting());
    rig.go_live();
    assert!(rig.out.is_empty());
    assert_eq!(rig.refused(Refusal::SlowRisk), 2);
    let meta = rig.meta();
    rig.event(Event::Signal(Signal { meta, slot: BoardSlot::GhostPermit.number(), value: 1.0 }));
    rig.event(Event::Signal(Signal { meta, slot: 999, value: 1.0 }));
    rig.book(600_002, 600_003);
    assert!(rig.out.is_empty(), "other slots say nothing about it");
    rig.scale(0.25);
    rig.book(600_000, 600_001);
    assert_eq!(rig.out.len(), 2, "{:?}", rig.out);
}

#[test]
fn a_dead_analyst_first_shrinks_the_limit_and_then_only_what_shrinks_a_position_passes() {
    let mut rig = slow_rig(quoting());
    rig.scale(0.05);
    rig.go_live();
    // 1,000 are allowed, 600 are open at worst.
    let placed = rig.answered();
    assert_eq!(placed.len(), 2);
    // Six seconds later it is half of that, less than what is open: what rests goes, and nothing comes in its place.
    rig.timer(2 * SECOND - 100_000_000);
    assert!(rig.out.is_empty(), "the word is fresh: {:?}", rig.out);
    rig.timer(4 * SECOND + 100_000_000);
    let cancelled = rig.answered();
    assert_eq!(cancelled.iter().filter(|c| c.kind == CommandKind::Cancel).count(), 2, "{cancelled:?}");
    assert!(cancelled.iter().all(|c| c.kind == CommandKind::Cancel));
    rig.book(600_001, 600_002);
    assert!(rig.answered().is_empty());
    assert_eq!(rig.refused(Refusal::SlowRisk), 2);
    // Smaller ones still pass: 5 lots are 300.
    rig.engine.strategy.qty = 5;
    rig.book(600_010, 600_011);
    let placed = rig.answered();
    assert_eq!(placed.iter().filter(|c| c.kind == CommandKind::New).count(), 2, "{placed:?}");
    // One is filled, and then the word is as old as can be: the side that would grow the position is refused, the other stands.
    let bid = placed.iter().find(|c| c.side == Side::Bid).unwrap();
    rig.told(bid, OrderStatus::Filled, 5);
    rig.fill(bid, 77, 5);
    rig.engine.strategy.qty = 3;
    rig.timer(20 * SECOND);
    rig.answered();
    rig.book(600_020, 600_021);
    let out = rig.answered();
    assert!(out.iter().all(|c| c.kind != CommandKind::New || c.side == Side::Ask), "{out:?}");
    let open: Vec<Side> = rig.engine.orders.iter().filter(|o| !o.state.is_final()).map(|o| o.side).collect();
    assert_eq!(open, [Side::Ask], "only what shrinks the position is open");
    // The analyst is back.
    rig.scale(0.05);
    rig.book(600_000, 600_001);
    rig.answered();
    assert_eq!(rig.engine.orders.iter().filter(|o| !o.state.is_final()).count(), 2);
}

#[test]
fn an_order_on_its_way_when_the_limit_falls_goes_as_soon_as_it_can() {
    let mut rig = slow_rig(quoting());
    rig.scale(0.25);
    rig.go_live();
    assert_eq!(rig.out.len(), 2);
    rig.scale(0.0);
    rig.timer(50_000_000);
    // It is still wanted, and the venue has taken it.
    rig.book(600_000, 600_001);
    assert_eq!(rig.answered().len(), 2, "nothing but the two new orders was asked for");
    rig.timer(50_000_000);
    let out = rig.answered();
    assert_eq!(out.iter().filter(|c| c.kind == CommandKind::Cancel).count(), 2, "{out:?}");
    assert!(rig.engine.is_flat_of_orders());
}

#[test]
fn the_same_events_with_the_same_words_give_the_same_commands() {
    let run = || {
        let mut rig = slow_rig(quoting());
        let mut all = Vec::new();
        rig.go_live();
        for step in 0..200i64 {
            if step % 20 < 7 {
                rig.scale(0.01 + (step % 5) as f64 / 50.0);
            }
            rig.book(600_000 + step % 13, 600_001 + step % 13);
            rig.timer(SECOND / 2);
            all.extend(rig.answered());
        }
        (all.iter().flat_map(Command::neutral_bytes).collect::<Vec<u8>>(), rig.refused(Refusal::SlowRisk))
    };
    let (bytes, refused) = run();
    assert_eq!((bytes.clone(), refused), run());
    assert!(refused > 0 && bytes.len() > 1_000);
}
