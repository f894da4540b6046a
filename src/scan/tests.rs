use proptest::prelude::*;

use super::*;
use crate::types::{
    ContractKind, InstrumentSpec, ListingStatus, Lots, Nanos, Product, Step, Symbol, Unusable, VenueId,
};

const NOW: Nanos = Nanos::new(2_000_000_000_000_000_000);
const DAY_NS: u64 = 86_400_000_000_000;

fn money(text: &str) -> Money {
    Money::parse(text.as_bytes()).unwrap()
}

fn symbol(name: &str) -> Symbol {
    Symbol::new(name.as_bytes()).unwrap()
}

/// A listing that passes every default filter.
fn listing(name: &str) -> Listing {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let mut spec =
        InstrumentSpec::new(VenueId::BYBIT, symbol(name), Product::Linear, step("0.01"), step("0.1")).unwrap();
    spec.min_notional = money("5");
    Listing {
        spec,
        status: ListingStatus::Trading,
        contract: ContractKind::Perpetual,
        base: "X".to_owned(),
        quote: "USDT".to_owned(),
        settle: "USDT".to_owned(),
        funding_interval_min: Some(480),
        launched: Some(Nanos::new(NOW.get() - 100 * DAY_NS)),
        delivers: None,
    }
}

fn snapshot(name: &str, bid: &str, ask: &str, turnover: &str) -> MarketSnapshot {
    MarketSnapshot {
        bid_px: Some(money(bid)),
        ask_px: Some(money(ask)),
        turnover_24h: Some(money(turnover)),
        high_px_24h: Some(money("105")),
        low_px_24h: Some(money("95")),
        funding_rate: Some(Rate::new(10_000)),
        ..MarketSnapshot::silent(symbol(name))
    }
}

fn market<'a>(listing: &'a Listing, snapshot: &'a MarketSnapshot) -> Market<'a> {
    Market { listing, snapshot: Some(snapshot), klines: &[], kline_min: 1 }
}

fn check(listing: &Listing, snapshot: &MarketSnapshot, filters: &Filters) -> Result<Metrics, Reason> {
    filters.check(&market(listing, snapshot), NOW)
}

fn klines(closes: &[f64]) -> Vec<Kline> {
    let px = |value: f64| Money::new((value * 1e12) as i128);
    let kline = |(idx, close): (usize, &f64)| Kline {
        start: Nanos::from_millis(idx as u64 * 60_000),
        open: px(*close),
        high: px(*close),
        low: px(*close),
        close: px(*close),
    };
    closes.iter().enumerate().map(kline).collect()
}

#[test]
fn metrics_are_what_the_market_says() {
    let (listing, snapshot) = (listing("AUSDT"), snapshot("AUSDT", "99.95", "100.05", "10000000"));
    let found = check(&listing, &snapshot, &Filters::default()).unwrap();
    assert_eq!((found.bid_px, found.ask_px), (Ticks::new(9_995), Ticks::new(10_005)));
    assert!((found.spread_bps - 10.0).abs() < 1e-9, "{}", found.spread_bps);
    // Three payments a day.
    assert_eq!(found.funding_per_day, Rate::new(30_000));
    // One lot of 0.1 at the ask is worth more than the value floor.
    assert_eq!(found.min_order_value, money("10.005"));
    // ln(105/95) / (2 √ln 2 · √1440) by hand.
    let volatility = found.volatility.unwrap();
    assert_eq!(volatility.from, VolatilityFrom::Range);
    assert!((volatility.bps_per_min - 15.839).abs() < 0.01, "{}", volatility.bps_per_min);
}

