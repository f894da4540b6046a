use proptest::prelude::*;

use super::naive::NaiveBook;
use super::*;
use crate::types::{Book, BookKind, Level, Lots, Meta, Side, Ticks, Top, TopCheck};

fn level(px: i64, qty: i64) -> Level {
    Level { px: Ticks::new(px), qty: Lots::new(qty) }
}

/// Changes that cluster around a wandering touch, with far ones among them: windows slide both ways.
fn changes() -> impl Strategy<Value = Vec<(bool, i64, i64)>> {
    let px =
        prop_oneof![8 => -60i64..60, 2 => -3000i64..3000, 1 => Just(1_000_000), 1 => any::<i32>().prop_map(i64::from)];
    let qty = prop_oneof![1 => Just(0i64), 2 => 1i64..100];
    proptest::collection::vec((any::<bool>(), px, qty), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_the_naive_book_after_every_change(changes in changes(), drift in -40i64..40) {
        let mut book = L2Book::new(128, 4096);
        let mut naive = NaiveBook::default();
        for (step, (is_bid, px, qty)) in changes.into_iter().enumerate() {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let level = level(px + drift * step as i64, qty);
            book.set_level(side, level);
            naive.set_level(side, level);
            prop_assert_eq!(book.touch(), naive.touch());
            prop_assert_eq!(book.levels(side), naive.levels(side));
            prop_assert_eq!(book.qty_at(side, level.px), level.qty);
        }
        book.assert_invariants();
        for side in [Side::Bid, Side::Ask] {
            prop_assert_eq!(book.iter(side).collect::<Vec<_>>(), naive.iter(side).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_full_far_list_drops_the_worst_levels_and_counts_them(changes in changes()) {
        let mut book = L2Book::new(128, 4);
        let mut naive = NaiveBook::default();
        for (is_bid, px, qty) in changes {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            book.set_level(side, level(px, qty));
            naive.set_level(side, level(px, qty));
            book.assert_invariants();
            if book.levels_dropped() == 0 {
                prop_assert_eq!(book.levels(side), naive.levels(side));
            }
        }
    }
}

proptest! {
    #[test]
    fn depth_volume_and_impact_equal_sums_over_the_naive_book(
        changes in changes(), limit in -70i64..70, wanted in 0i64..2_000, deep in 0usize..40,
    ) {
        let mut book = L2Book::new(128, 4096);
        let mut naive = NaiveBook::default();
        for (is_bid, px, qty) in changes {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            book.set_level(side, level(px, qty));
            naive.set_level(side, level(px, qty));
        }
        for side in [Side::Bid, Side::Ask] {
            let all: Vec<Level> = naive.iter(side).collect();
            let mut out = vec![Level::default(); deep];
            let count = book.depth(side, &mut out);
            prop_assert_eq!(&out[..count], &all[..deep.min(all.len())]);
            let is_within = |l: &&Level| if side == Side::Bid { l.px.get() >= limit } else { l.px.get() <= limit };
            let within: Vec<&Level> = all.iter().filter(is_within).collect();
            let volume: i64 = within.iter().map(|l| l.qty.get()).sum();
            prop_assert_eq!(book.cumulative_qty(side, Ticks::new(limit)), Lots::new(volume));
            let mut rest = wanted;
            let (mut worst, mut cost) = (None, 0i128);
            for l in &within {
                let take = rest.min(l.qty.get());
                if take > 0 {
                    worst = Some(l.px);
                    cost += i128::from(take) * i128::from(l.px.get());
                    rest -= take;
                }
            }
            let want = Impact { qty: Lots::new(wanted - rest), worst_px: worst, px_qty: cost };
            prop_assert_eq!(book.impact(side, Lots::new(wanted), Some(Ticks::new(limit))), want);
        }
    }
}

#[test]
fn five_hundred_books_of_the_default_size_stay_below_the_stated_budget() {
    let limits = crate::engine::Limits::default();
    assert!(500 * L2Book::memory_bytes(limits.window_ticks, limits.far_levels_max) <= 420 << 20);
}

#[test]
fn extreme_prices_do_not_overflow() {
    let mut book = L2Book::new(128, 16);
    for px in [i64::MAX, i64::MIN + 1, 0, i64::MIN, i64::MAX - 1] {
        for side in [Side::Bid, Side::Ask] {
            book.set_level(side, level(px, 1));
            book.set_level(side, level(px, 0));
            book.set_level(side, level(px, 2));
        }
    }
}

#[test]
fn a_snapshot_replaces_everything() {
    let mut book = L2Book::new(128, 64);
    let (bids, asks) = ([level(100, 1), level(99, 2)], [level(101, 3), level(5000, 4)]);
    let mut event = Book { meta: Meta::default(), kind: BookKind::Snapshot, cross_seq: 0, bids: &bids, asks: &asks };
    book.apply(&event);
    assert_eq!(book.touch(), Touch { bid: Some(bids[0]), ask: Some(asks[0]) });
    event.bids = &[];
    book.apply(&event);
    assert_eq!(book.touch().bid, None);
    assert_eq!(book.levels(Side::Ask), 2);
    assert_eq!(book.updates(), 2);
}

#[test]
fn impact_walks_the_levels_up_to_the_limit() {
    let mut book = L2Book::new(128, 64);
    for l in [level(101, 3), level(102, 4), level(110, 5)] {
        book.set_level(Side::Ask, l);
    }
    let all = book.impact(Side::Ask, Lots::new(5), None);
    assert_eq!(all, Impact { qty: Lots::new(5), worst_px: Some(Ticks::new(102)), px_qty: 3 * 101 + 2 * 102 });
    assert_eq!(book.impact(Side::Ask, Lots::new(100), Some(Ticks::new(105))).qty, Lots::new(7));
    assert_eq!(book.impact(Side::Bid, Lots::new(1), None).worst_px, None);
}

fn top(seq: u64, check: TopCheck, bid: i64, ask: i64) -> Top {
    let meta = Meta { seq, ..Meta::default() };
    Top { meta, check, bid: Some(level(bid, 1)), ask: Some(level(ask, 1)) }
}

fn touch(bid: i64, ask: i64) -> Touch {
    Touch { bid: Some(level(bid, 1)), ask: Some(level(ask, 1)) }
}

#[test]
fn at_or_before_waits_for_a_late_top() {
    let mut certificate = Certificate::new();
    certificate.on_top(&top(10, TopCheck::AtOrBefore, 1, 2), &touch(0, 0));
    certificate.on_book(touch(3, 4), 12, BookKind::Delta);
    // The top numbered 11 comes late and is the one that update 12 must equal.
    certificate.on_top(&top(11, TopCheck::AtOrBefore, 3, 4), &touch(3, 4));
    assert_eq!(certificate.counts().checked, 0);
    certificate.on_top(&top(13, TopCheck::AtOrBefore, 5, 6), &touch(3, 4));
    assert_eq!(certificate.counts(), CertificateCounts { checked: 1, equal: 1, given_up: 0 });
    certificate.on_book(touch(9, 10), 14, BookKind::Delta);
    certificate.finish();
    assert_eq!(certificate.counts(), CertificateCounts { checked: 2, equal: 1, given_up: 0 });
}

#[test]
fn at_or_before_remembers_tops_that_ran_ahead() {
    let mut certificate = Certificate::new();
    for (seq, bid) in [(10, 1), (12, 2), (14, 3)] {
        certificate.on_top(&top(seq, TopCheck::AtOrBefore, bid, 9), &touch(0, 0));
    }
    certificate.on_book(touch(1, 9), 11, BookKind::Delta);
    certificate.on_book(touch(2, 9), 13, BookKind::Delta);
    certificate.on_book(touch(3, 9), 14, BookKind::Delta);
    assert_eq!(certificate.counts(), CertificateCounts { checked: 2, equal: 2, given_up: 0 });
    certificate.finish();
    assert_eq!(certificate.counts(), CertificateCounts { checked: 3, equal: 3, given_up: 0 });
}

#[test]
fn same_seq_compares_equal_numbers_in_either_order() {
    let mut certificate = Certificate::new();
    certificate.on_top(&top(10, TopCheck::SameSeq, 1, 2), &touch(0, 0));
    certificate.on_book(touch(1, 2), 10, BookKind::Delta);
    certificate.on_book(touch(1, 3), 11, BookKind::Delta);
    certificate.on_book(touch(1, 4), 12, BookKind::Delta);
    certificate.on_top(&top(12, TopCheck::SameSeq, 1, 4), &touch(0, 0));
    certificate.on_top(&top(13, TopCheck::SameSeq, 7, 8), &touch(0, 0));
    certificate.on_book(touch(7, 9), 13, BookKind::Delta);
    assert_eq!(certificate.counts(), CertificateCounts { checked: 3, equal: 2, given_up: 0 });
}

#[test]
fn the_stricter_rule_wins_over_price_at_arrival() {
    let mut certificate = Certificate::new();
    certificate.on_top(&top(1, TopCheck::PriceAtArrival, 1, 2), &touch(1, 2));
    assert_eq!(certificate.counts().equal, 1);
    certificate.on_top(&top(2, TopCheck::SameSeq, 1, 2), &touch(1, 2));
    certificate.on_top(&top(3, TopCheck::PriceAtArrival, 1, 2), &touch(5, 6));
    assert_eq!(certificate.counts().checked, 1);
}

#[test]
fn the_fused_top_is_the_newer_of_both_streams() {
    let mut fused = FusedTop::default();
    assert!(fused.on_book(touch(1, 2), 10, crate::types::Nanos::new(1)));
    assert!(!fused.on_top(&top(9, TopCheck::AtOrBefore, 5, 6)));
    assert_eq!(*fused.touch(), touch(1, 2));
    assert!(fused.on_top(&top(11, TopCheck::AtOrBefore, 5, 6)));
    assert_eq!(*fused.touch(), touch(5, 6));
}
