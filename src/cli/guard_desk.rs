//! The venue as the guard needs it, and the thread that acts on it: cancels, and closes positions where that is asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::guard::GuardArgs;
use super::{Failure, access};
use crate::config::{Config, Environment};
use crate::guard::{CloseOrder, CloseTerms, Desk, Held, NotClosed, Quote, Step, act, boot_ns};
use crate::ring::Flag;
use crate::types::{InstrumentSpec, Nanos, Op, Product, RejectKind, Side, Symbol, TimeInForce};
use crate::venue::bybit::account::ListedPosition;
use crate::venue::bybit::codes::reject_kind;
use crate::venue::bybit::orders::{NewOrder, Number, OrderRequest};
use crate::venue::bybit::rest::{OpenCount, RestClient, RestConfig, RestError};
use crate::venue::bybit::{CancelScope, OrderFilter, Secret};

/// For one request, all in all: a venue that does not answer is asked again.
const REQUEST_WITHIN: Duration = Duration::from_secs(2);

/// Receive window of the guard's own requests.
pub(super) const OWN_WINDOW_MS: u32 = 5_000;

/// How long the venue is still looked at after it was done, and how often.
const AFTERCARE: Duration = Duration::from_secs(30);
const AFTERCARE_EVERY: Duration = Duration::from_secs(2);

/// The venue, as far as the guard needs it.
pub(super) struct Account {
    rest: RestClient,
    scopes: Vec<Scope>,
    /// Whether orders of contracts that wait for a price and can only shrink a position are left: positions stay, and these
    /// protect them.
    keeps_stops: bool,
}

/// What one request covers.
struct Scope {
    product: Product,
    /// Settlement currency of contracts.
    coin: String,
    /// Whether the last look of whoever cancels found an order that waits and may open a position: then all that wait are
    /// cancelled with it.
    has_opening: AtomicBool,
}

impl Scope {
    fn new(product: Product, coin: &str) -> Self {
        Self { product, coin: coin.to_owned(), has_opening: AtomicBool::new(false) }
    }
}

impl Account {
    pub fn open(config: &Config, args: &GuardArgs) -> Result<Self, Failure> {
        if config.venue.environment == Environment::Embedded {
            return Err(Failure::usage("the embedded venue ends with its run; there is nothing to guard"));
        }
        let address = access::address(config)?;
        if !args.live && address.real_host()?.is_some() {
            return Err(Failure::usage(format!("{} is a real venue: cancelling there needs --live", address.rest)));
        }
        let from_env = |name: &str| {
            std::env::var(name).map_err(|_| {
                Failure::usage(format!("{name} is not set; the guard has a key of its own, from the environment alone"))
            })
        };
        let api_key = from_env("TERCEL_GUARD_API_KEY")?;
        let secret = Secret::new(from_env("TERCEL_GUARD_API_SECRET")?);
        let rest = RestClient::new(RestConfig {
            api_key,
            secret: Some(secret),
            extra_ca_pem: address.ca_pem,
            timeout: REQUEST_WITHIN,
            recv_window_ms: OWN_WINDOW_MS,
            ..RestConfig::new(&address.rest)
        })?;
        let mut scopes = Vec::new();
        for category in &config.guard.categories {
            match category.product() {
                Product::Spot => scopes.push(Scope::new(Product::Spot, "")),
                product => scopes.extend(config.guard.settle_coins.iter().map(|coin| Scope::new(product, coin))),
            }
        }
        Ok(Self { rest, scopes, keeps_stops: !config.guard.flatten })
    }

    /// The venue's clock less ours, in milliseconds.
    pub fn clock_offset_ms(&self) -> Result<i64, RestError> {
        let before = unix_ms();
        let venue_ms = self.rest.time()?.as_millis();
        Ok(venue_ms as i64 - ((before + unix_ms()) / 2) as i64)
    }

    /// Open orders of everything that is guarded, without those that are left.
    pub fn count(&self, offset_ms: i64) -> Result<usize, RestError> {
        self.each_count(offset_ms, |_, _| {})
    }

    /// The same by whoever cancels, who remembers what is to be cancelled next.
    pub fn look(&self, offset_ms: i64) -> Result<usize, RestError> {
        self.each_count(offset_ms, |scope, found| scope.has_opening.store(found.waiting > 0, Ordering::Relaxed))
    }