#[test]
fn candles_replace_the_range() {
    let (listing, snapshot) = (listing("AUSDT"), snapshot("AUSDT", "99.95", "100.05", "10000000"));
    let closes: Vec<f64> = (0..20).map(|idx| if idx % 2 == 0 { 100.0 } else { 100.1 }).collect();
    let candles = klines(&closes);
    let of = |klines: &[Kline], kline_min| {
        let market = Market { klines, kline_min, ..market(&listing, &snapshot) };
        Metrics::of(&market).unwrap().volatility.unwrap()
    };
    let found = of(&candles, 1);
    assert_eq!(found.from, VolatilityFrom::Klines);
    assert!((found.bps_per_min - 9.995).abs() < 0.01, "{}", found.bps_per_min);
    // The same returns over four minutes each are half as much for one minute.
    assert!((of(&candles, 4).bps_per_min * 2.0 - found.bps_per_min).abs() < 1e-9);
    // Too few of them say nothing.
    assert_eq!(of(&candles[..RETURNS_MIN], 1).from, VolatilityFrom::Range);
    assert_eq!(of(&candles[..RETURNS_MIN + 1], 1).from, VolatilityFrom::Klines);
}

#[test]
fn every_filter_rejects_with_its_own_reason_and_passes_at_its_bound() {
    let (good, trade) = (listing("AUSDT"), snapshot("AUSDT", "99.95", "100.05", "10000000"));
    let filters = Filters::default();
    assert!(check(&good, &trade, &filters).is_ok());
    type Case<'a> = (&'a str, Box<dyn Fn(&mut Listing, &mut MarketSnapshot, &mut Filters)>, bool);
    let cases: Vec<Case<'_>> = vec![
        ("excluded", Box::new(|_, _, f| _ = f.exclude.insert("AUSDT".into())), false),
        ("not-included", Box::new(|_, _, f| _ = f.include.insert("BUSDT".into())), false),
        ("", Box::new(|_, _, f| _ = f.include.insert("AUSDT".into())), true),
        ("status", Box::new(|l, _, _| l.status = ListingStatus::PreLaunch), false),
        ("contract", Box::new(|l, _, _| l.contract = ContractKind::Future), false),
        ("settle-coin", Box::new(|l, _, _| l.settle = "USDC".into()), false),
        ("", Box::new(|l, _, f| (l.settle, f.settle) = ("USDC".into(), String::new())), true),
        ("age", Box::new(|_, _, f| f.age_min_ns = 100 * DAY_NS + 1), false),
        ("", Box::new(|_, _, f| f.age_min_ns = 100 * DAY_NS), true),
        ("", Box::new(|l, _, _| l.launched = None), true),
        ("delivery", Box::new(|l, _, _| l.delivers = Some(Nanos::new(NOW.get() + 3 * DAY_NS - 1))), false),
        ("", Box::new(|l, _, _| l.delivers = Some(Nanos::new(NOW.get() + 3 * DAY_NS))), true),
        ("no-market", Box::new(|_, s, _| s.ask_px = None), false),
        ("no-market", Box::new(|_, s, _| s.bid_px = None), false),
        ("crossed", Box::new(|_, s, _| s.bid_px = s.ask_px), false),
        ("off-tick", Box::new(|_, s, _| s.bid_px = Some(money("99.955"))), false),
        ("turnover", Box::new(|_, _, f| f.turnover_min = money("10000000.000000000001")), false),
        ("turnover", Box::new(|_, s, _| s.turnover_24h = None), false),
        ("", Box::new(|_, _, f| f.turnover_min = money("10000000")), true),
        ("spread-narrow", Box::new(|_, _, f| f.spread_min = Rate::new(100_001)), false),
        ("", Box::new(|_, _, f| f.spread_min = Rate::new(100_000)), true),
        ("spread-wide", Box::new(|_, _, f| f.spread_max = Rate::new(99_999)), false),
        ("", Box::new(|_, _, f| f.spread_max = Rate::new(100_000)), true),
        ("no-volatility", Box::new(|_, s, f| (s.low_px_24h, f.volatility_max_bps) = (None, Some(1e9))), false),
        ("", Box::new(|_, s, _| s.low_px_24h = None), true),
        ("volatility-low", Box::new(|_, _, f| f.volatility_min_bps = Some(16.0)), false),
        ("", Box::new(|_, _, f| f.volatility_min_bps = Some(15.0)), true),
        ("volatility-high", Box::new(|_, _, f| f.volatility_max_bps = Some(15.0)), false),
        ("", Box::new(|_, _, f| f.volatility_max_bps = Some(16.0)), true),
        ("funding", Box::new(|_, _, f| f.funding_max = Rate::new(29_999)), false),
        (
            "funding",
            Box::new(|_, s, f| (s.funding_rate, f.funding_max) = (Some(Rate::new(-10_000)), Rate::new(29_999))),
            false,
        ),
        ("", Box::new(|_, _, f| f.funding_max = Rate::new(30_000)), true),
        ("fee", Box::new(|_, _, f| f.maker_fee_max = Rate::new(19_999)), false),
        ("", Box::new(|_, _, f| f.maker_fee_max = Rate::new(20_000)), true),
        ("min-order", Box::new(|_, _, f| f.order_value = money("10.004")), false),
        ("min-order", Box::new(|l, _, _| l.spec.min_notional = money("200.01")), false),
        ("min-order", Box::new(|l, _, _| l.spec.min_qty = Lots::new(20)), false),
        ("", Box::new(|_, _, f| f.order_value = money("10.005")), true),
        ("leverage", Box::new(|_, _, f| f.leverage_min_e2 = 10_001), false),
        ("", Box::new(|_, _, f| f.leverage_min_e2 = 10_000), true),
    ];
    for (idx, (want, change, passes)) in cases.iter().enumerate() {
        let (mut listing, mut snapshot, mut filters) = (good.clone(), trade, filters.clone());
        change(&mut listing, &mut snapshot, &mut filters);
        match check(&listing, &snapshot, &filters) {
            Ok(_) => assert!(passes, "case {idx} should be rejected as {want}"),
            Err(reason) => {
                assert_eq!(reason.name(), *want, "case {idx}: {reason}");
                assert!(!reason.to_string().is_empty());
            }
        }
    }
    let silent = Market { listing: &good, snapshot: None, klines: &[], kline_min: 1 };
    assert_eq!(filters.check(&silent, NOW), Err(Reason::NoMarket));
}

