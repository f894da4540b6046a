//! What a live run trades: chosen by a scan, fitted into memory and connections, and watched while it runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::survey::{Surveyor, rest_failure};
use super::{Failure, scan_report::ScanReport};
use crate::book::L2Book;
use crate::config::Config;
use crate::engine::Limits;
use crate::runtime::Live;
use crate::scan::{Change, ChangeKind, changes};
use crate::types::{Control, Event, InstrumentId, InstrumentSpec, InstrumentTable, Meta, Nanos, Product, Symbol};
use crate::venue::bybit::encode::{TOPIC_CHARS_MAX, market_topics, subscribe, topic_chars, unsubscribe};
use crate::venue::bybit::rest::{FeeRates, RestClient, RestError};

/// Names of the instruments to trade: those of the configuration, else the best of a scan, else none, which means all that an
/// embedded venue has. `fees` are the account's, if they are known.
///
/// # Errors
/// When the venue does not answer, or nothing passes the filters.
pub fn choose(
    config: &Config,
    rest: &RestClient,
    base_url: &str,
    fees: Option<BTreeMap<String, FeeRates>>,
    now: Nanos,
    must_stop: &dyn Fn() -> bool,
) -> Result<Vec<String>, Failure> {
    if !config.instruments.is_empty() || config.scan.subscribe == 0 {
        return Ok(config.instruments.iter().map(|instrument| instrument.symbol.clone()).collect());
    }
    let mut progress = |done: usize, all: usize| {
        if done == all {
            eprintln!("candles {done}/{all}");
        }
    };
    let mut surveyor = Surveyor { rest, config, fees, progress: &mut progress, must_stop };
    let survey = surveyor.survey(now).map_err(|error| rest_failure(base_url, &error))?;
    let top = config.scan.subscribe;
    let names = survey.scan.best(top);
    // All of them in the report at the end; here the head of the list is enough.
    let report = ScanReport::new(&survey, base_url, config.scan.product.product().name(), 10, now, None);
    eprint!("{}", report.text());
    if names.is_empty() {
        return Err(Failure::usage("the scan found no instrument that passes [scan]; see the reasons above"));
    }
    eprintln!("subscribing the best {} of {} that passed", names.len(), survey.scan.ranked.len());
    Ok(names)
}

/// Least window of a book in ticks.
const WINDOW_TICKS_MIN: usize = 128;

/// Capacities with which the books of `instruments` instruments at `depth` levels fit into `bytes_max`: a stream of `depth`
/// levels needs no long list beside the window, and the window is halved as often as it must be. A smaller window is slower
/// where prices run far, never wrong.
///
/// # Errors
/// When not even the smallest books fit.
pub fn fit_limits(limits: Limits, instruments: usize, depth: u16, bytes_max: usize) -> Result<Limits, Failure> {
    let far_levels_max = limits.far_levels_max.min(4 * usize::from(depth.max(64)));
    let mut fitted = Limits { far_levels_max, ..limits };
    let bytes =
        |limits: &Limits| instruments.saturating_mul(L2Book::memory_bytes(limits.window_ticks, limits.far_levels_max));
    while bytes(&fitted) > bytes_max && fitted.window_ticks > WINDOW_TICKS_MIN {
        fitted.window_ticks /= 2;
    }
    if bytes(&fitted) > bytes_max {
        return Err(Failure::usage(format!(
            "the books of {instruments} instruments take {} MiB at least, scan.books-mib-max allows {}",
            bytes(&fitted).div_ceil(1 << 20),
            bytes_max >> 20
        )));
    }
    Ok(fitted)
}

/// What one connection asks for.
pub struct Subscription {
    /// Messages that subscribe everything.
    pub subscribe: Vec<Vec<u8>>,
    /// By instrument, empty for those of other connections: messages that end and renew the subscription of its book.
    pub resubscribe: Vec<Vec<Vec<u8>>>,
}

/// Spreads the topics of all instruments over as few connections as the venue's limit allows. `None` if those of a single
/// instrument are too long, or if there is none.
pub fn subscriptions(table: &InstrumentTable, depth: u16) -> Option<Vec<Subscription>> {
    let product = Product::Linear;
    let mut groups: Vec<(usize, Vec<String>, Vec<InstrumentId>)> = Vec::new();
    for (id, spec) in table.iter() {
        let topics = market_topics(spec.symbol.as_str(), depth, product);
        let chars = topic_chars(&topics);
        match groups.last_mut() {
            Some((taken, all, ids)) if *taken + chars <= TOPIC_CHARS_MAX => {
                *taken += chars;
                all.extend(topics);
                ids.push(id);
            }
            _ => groups.push((chars, topics, vec![id])),
        }
    }
    let bytes = |messages: Vec<String>| messages.into_iter().map(String::into_bytes);
    let mut out = Vec::new();
    for (_, topics, ids) in groups {
        let mut resubscribe = vec![Vec::new(); table.len()];
        for id in ids {
            let book = [format!("orderbook.{depth}.{}", table.get(id)?.symbol)];
            resubscribe[id.idx()] =
                bytes(unsubscribe(&book, product)?).chain(bytes(subscribe(&book, product)?)).collect();
        }
        out.push(Subscription { subscribe: bytes(subscribe(&topics, product)?).collect(), resubscribe });
    }
    (!out.is_empty()).then_some(out)
}

