//! Sessions small enough to be computed by hand, and properties of any session.

use proptest::prelude::*;

use super::*;
use crate::sim::Account;
use crate::types::{
    Balance, ClientOrderId, Command, CommandKind, CommandStamps, Event, Fill, Funding, InstrumentId, InstrumentSpec,
    InstrumentTable, Level, Lots, Meta, Money, Nanos, Product, Rate, Side, Step, Symbol, Ticks, TimeInForce, Top,
    TopCheck, VenueId,
};

/// One instrument whose tick and lot are one whole unit, so that money can be read off.
fn table() -> InstrumentTable {
    let step = Step::from_text(b"1").unwrap();
    let symbol = Symbol::new(b"XUSDT").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap();
    InstrumentTable::new(vec![spec]).unwrap()
}

fn money(text: &str) -> Money {
    Money::parse(text.as_bytes()).unwrap()
}

fn second(s: u64) -> Nanos {
    Nanos::new(s * 1_000_000_000)
}

fn meta(at: Nanos) -> Meta {
    Meta { recv: at, seq: at.get(), ..Meta::default() }
}

fn top(at: Nanos, bid: i64, ask: i64) -> Event<'static> {
    let level = |px| Some(Level { px: Ticks::new(px), qty: Lots::new(1) });
    Event::Top(Top { meta: meta(at), check: TopCheck::None, bid: level(bid), ask: level(ask) })
}

fn balance(at: Nanos, wallet: Money) -> Event<'static> {
    Event::Balance(Balance { meta: meta(at), wallet, available: wallet })
}

fn fill(at: Nanos, id: u64, side: Side, px: i64, qty: i64, fee: Money, is_maker: bool) -> Fill {
    Fill {
        meta: Meta { venue_ts: at, ..meta(at) },
        client_id: ClientOrderId(id),
        exec_id: u128::from(at.get()) << 64 | u128::from(id),
        side,
        is_maker,
        px: Ticks::new(px),
        qty: Lots::new(qty),
        fee,
        is_fee_final: true,
        is_query: false,
        venue_order_id: 0,
    }
}

fn order(at: Nanos, id: u64, side: Side, px: i64, qty: i64) -> Command {
    Command {
        kind: CommandKind::New,
        side,
        tif: TimeInForce::GoodTillCancel,
        reduce_only: false,
        trigger: None,
        instrument: InstrumentId(0),
        client_id: ClientOrderId(id),
        request: 1,
        px: Ticks::new(px),
        qty: Lots::new(qty),
        at,
        stamps: CommandStamps::default(),
    }
}

fn input(reference: Reference) -> ReportInput {
    ReportInput { kind: "test".to_owned(), strategy: "hand".to_owned(), sources: Vec::new(), reference, venue: None }
}

/// Two round trips over ten seconds:
///
/// ```text
/// second     1     2     3     4     5     6     7     8     9    10    11
/// mid      100   101   101    96    96   100   100   100   100   100   100
/// fills                +2@99       −2@97       +1@101      −1@103
/// equity  1000  1000 1003.5 993.5 994.5 994.5 993.5 993.5 996.5 996.5 996.5
/// ```
fn played() -> Session {
    let mut session = Session::new(&table(), SessionConfig::default());
    let filled = |session: &mut Session, it: Fill| session.on_event(&Event::Fill(it));
    session.on_event(&balance(second(1), money("1000")));
    session.on_event(&top(second(1), 99, 101));
    session.on_event(&top(second(2), 99, 103));
    // Decided at 1 s, arrives a second later.
    session.on_command(&order(second(1), 1, Side::Bid, 99, 2));
    filled(&mut session, fill(second(3), 1, Side::Bid, 99, 2, money("0.5"), true));
    session.on_event(&top(second(4), 95, 97));
    session.on_command(&order(second(4), 2, Side::Ask, 97, 2));
    let sold = fill(second(5), 2, Side::Ask, 97, 2, money("1"), false);
    filled(&mut session, sold);
    filled(&mut session, sold);
    session.on_event(&top(second(6), 99, 101));
    filled(&mut session, fill(second(7), 9, Side::Bid, 101, 1, Money::ZERO, false));
    filled(&mut session, fill(second(9), 9, Side::Ask, 103, 1, Money::ZERO, false));
    session.on_event(&balance(second(9), money("996.5")));
    session.on_event(&Event::Timer(meta(second(11))));
    session.finish();
    session
}