#[test]
fn more_turnover_and_edge_less_volatility_and_funding_rank_higher() {
    let base = snapshot("X", "99.95", "100.05", "10000000");
    let variants: [(&str, MarketSnapshot); 5] = [
        ("BASE", base),
        ("RICH", MarketSnapshot { turnover_24h: Some(money("90000000")), ..base }),
        ("EDGE", MarketSnapshot { ask_px: Some(money("100.10")), ..base }),
        ("WILD", MarketSnapshot { high_px_24h: Some(money("130")), ..base }),
        ("PAYS", MarketSnapshot { funding_rate: Some(Rate::new(-90_000)), ..base }),
    ];
    let listings: Vec<Listing> = variants.iter().map(|(name, _)| listing(name)).collect();
    let markets: Vec<Market<'_>> = listings.iter().zip(&variants).map(|(l, (_, s))| market(l, s)).collect();
    let found = scan(&markets, &Filters::default(), &Weights::default(), NOW);
    let place = |name: &str| found.ranked.iter().find(|r| r.listing.spec.symbol.as_str() == name).unwrap().place;
    assert!(place("RICH") < place("BASE") && place("EDGE") < place("BASE"));
    assert!(place("WILD") > place("BASE") && place("PAYS") > place("BASE"));
    // A single weight ranks by that alone.
    let only = |weights| scan(&markets, &Filters::default(), &weights, NOW).best(5);
    let zero = Weights { turnover: 0.0, edge: 0.0, volatility: 0.0, funding: 0.0 };
    assert_eq!(only(Weights { turnover: 1.0, ..zero })[0], "RICH");
    assert_eq!(only(Weights { edge: 1.0, ..zero })[0], "EDGE");
    assert_eq!(only(Weights { volatility: 1.0, ..zero })[4], "WILD");
    assert_eq!(only(Weights { funding: 1.0, ..zero })[4], "PAYS");
    // Nothing but equal scores: by name.
    assert_eq!(only(zero), ["BASE", "EDGE", "PAYS", "RICH", "WILD"]);
}