/// Instruments that are asked for by name when the list has them no more.
const MISSING_ASKED_MAX: usize = 16;

/// Looks at the venue's list again and again, on a thread of its own, until it is dropped.
pub struct Refresh {
    news: Receiver<Result<Vec<Change>, String>>,
    table: InstrumentTable,
    /// What was said about each instrument, so that it is said once.
    told: BTreeMap<String, ChangeKind>,
    had_failed: bool,
    /// Its end ends the thread.
    _stop: Sender<()>,
}

impl Refresh {
    /// Starts the thread; the first look is after `every`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(rest: RestClient, table: &InstrumentTable, every: Duration) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let (tell, news) = channel();
        let known: Vec<InstrumentSpec> = table.iter().map(|(_, spec)| *spec).collect();
        std::thread::Builder::new().name("refresh".to_owned()).spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                if tell.send(look_again(&rest, &known).map_err(|error| error.to_string())).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { news, table: table.clone(), told: BTreeMap::new(), had_failed: false, _stop: stop })
    }

    /// Takes what was seen, if there is something: instruments that must not be quoted are withdrawn, those that are as they
    /// were come back, and each is said once. Never blocks.
    pub fn act(&mut self, live: &mut Live) {
        let Ok(news) = self.news.try_recv() else { return };
        let now = live.clock().now();
        let lines = self.take(news, |id, control| {
            live.tell(&Event::Control(Meta { instrument: id, recv: now, ..Meta::default() }, control))
        });
        for line in lines {
            eprintln!("{line}");
        }
    }

    /// What to say about the news; `tell` reaches the engine and returns whether it was taken.
    fn take(
        &mut self,
        news: Result<Vec<Change>, String>,
        mut tell: impl FnMut(InstrumentId, Control) -> bool,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        let found = match news {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut self.had_failed, true) {
                    lines.push(format!(
                        "warning: the venue's list cannot be read, what changes there is not seen: {error}"
                    ));
                }
                return lines;
            }
        };
        self.had_failed = false;
        let mut now: BTreeMap<String, Change> = found.into_iter().map(|c| (c.symbol.to_string(), c)).collect();
        for (id, spec) in self.table.iter() {
            let name = spec.symbol.to_string();
            let before = self.told.get(&name);
            let change = now.remove(&name);
            if before == change.as_ref().map(|change| &change.kind) {
                continue;
            }
            let was_withdrawn = before.is_some_and(ChangeKind::must_withdraw);
            let must_withdraw = change.as_ref().is_some_and(|change| change.kind.must_withdraw());
            let control = match (was_withdrawn, must_withdraw) {
                (false, true) => Some(Control::Withdraw),
                (true, false) => Some(Control::Readmit),
                _ => None,
            };
            if control.is_some_and(|control| !tell(id, control)) {
                // The core is behind: the next look tries again.
                continue;
            }
            lines.push(match (&change, control) {
                (Some(change), Some(Control::Withdraw)) => {
                    let again = match change.kind {
                        ChangeKind::Steps { .. } => "restart the run to trade it with its new steps",
                        _ => "it is traded again when it is back as it was",
                    };
                    format!("withdrawn: {change}; its orders are cancelled, its position stays; {again}")
                }
                (Some(change), Some(_)) => format!("readmitted: {change}"),
                (None, Some(_)) => format!("readmitted: {name}: it trades as before"),
                (Some(change), None) => format!("note: {change}"),
                (None, None) => format!("note: {name}: it is as it was"),
            });
            match change {
                Some(change) => _ = self.told.insert(name, change.kind),
                None => _ = self.told.remove(&name),
            }
        }
        lines
    }
}