    fn each_count(&self, offset_ms: i64, seen: impl Fn(&Scope, &OpenCount)) -> Result<usize, RestError> {
        let mut open = 0;
        for scope in &self.scopes {
            let now_ms = unix_ms().saturating_add_signed(offset_ms);
            let found = self.rest.open_orders_count(scope.product, &scope.coin, now_ms)?;
            seen(scope, &found);
            open += found.active + found.waiting + if self.keeps_stops { 0 } else { found.protective };
        }
        Ok(open)
    }

    /// Cancels everything that is guarded and not left; a request that fails does not keep the others. Spot needs a request for each kind
    /// of order: at the first `round` all of them, afterwards one a round in turn, to stay within the limit of its rate.
    pub fn cancel(&self, round: usize, offset_ms: i64) -> Result<usize, RestError> {
        let (mut cancelled, mut failed) = (0, None);
        for Scope { product, coin, has_opening } in &self.scopes {
            let spot = [OrderFilter::Order, OrderFilter::StopOrder, OrderFilter::TpslOrder];
            let leaves_stops = self.keeps_stops && !has_opening.load(Ordering::Relaxed);
            let filters: Vec<Option<OrderFilter>> = match (product, round) {
                (Product::Spot, 0) => spot.into_iter().map(Some).collect(),
                (Product::Spot, round) => vec![Some(spot[round % spot.len()])],
                _ => vec![leaves_stops.then_some(OrderFilter::Order)],
            };
            for filter in filters {
                let scope = CancelScope { filter, ..CancelScope::everything(*product, coin) };
                match self.rest.cancel_scope(&scope, unix_ms().saturating_add_signed(offset_ms)) {
                    Ok(count) => cancelled += count,
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        failed.map_or(Ok(cancelled), Err)
    }

    /// Positions of the guarded contracts. Spot has none.
    pub fn held(&self, offset_ms: i64) -> Result<Vec<Held>, RestError> {
        let mut out = Vec::new();
        for scope in self.scopes.iter().filter(|scope| scope.product == Product::Linear) {
            let found =
                self.rest.listed_positions(scope.product, &scope.coin, unix_ms().saturating_add_signed(offset_ms))?;
            let held = |it: ListedPosition| Held { symbol: it.symbol, size: it.size, is_one_way: it.position_idx == 0 };
            out.extend(found.into_iter().map(held));
        }
        Ok(out)
    }

    /// Steps and bounds of a contract.
    fn spec(&self, symbol: Symbol) -> Result<InstrumentSpec, String> {
        let listings = self.rest.listings_of(Product::Linear, &[symbol.as_str()]).map_err(|e| e.to_string())?;
        if let Some(listing) = listings.found.first() {
            return Ok(listing.spec);
        }
        let reason = listings.unusable.first().map_or("the venue does not list it", |found| found.reason.as_str());
        Err(reason.to_owned())
    }
}

pub(super) fn unix_ms() -> u64 {
    unix_ns() / 1_000_000
}

fn unix_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What the cancelling thread is to do.
pub(super) struct Job {
    pub incarnation: u64,
    pub offset_ms: i64,
    /// No earlier is it done.
    pub not_before: Nanos,
    /// Close positions afterwards, like this.
    pub closing: Option<CloseTerms>,
    /// Set when another incarnation is watched: the orders are its own from then on.
    pub released: Flag,
    /// Set when another incarnation trades: the positions are its own from then on.
    pub taken_over: Flag,
}

/// What the threads tell.
pub(super) enum News {
    Offset(i64),
    Trouble(String),
    /// What was done, and when by [`boot_ns`].
    Step(u64, Step),
    Settled(u64),
    Late(usize),
}

/// The venue during one job.
struct Acting<'a> {
    account: &'a Account,
    job: Job,
    news: &'a Sender<News>,
    /// Of the contracts that were held, asked once.
    specs: Vec<InstrumentSpec>,
    /// Name of the closing orders.
    begun_ns: u64,
    orders: u32,
}

impl Acting<'_> {
    fn venue_ms(&self) -> u64 {
        unix_ms().saturating_add_signed(self.job.offset_ms)
    }
}

impl Desk for Acting<'_> {
    fn cancel(&mut self, round: usize) -> Result<usize, String> {
        self.account.cancel(round, self.job.offset_ms).map_err(|e| e.to_string())
    }