#[test]
fn a_spread_that_nobody_pays_counts_no_more_than_the_clamp() {
    let filters = Filters { spread_max: Rate::ONE, ..Filters::default() };
    let listing = listing("AUSDT");
    let edge = |bid: &str| {
        let snapshot = snapshot("AUSDT", bid, "100.05", "10000000");
        let metrics = check(&listing, &snapshot, &filters).unwrap();
        Weights::default().score(&listing, &metrics).edge
    };
    assert_eq!(edge("50.00"), edge("60.00"));
    assert!(edge("99.95") < edge("99.90"));
}

#[test]
fn who_came_and_who_left_is_told() {
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let found = entries(&names("A B C D"), &names("E D B A F"));
    assert_eq!((found.entered, found.left), (names("E F"), names("C")));
    assert_eq!(entries(&names("A B"), &names("B A")), Entries::default());
}

#[test]
fn a_traded_instrument_has_at_most_its_gravest_change() {
    let names = ["GONE", "HALT", "STEP", "SAME", "ODD", "MINQ", "ENDS"];
    let before: Vec<Listing> = names.iter().map(|name| listing(name)).collect();
    let mut after = before.clone();
    after.retain(|l| !["GONE", "ODD"].contains(&l.spec.symbol.as_str()));
    for l in &mut after {
        match l.spec.symbol.as_str() {
            "HALT" => (l.status, l.spec.tick) = (ListingStatus::Closed, Step::new(5, 0).unwrap()),
            "STEP" => (l.spec.tick, l.delivers) = (Step::new(5, 2).unwrap(), Some(NOW)),
            "MINQ" => l.spec.min_qty = Lots::new(7),
            "ENDS" => l.delivers = Some(NOW),
            _ => {}
        }
    }
    let unusable = [Unusable { symbol: "ODD".into(), reason: "no tickSize".into() }];
    let found = changes(before.iter().map(|l| &l.spec), &after, &unusable);
    let told: Vec<(&str, bool)> = found.iter().map(|c| (c.symbol.as_str(), c.kind.must_withdraw())).collect();
    assert_eq!(told, [("GONE", true), ("HALT", true), ("STEP", true), ("ODD", true), ("MINQ", false), ("ENDS", false)]);
    assert_eq!(found[2].to_string(), "STEP: its steps changed: tick 0.01 -> 0.05, lot 0.1 -> 0.1");
    assert!(changes(before.iter().map(|l| &l.spec), &before, &[]).is_empty());
}

prop_compose! {
    fn any_market()(
        bid in 1i128..2_000_000,
        spread in -2i128..400,
        turnover in 0i128..1_000_000_000,
        range in (1i128..200, 0i128..200),
        funding in -200_000i64..200_000,
        status in 0usize..4,
        told in 0u8..16,
    ) -> (ListingStatus, Option<MarketSnapshot>) {
        let tick = Money::ONE.get() / 100;
        let statuses = [ListingStatus::Trading, ListingStatus::Trading, ListingStatus::Trading, ListingStatus::Closed];
        let low = range.0 * Money::ONE.get();
        let snapshot = MarketSnapshot {
            bid_px: Some(Money::new(bid * tick)),
            ask_px: Some(Money::new((bid + spread) * tick)),
            turnover_24h: Some(Money::new(turnover * Money::ONE.get())),
            low_px_24h: (told != 1).then_some(Money::new(low)),
            high_px_24h: Some(Money::new(low + range.1 * Money::ONE.get())),
            funding_rate: Some(Rate::new(funding)),
            ..MarketSnapshot::silent(symbol("X"))
        };
        (statuses[status], (told != 0).then_some(snapshot))
    }
}