fn near(found: Option<f64>, want: f64) {
    let found = found.unwrap();
    assert!((found - want).abs() <= 1e-9 * want.abs().max(1.0), "{found} should be {want}");
}

#[test]
fn every_figure_of_a_small_session_is_the_one_computed_by_hand() {
    let report = Report::new(&played(), &input(Reference::Instrument(InstrumentId(0))));
    let equity = [1000.0, 1000.0, 1003.5, 993.5, 994.5, 994.5, 993.5, 993.5, 996.5, 996.5, 996.5];
    assert_eq!(report.curves.equity, equity);
    assert!(report.identity.holds, "{:?}", report.identity);
    assert_eq!((report.identity.realised.0, report.identity.fees.0), (money("-2"), money("1.5")));
    // Bought 2 at 99 where the mid was 101, sold 2 at 97 at 96, bought 1 at 101 at 100, sold it at 103 at 100.
    assert_eq!((report.pnl.spread.0, report.pnl.inventory.0), (money("8"), money("-10")));
    assert_eq!(report.pnl.total.0, money("-3.5"));

    let returns = &report.returns;
    near(returns.total_return, -0.0035);
    near(returns.annual_return, 0.9965f64.powf(stats::YEAR_NS / 1e10) - 1.0);
    let sampled = stats::returns(&equity).unwrap();
    let mean = sampled.iter().sum::<f64>() / 10.0;
    let root = (365.0f64 * 86_400.0).sqrt();
    let deviation = (sampled.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 9.0).sqrt();
    near(returns.performance.sharpe, mean / deviation * root);
    let falls: f64 = [(993.5f64 / 1003.5 - 1.0), (993.5f64 / 994.5 - 1.0)].iter().map(|r| r * r).sum();
    near(returns.performance.sortino, mean / (falls / 10.0).sqrt() * root);

    let drawdown = report.drawdown.as_ref().unwrap();
    assert_eq!((drawdown.amount.0, drawdown.peak.0), (money("10"), money("1003.5")));
    assert_eq!((drawdown.peak_at.ns, drawdown.bottom_at.ns), (3_000_000_000, 4_000_000_000));
    assert_eq!((&drawdown.recovered_at, drawdown.bottom_at.utc.as_str()), (&None, "1970-01-01 00:00:04.000"));
    near(drawdown.share, 10.0 / 1003.5);
    near(returns.calmar, returns.annual_return.unwrap() / (10.0 / 1003.5));

    let trips = &report.trips;
    assert_eq!((trips.closed, trips.wins, trips.losses, trips.open), (2, 1, 1, 0));
    near(trips.win_rate, 0.5);
    near(trips.profit_factor, 2.0 / 5.5);
    assert_eq!((trips.average_win.unwrap().0, trips.average_loss.unwrap().0), (money("2"), money("5.5")));
    assert_eq!(
        (trips.best.unwrap().0, trips.worst.unwrap().0, trips.net.0),
        (money("2"), money("-5.5"), money("-3.5"))
    );
    near(trips.held_mean_s, 2.0);

    near(report.exposure.time_share, 0.4);
    near(report.exposure.gross_mean, (202.0 + 192.0 + 200.0) / 10.0);
    assert_eq!(report.exposure.gross_max.0, money("202"));
    assert_eq!((report.turnover.value.0, report.turnover.fills, report.turnover.maker_fills), (money("596"), 4, 1));
    near(report.turnover.times_equity, 0.596);

    // The mid was 100 at the first decision and 96 at the second; the last two fills are of no order that was seen.
    near(report.slippage_bps.maker.bps, -100.0);
    near(report.slippage_bps.taker.bps, -1e4 / 96.0);
    assert_eq!(report.slippage_bps.taker.fills, 1);
    near(report.slippage_bps.all.bps, (-100.0 * 198.0 - 1e4 / 96.0 * 194.0) / 392.0);

    let row = |ms| *report.markouts_bps.iter().find(|row| row.horizon_ms == ms).unwrap();
    near(row(0).means.maker.bps, 2e4 / 99.0);
    near(row(1_000).means.maker.bps, -3e4 / 99.0);
    // Each weighted by its value: −3/97 · 194, −1/101 · 101, +3/103 · 103.
    near(row(1_000).means.taker.bps, 1e4 * (-6.0 - 1.0 + 3.0) / (194.0 + 101.0 + 103.0));
    near(row(5_000).means.maker.bps, 1e4 / 99.0);
    near(row(5_000).means.taker.bps, -3e4 / 97.0);
    assert_eq!((row(5_000).means.all.fills, row(10_000).means.all.fills), (2, 0));
    assert_eq!(row(10_000).means.all.bps, None);

    let orders = &report.orders;
    assert_eq!((orders.sent, orders.filled, orders.filled_whole), (2, 2, 2));
    near(orders.quantity_ratio, 1.0);

    let mids = [100.0, 101.0, 101.0, 96.0, 96.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0].map(Some);
    assert_eq!(report.curves.reference, mids);
    near(report.reference.total_return, 0.0);
    assert_eq!(report.reference.regression.pairs, 10);
    assert_eq!(report.curves.instruments[0].position, [0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_reference_of_ones_own_counts_from_its_first_value() {
    // The series is the session's equity itself, from the third second on.
    let series = Series::parse(
        "own",
        "3000000000,1003.5\n4000000000,993.5\n5000000000,994.5\n7000000000,993.5\n9000000000,996.5\n",
    );
    let report = Report::new(&played(), &input(Reference::Series(series.unwrap())));
    let found = &report.reference;
    assert_eq!((found.name.as_str(), found.regression.pairs), ("own", 8));
    near(found.regression.beta, 1.0);
    near(found.regression.r_squared, 1.0);
    assert!(found.regression.alpha.unwrap().abs() < 1e-6);
}

#[test]
fn one_unit_that_is_missing_breaks_the_identity() {
    let mut session = played();
    session.on_event(&balance(second(12), Money::new(money("996.5").get() - 1)));
    let report = Report::new(&session, &input(Reference::Instrument(InstrumentId(0))));
    assert!(!report.identity.holds);
    assert_eq!(report.identity.difference.unwrap().0, Money::new(-1));
    assert!(report.notes.iter().any(|note| note.contains("do not trust")), "{:?}", report.notes);
    // Another position is as bad.
    let venue = VenueEnd { wallets: vec![money("996.5")], positions: vec![Lots::new(1)] };
    let report =
        Report::new(&played(), &ReportInput { venue: Some(venue), ..input(Reference::Instrument(InstrumentId(0))) });
    assert_eq!((report.identity.holds, report.identity.positions_equal), (false, false));
}

#[test]
fn a_session_without_fills_or_without_anything_is_told_as_it_is() {
    let mut quiet = Session::new(&table(), SessionConfig::default());
    quiet.on_event(&balance(second(1), money("1000")));
    quiet.on_event(&top(second(1), 99, 101));
    quiet.on_event(&Event::Timer(meta(second(4))));
    quiet.finish();
    let mut nothing = Session::new(&InstrumentTable::default(), SessionConfig::default());
    nothing.finish();
    for (session, has_equity) in [(quiet, true), (nothing, false)] {
        let report = Report::new(&session, &input(Reference::Instrument(InstrumentId(0))));
        assert_eq!(report.span.is_some(), has_equity);
        assert!(report.drawdown.is_none());
        let found = (report.trips.win_rate, report.returns.performance.sharpe, report.slippage_bps.all.bps);
        assert_eq!(found, (None, None, None));
        assert!(report.notes.iter().any(|note| note.contains("No order was filled")));
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains("\"sharpe\":null"));
        for page in [html(&report), markdown::render(&report), text::render(&report)] {
            assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
            assert!(page.contains("n/a"));
        }
    }
}

#[test]
fn names_from_outside_are_no_markup() {
    let hostile = "<img src=x onerror=alert(1)>\"'</script>|*";
    let mut input = input(Reference::Instrument(InstrumentId(0)));
    (input.strategy, input.sources) = (hostile.to_owned(), vec![hostile.to_owned()]);
    let report = Report::new(&played(), &input);
    let page = html(&report);
    assert!(!page.contains("<img") && page.contains("&lt;img"));
    assert!(!page.contains("http://") && !page.contains("https://"), "the page needs no network");
    assert!(!markdown::render(&report).contains("<img"));
}

#[test]
fn targets_are_met_or_missed_and_what_is_not_defined_is_missed() {
    let report = Report::new(&played(), &input(Reference::Instrument(InstrumentId(0))));
    let check = |metric, bound| Target { name: "it", metric, bound }.check(&report);
    assert!(check(Metric::WinRate, Bound::AtLeast(0.5)).is_met());
    assert!(!check(Metric::WinRate, Bound::AtLeast(0.51)).is_met());
    assert!(check(Metric::Drawdown, Bound::AtMost(0.01)).is_met());
    let missed = check(Metric::Drawdown, Bound::AtMost(0.009));
    assert!(!missed.is_met());
    assert!(missed.to_string().contains("found 0.00996") && missed.to_string().contains("at most 0.009"), "{missed}");
    let nothing = Session::new(&table(), SessionConfig::default());
    let report = Report::new(&nothing, &input(Reference::Instrument(InstrumentId(0))));
    for metric in [Metric::Sharpe, Metric::Drawdown, Metric::WinRate, Metric::Slippage] {
        let found = Target { name: "it", metric, bound: Bound::AtMost(1e300) }.check(&report);
        assert!(!found.is_met() && found.to_string().contains("not defined"), "{found}");
    }
    assert!(Target { name: "it", metric: Metric::Trips, bound: Bound::AtLeast(0.0) }.check(&report).is_met());
}

#[test]
fn an_estimated_fee_is_corrected_and_an_adopted_position_is_no_profit() {
    let config = SessionConfig { asks_account: true, ..SessionConfig::default() };
    let mut session = Session::new(&table(), config);
    session.on_event(&top(second(1), 99, 101));
    session.on_event(&balance(second(1), money("500")));
    // Told by a stream while the account is asked for: part of what is taken over.
    session.on_event(&Event::Fill(fill(second(1), 1, Side::Bid, 90, 3, Money::ZERO, true)));
    let told = crate::types::Position {
        meta: meta(second(2)),
        qty: Lots::new(3),
        entry_px: money("90"),
        realised: Money::ZERO,
        asked_at: second(1),
    };
    session.on_event(&Event::Position(told));
    session.account_is_known();
    assert_eq!(session.equity, money("530"), "the wallet, and what is open at the mid");
    let mut sold = fill(second(3), 2, Side::Ask, 101, 3, money("1"), false);
    sold.is_fee_final = false;
    session.on_event(&Event::Fill(sold));
    (sold.is_fee_final, sold.fee) = (true, money("1.25"));
    session.on_event(&Event::Fill(sold));
    session.on_event(&Event::Fill(sold));
    session.on_event(&balance(second(3), money("531.75")));
    session.on_event(&Event::Position(crate::types::Position { qty: Lots::ZERO, asked_at: Nanos::ZERO, ..told }));
    session.finish();
    let report = Report::new(&session, &input(Reference::Instrument(InstrumentId(0))));
    assert!(report.identity.holds, "{:?}", report.identity);
    assert_eq!((report.returns.equity_start.0, report.returns.equity_end.0), (money("530"), money("531.75")));
    assert_eq!(report.turnover.fills, 1);
}

#[derive(Clone, Debug)]
enum Happens {
    Quote(i64, i64),
    Fill(bool, i64, i64, bool),
    Funding(i64, i64),
}

fn happenings() -> impl Strategy<Value = Vec<(u64, Happens)>> {
    let quote = (50i64..150, 1i64..5).prop_map(|(bid, spread)| Happens::Quote(bid, bid + spread));
    let fill =
        (any::<bool>(), 50i64..150, 1i64..20, any::<bool>()).prop_map(|(b, px, qty, m)| Happens::Fill(b, px, qty, m));
    let funding = (50i64..150, -20_000i64..20_000).prop_map(|(mark, rate)| Happens::Funding(mark, rate));
    proptest::collection::vec((0u64..4_000_000_000, prop_oneof![3 => quote, 3 => fill, 1 => funding]), 0..120)
}

/// Plays what happens; the simulated venue's account keeps its own books.
fn play(happens: &[(u64, Happens)], sample_ns: u64) -> (Session, Account) {
    play_on(&table(), happens, sample_ns)
}

/// An inverse contract of one dollar.
fn inverse_table() -> InstrumentTable {
    let step = Step::from_text(b"1").unwrap();
    let symbol = Symbol::new(b"XUSD").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Inverse, step, step).unwrap();
    InstrumentTable::new(vec![spec]).unwrap()
}

fn play_on(table: &InstrumentTable, happens: &[(u64, Happens)], sample_ns: u64) -> (Session, Account) {
    let spec = InstrumentSpec {
        maker_fee: Rate::new(-12_345),
        taker_fee: Rate::new(55_555),
        ..*table.get(InstrumentId(0)).unwrap()
    };
    let table = InstrumentTable::new(vec![spec]).unwrap();
    let mut session = Session::new(&table, SessionConfig { sample_ns, ..SessionConfig::default() });
    let mut account = Account::of([spec].iter(), |_| money("100000"), 500);
    let mut now = second(1);
    session.on_event(&balance(now, account.balance()));
    for (idx, (wait_ns, it)) in happens.iter().enumerate() {
        now = now.saturating_add(*wait_ns);
        match it {
            Happens::Quote(bid, ask) => session.on_event(&top(now, *bid, *ask)),
            Happens::Fill(is_buy, px, qty, is_maker) => {
                let side = if *is_buy { Side::Bid } else { Side::Ask };
                let effect = account.fill(InstrumentId(0), &spec, side, Ticks::new(*px), Lots::new(*qty), *is_maker);
                session.on_event(&Event::Fill(fill(now, idx as u64, side, *px, *qty, effect.fee, *is_maker)));
                session.on_event(&balance(now, account.balance()));
            }
            Happens::Funding(mark, rate) => {
                let rate = Rate::new(*rate);
                let paid = account.fund(InstrumentId(0), &spec, Ticks::new(*mark), rate);
                let funding = Funding { meta: meta(now), exec_id: idx as u128, paid, rate, is_query: false };
                // Told by the stream, and again by an answer.
                session.on_event(&Event::Funding(funding));
                session.on_event(&Event::Funding(Funding { is_query: true, ..funding }));
                session.on_event(&balance(now, account.balance()));
            }
        }
    }
    session.finish();
    (session, account)
}

#[test]
fn currencies_have_reports_of_their_own_and_no_figure_of_all() {
    let (usdt, coin) = (*table().get(InstrumentId(0)).unwrap(), *inverse_table().get(InstrumentId(0)).unwrap());
    let both = InstrumentTable::new(vec![usdt, coin]).unwrap();
    let reference = Reference::Instrument(InstrumentId(0));
    let mut sessions = Sessions::new(&both, &SessionConfig::default(), &reference);
    let at = |id: u16, mut event: Event<'static>| {
        event.meta_mut().instrument = InstrumentId(id);
        event
    };
    for (id, wallet) in [(0, "1000"), (1, "5")] {
        sessions.on_event(&at(id, balance(second(1), money(wallet))));
        sessions.on_event(&at(id, top(second(1), 99, 101)));
    }
    // Ten dollars of coins bought at 100 and sold at 125: 0.1 and 0.08 coins. Nothing of the other.
    let told = |s, id, side, px, fee| Event::Fill(fill(second(s), id, side, px, 10, money(fee), true));
    sessions.on_event(&at(1, told(2, 1, Side::Bid, 100, "0.001")));
    sessions.on_event(&at(1, told(3, 2, Side::Ask, 125, "0.002")));
    sessions.on_event(&at(1, balance(second(3), money("5.017"))));
    sessions.finish();
    let reports = sessions.reports(&input(reference));
    let [first, second] = &reports.all[..] else { panic!("{}", reports.all.len()) };
    assert_eq!((&first.currency[..], &second.currency[..]), ("USDT", "X"));
    assert!(reports.hold(), "{:?} {:?}", first.identity, second.identity);
    assert_eq!((first.pnl.total.0, first.turnover.fills), (Money::ZERO, 0));
    assert_eq!((second.pnl.total.0, second.turnover.fills), (money("0.017"), 2));
    assert_eq!((second.identity.realised.0, second.identity.fees.0), (money("0.02"), money("0.003")));
    assert_eq!((first.returns.equity_end.0, second.returns.equity_end.0), (money("1000"), money("5.017")));
    assert_eq!((first.instruments.len(), &second.instruments[0].symbol[..]), (1, "XUSD"));
    assert_eq!((second.trips.closed, second.trips.net.0), (1, money("0.017")));
    assert_eq!(reports.traded().count(), 1);
    // The reference is of another currency, and its market is known all the same.
    assert_eq!(second.reference.name, "XUSDT");
    assert!(second.curves.reference.iter().all(|px| *px == Some(100.0)));
    let json = serde_json::to_value(&reports).unwrap();
    assert_eq!(json["currencies"][1]["identity"]["realised"], "0.02");
    assert!(json.get("pnl").is_none() && json.get("returns").is_none(), "no figure of all of them");
    let text = text::render_all(&reports);
    assert!(text.contains("settled in X") && text.contains("accounts in USDT: 1000 +"), "{text}");
    // A wallet that is not what its own fills say is noticed, whatever the other is.
    let venue = VenueEnd { wallets: vec![money("1000"), money("5.016999999999")], positions: vec![Lots::ZERO; 2] };
    let reports =
        sessions.reports(&ReportInput { venue: Some(venue), ..input(Reference::Instrument(InstrumentId(0))) });
    assert_eq!(reports.all.iter().map(|it| it.identity.holds).collect::<Vec<_>>(), [true, false]);
    assert!(!reports.hold());
}