fn look_again(rest: &RestClient, known: &[InstrumentSpec]) -> Result<Vec<Change>, RestError> {
    let mut listed = rest.trading_listings(Product::Linear)?;
    let is_told = |listed: &crate::venue::bybit::Listings, symbol: &Symbol| {
        listed.found.iter().any(|l| l.spec.symbol == *symbol)
            || listed.unusable.iter().any(|item| item.symbol == symbol.as_str())
    };
    let missing: Vec<Symbol> =
        known.iter().map(|spec| spec.symbol).filter(|symbol| !is_told(&listed, symbol)).collect();
    for symbol in missing.iter().take(MISSING_ASKED_MAX) {
        // By name the venue also lists what does not trade; one that it does not know at all is an error of its own.
        if let Ok(more) = rest.listings_of(Product::Linear, &[symbol.as_str()]) {
            listed.found.extend(more.found);
            listed.unusable.extend(more.unusable);
        }
    }
    Ok(changes(known, &listed.found, &listed.unusable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ListingStatus, Step, VenueId};

    fn table(count: usize) -> InstrumentTable {
        let step = Step::from_text(b"0.1").unwrap();
        let spec = |idx: usize| {
            let symbol = Symbol::new(format!("COIN{idx}USDT").as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap()
        };
        InstrumentTable::new((0..count).map(spec).collect()).unwrap()
    }

    #[test]
    fn topics_are_spread_over_connections_within_the_limit() {
        for (count, connections) in [(1, 1), (120, 1), (240, 2), (600, 3)] {
            let table = table(count);
            let found = subscriptions(&table, 50).unwrap();
            let mut topics_count = 0;
            for connection in &found {
                let mut chars = 0;
                for message in &connection.subscribe {
                    let value: serde_json::Value = serde_json::from_slice(message).unwrap();
                    let args = value["args"].as_array().unwrap();
                    topics_count += args.len();
                    chars += args.iter().map(|arg| arg.as_str().unwrap().len() + 3).sum::<usize>();
                }
                assert!(chars <= 21_000, "{count}: {chars}");
                assert_eq!(connection.resubscribe.len(), count);
            }
            assert_eq!(topics_count, 4 * count);
            // Each book is renewed by the one connection that carries it.
            for idx in 0..count {
                assert_eq!(found.iter().filter(|c| !c.resubscribe[idx].is_empty()).count(), 1);
            }
            assert_eq!(found.len(), connections, "{count}");
        }
        assert!(subscriptions(&table(0), 50).is_none());
    }

    #[test]
    fn books_are_fitted_into_their_budget() {
        let limits = Limits::default();
        assert_eq!(fit_limits(limits, 2, 50, 64 << 20).unwrap().window_ticks, limits.window_ticks);
        let fitted = fit_limits(limits, 500, 50, 64 << 20).unwrap();
        let bytes = |l: &Limits| 500 * L2Book::memory_bytes(l.window_ticks, l.far_levels_max);
        assert!(bytes(&fitted) <= 64 << 20);
        assert!(bytes(&Limits { window_ticks: fitted.window_ticks * 2, ..fitted }) > 64 << 20);
        assert!(fitted.far_levels_max >= 50);
        assert!(fit_limits(limits, 4096, 50, 1 << 20).is_err());
    }

    #[test]
    fn each_change_is_acted_on_and_said_once() {
        let (_stop, news) = (channel::<()>().0, channel().1);
        let mut refresh = Refresh { news, table: table(3), told: BTreeMap::new(), had_failed: false, _stop };
        let change = |idx: u16, kind| {
            let symbol = Symbol::new(format!("COIN{idx}USDT").as_bytes()).unwrap();
            Change { symbol, kind }
        };
        let halted = || change(1, ChangeKind::Halted(ListingStatus::Closed));
        let mut told = Vec::new();
        let mut act = |refresh: &mut Refresh, news, takes: bool| {
            let before = told.len();
            let lines = refresh.take(news, |id, control| {
                told.push((id.0, control));
                takes
            });
            (lines, told[before..].to_vec())
        };
        // A core that is behind is told again.
        let (lines, told) = act(&mut refresh, Ok(vec![halted()]), false);
        assert_eq!((lines.len(), told), (0, vec![(1, Control::Withdraw)]));
        let (lines, told) = act(&mut refresh, Ok(vec![halted(), change(2, ChangeKind::Bounds)]), true);
        assert_eq!(told, [(1, Control::Withdraw)]);
        assert!(lines[0].starts_with("withdrawn: COIN1USDT: its status is closed"), "{lines:?}");
        assert!(lines[1].starts_with("note: COIN2USDT: its order bounds"), "{lines:?}");
        let (lines, told) = act(&mut refresh, Ok(vec![halted(), change(2, ChangeKind::Bounds)]), true);
        assert!(lines.is_empty() && told.is_empty());
        // Another reason to stay out is said, and asks nothing new of the engine.
        let (lines, told) = act(&mut refresh, Ok(vec![change(1, ChangeKind::Unlisted)]), true);
        assert!(lines.len() == 2 && told.is_empty(), "{lines:?}");
        // A failure says nothing about instruments.
        let (lines, told) = act(&mut refresh, Err("down".into()), true);
        assert!(lines.len() == 1 && told.is_empty());
        assert!(act(&mut refresh, Err("down".into()), true).0.is_empty());
        let (lines, told) = act(&mut refresh, Ok(vec![]), true);
        assert_eq!((lines.len(), told), (1, vec![(1, Control::Readmit)]));
    }
}