    fn open_orders(&mut self) -> Result<usize, String> {
        self.account.look(self.job.offset_ms).map_err(|e| e.to_string())
    }

    fn held(&mut self) -> Result<Vec<Held>, String> {
        self.account.held(self.job.offset_ms).map_err(|e| e.to_string())
    }

    fn quote(&mut self, held: &Held) -> Result<Quote, String> {
        let spec = match self.specs.iter().find(|spec| spec.symbol == held.symbol) {
            Some(spec) => *spec,
            None => {
                let spec = self.account.spec(held.symbol)?;
                self.specs.push(spec);
                spec
            }
        };
        let now = self.account.rest.market_snapshot(Product::Linear, held.symbol.as_str());
        let now = now.map_err(|e| e.to_string())?;
        let best_px = if held.closing_side() == Side::Ask { now.bid_px } else { now.ask_px };
        Ok(Quote { spec, best_px })
    }

    fn close(&mut self, order: &CloseOrder) -> Result<(), NotClosed> {
        let number = |count, step| {
            Number::steps(count, step).ok_or(NotClosed { text: "a negative number".to_owned(), may_arrive: false })
        };
        let (px, qty) = (number(order.px.get(), order.spec.tick)?, number(order.qty.get(), order.spec.lot)?);
        self.orders = self.orders.wrapping_add(1);
        let link_id = CloseOrder::link_id(self.begun_ns, self.orders);
        let symbol = order.spec.symbol;
        let request = NewOrder {
            px: Some(px),
            tif: TimeInForce::ImmediateOrCancel,
            reduce_only: true,
            ..NewOrder::market(Product::Linear, symbol.as_str(), order.side, qty, &link_id)
        };
        let sent = self.account.rest.place(&OrderRequest::New(request), self.venue_ms());
        sent.map(|_| ()).map_err(|error| NotClosed {
            may_arrive: match &error {
                RestError::Venue { code, .. } => {
                    let kind = i32::try_from(*code).map(|code| reject_kind(Op::Create, code));
                    matches!(kind, Ok(RejectKind::Unknown | RejectKind::Busy) | Err(_))
                }
                RestError::NoKey { .. } => false,
                _ => true,
            },
            text: error.to_string(),
        })
    }

    fn recover(&mut self) {
        // Our time may be what the venue refuses, and the steps may have changed.
        if let Ok(offset_ms) = self.account.clock_offset_ms() {
            self.job.offset_ms = offset_ms;
        }
        self.specs.clear();
    }

    fn is_taken_over(&self) -> bool {
        self.job.taken_over.is_set()
    }

    fn now(&self) -> Nanos {
        Nanos::new(boot_ns())
    }

    fn pause(&mut self, pause_ns: u64) {
        std::thread::sleep(Duration::from_nanos(pause_ns));
    }

    fn tell(&mut self, step: Step) {
        // A guard that has gone does not listen any more: nothing is lost with its news.
        let _ = self.news.send(News::Step(boot_ns(), step));
    }
}

/// The cancelling thread: sweeps, closes what it is to, and then looks after what may still come.
pub(super) fn cancelling(account: &Account, jobs: &Receiver<Job>, news: &Sender<News>) {
    let tell = |what: News| drop(news.send(what));
    let begun_ns = unix_ns();
    let mut orders = 0;
    let mut aftercare: Option<(Instant, Job)> = None;
    loop {
        let job = match jobs.recv_timeout(AFTERCARE_EVERY) {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let Some((until, job)) = &aftercare else { continue };
                if job.released.is_set() || Instant::now() >= *until {
                    aftercare = None;
                    continue;
                }
                match account.look(job.offset_ms) {
                    Ok(0) => {}
                    Ok(open) if !job.released.is_set() => {
                        tell(News::Late(open));
                        if let Err(error) = account.cancel(0, job.offset_ms) {
                            tell(News::Trouble(error.to_string()));
                        }
                    }
                    Ok(_) => {}
                    Err(error) => tell(News::Trouble(error.to_string())),
                }
                continue;
            }
        };
        let (not_before, closing, specs) = (job.not_before, job.closing, Vec::new());
        let mut acting = Acting { account, job, news, specs, begun_ns, orders };
        act(&mut acting, not_before, closing.as_ref());
        orders = acting.orders;
        tell(News::Settled(acting.job.incarnation));
        aftercare = Some((Instant::now() + AFTERCARE, acting.job));
    }
}