proptest! {
    #[test]
    fn every_instrument_is_told_once_and_the_order_of_the_input_does_not_matter(
        made in prop::collection::vec(any_market(), 0..40),
        turn in 0usize..40,
        tighter in 0i128..1_000_000_000,
    ) {
        let listings: Vec<Listing> = made.iter().enumerate().map(|(idx, (status, _))| {
            Listing { status: *status, ..listing(&format!("C{idx}USDT")) }
        }).collect();
        let mut markets: Vec<Market<'_>> = listings.iter().zip(&made).map(|(listing, (_, snapshot))| {
            Market { listing, snapshot: snapshot.as_ref(), klines: &[], kline_min: 1 }
        }).collect();
        let filters = Filters { turnover_min: Money::ZERO, ..Filters::default() };
        let weights = Weights::default();
        let found = scan(&markets, &filters, &weights, NOW);
        let mut names: Vec<&str> = found.ranked.iter().map(|r| r.listing.spec.symbol.as_str()).collect();
        names.extend(found.rejected.iter().map(|r| r.symbol.as_str()));
        names.sort_unstable();
        let mut all: Vec<&str> = listings.iter().map(|l| l.spec.symbol.as_str()).collect();
        all.sort_unstable();
        prop_assert_eq!(names, all);
        prop_assert_eq!(found.rejected_by_reason().values().sum::<usize>(), found.rejected.len());
        prop_assert!(found.ranked.iter().all(|r| r.score.total().is_finite()));
        prop_assert!(found.ranked.windows(2).all(|w| w[0].score.total() >= w[1].score.total()));
        prop_assert!(found.ranked.iter().enumerate().all(|(idx, r)| r.place == idx + 1));
        if !markets.is_empty() {
            let by = turn % markets.len();
            markets.rotate_left(by);
            markets.reverse();
        }
        prop_assert_eq!(&scan(&markets, &filters, &weights, NOW), &found);
        // A tighter bound never lets anybody in, and keeps the order of who stays.
        let strict = Filters { turnover_min: Money::new(tighter * Money::ONE.get()), ..filters };
        let fewer = scan(&markets, &strict, &weights, NOW).best(usize::MAX);
        let kept: Vec<String> = found.best(usize::MAX).into_iter().filter(|name| fewer.contains(name)).collect();
        prop_assert_eq!(fewer, kept);
    }

    #[test]
    fn no_numbers_panic(
        prices in prop::collection::vec(any::<i128>(), 6),
        funding: i64,
        interval: u32,
        min_qty: i64,
        closes in prop::collection::vec(any::<i128>(), 0..30),
    ) {
        let mut listing = listing("AUSDT");
        listing.funding_interval_min = Some(interval);
        listing.spec.min_qty = Lots::new(min_qty);
        let px = |idx: usize| Some(Money::new(prices[idx]));
        let snapshot = MarketSnapshot {
            bid_px: px(0), ask_px: px(1), last_px: px(2), turnover_24h: px(3), high_px_24h: px(4), low_px_24h: px(5),
            funding_rate: Some(Rate::new(funding)),
            ..MarketSnapshot::silent(symbol("AUSDT"))
        };
        let klines: Vec<Kline> = closes.iter().map(|close| {
            let px = Money::new(*close);
            Kline { start: Nanos::ZERO, open: px, high: px, low: px, close: px }
        }).collect();
        let market = Market { klines: &klines, kline_min: 1, ..market(&listing, &snapshot) };
        let filters = Filters { spread_max: Rate::MAX, ..Filters::default() };
        let found = scan(&[market], &filters, &Weights::default(), NOW);
        prop_assert_eq!(found.ranked.len() + found.rejected.len(), 1);
        prop_assert!(found.rejected.iter().all(|r| !r.reason.to_string().is_empty()));
    }
}