proptest! {
    /// Realised − fees − funding is what the wallet of an account that keeps its own books changed by, and all trips add up to it.
    #[test]
    fn the_accounting_identity_holds_over_any_fills(happens in happenings(), is_inverse: bool) {
        let table = if is_inverse { inverse_table() } else { table() };
        let (session, account) = play_on(&table, &happens, 1_000_000_000);
        let report = Report::new(&session, &input(Reference::Instrument(InstrumentId(0))));
        prop_assert!(report.identity.holds);
        prop_assert_eq!(report.identity.wallet_expected.0, account.balance());
        let split = &report.pnl;
        let costs = split.fees.0.saturating_add(split.funding.0);
        prop_assert_eq!(split.spread.0.saturating_add(split.inventory.0).saturating_sub(costs), split.total.0);
        prop_assert_eq!(split.funding.0, account.holding(InstrumentId(0)).funding);
        prop_assert_eq!(session.equity, account.start().saturating_add(split.total.0));
        if session.instruments[0].holding.position.is_zero() {
            prop_assert_eq!(report.trips.net.0, account.balance().saturating_sub(account.start()));
        }
        prop_assert_eq!(report.trips.open, usize::from(!session.instruments[0].holding.position.is_zero()));
    }

    /// How often one looks changes neither money nor drawdown, and what is seen at the same moment is the same.
    #[test]
    fn equity_does_not_depend_on_sampling(happens in happenings()) {
        let (fine, _) = play(&happens, 500_000_000);
        let (coarse, _) = play(&happens, 2_000_000_000);
        prop_assert_eq!(fine.equity, coarse.equity);
        prop_assert_eq!(fine.drawdown.worst(), coarse.drawdown.worst());
        prop_assert_eq!(fine.exposure.held_ns, coarse.exposure.held_ns);
        let every: Vec<_> = fine.curve.unwrap().points().iter().step_by(4).cloned().collect();
        let seen = coarse.curve.unwrap();
        prop_assert_eq!(seen.points(), &every[..]);
    }
}
