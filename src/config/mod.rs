//! TOML → validated, typed configuration.
//!
//! Every value is checked where it is read, so that an error names file, line, key, what was found and what is allowed.
//! Secrets are not part of it: keys come from the environment. `tercel check-config FILE` prints what a file means.

mod value;
#[macro_use]
mod table;
mod currency;
mod entry;
mod ghost;
mod hedge;
mod protect;
mod scan;
mod slow_risk;
mod stops;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use currency::CurrencyTable;
pub use entry::{EdgeTable, KellyTable, LeverageTable, PaceTable};
pub use ghost::GhostTable;
pub use hedge::HedgeTable;
pub use protect::{BreakersTable, FairTable, StopTable};
pub use scan::{KLINE_INSTRUMENTS_MAX, ScanProduct, ScanTable};
pub use slow_risk::SlowRiskTable;
pub use stops::{StopBy, StopsTable};
pub use validate::ValidateTable;
pub use value::Ratio;
use value::StepText;
pub use value::{Bps, CurrencyText, Duration, LatencyText, MoneyText, SignedMoneyText, Size, parse_duration};

use crate::engine::{EngineConfig, Foreign, Limits, ReconcileConfig};
use crate::journal::Retention;
use crate::order::LifeRules;
use crate::risk::{Compounding, RateLimits, RiskLimits};
use crate::runtime::{Idle, JournalBounds, LockMemory, MARKET_CONNECTIONS_MAX, RealTime, Topology, WARM_EVERY_NS};
use crate::signal::SignalConfig;
use crate::sim::QueuePosition;
use crate::strategy::{BuiltIn, ImbalanceTaker, ImbalanceTakerConfig, MarketMaker, MarketMakerConfig};
use crate::types::{Currency, InstrumentSpec, InstrumentTable, Product, Rate, Symbol, VenueId};
use crate::venue::bybit::FeeTier;
use crate::venue::bybit::rest::FeeRates;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value is not what is allowed.
    #[error("{}: {text}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// Line, key, what was found and what is allowed.
        text: String,
    },
}

/// The whole configuration. Every table and key may be left out; the defaults trade on the embedded simulated venue.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Where to trade.
    pub venue: VenueConfig,
    /// What to trade; empty: what the venue of the run offers first (the simulated venue: all it has).
    pub instruments: Vec<InstrumentConfig>,
    /// Which strategy.
    pub strategy: StrategyConfig,
    /// Parameters of the market maker.
    pub market_maker: MarketMakerTable,
    /// Parameters of the imbalance taker.
    pub imbalance_taker: ImbalanceTakerTable,
    /// Risk limits.
    pub risk: RiskTable,
    /// Limits in settlement currencies beside that of [`RiskTable::currency`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub currency: BTreeMap<CurrencyText, CurrencyTable>,
    /// What a trade must be expected to earn, and when it is left.
    pub edge: EdgeTable,
    /// Size from win rate and payoff.
    pub kelly: KellyTable,
    /// Size from the least profit.
    pub leverage: LeverageTable,
    /// Trades of a day.
    pub pace: PaceTable,
    /// What exposures are held with.
    pub hedge: HedgeTable,
    /// Stop orders that protect positions at the venue.
    pub stops: StopsTable,
    /// Breakers.
    pub breakers: BreakersTable,
    /// The ghost trader.
    pub ghost: GhostTable,
    /// Fair trading.
    pub fair: FairTable,
    /// Slow risk.
    pub slow_risk: SlowRiskTable,
    /// How a run is stopped.
    pub stop: StopTable,
    /// The venue's rate limits.
    pub rates: RatesTable,
    /// Orders and how their state is kept true.
    pub orders: OrdersTable,
    /// Time constants of the signals.
    pub signals: SignalsTable,
    /// Threads and cores.
    pub threads: ThreadsTable,
    /// Capacities.
    pub limits: LimitsTable,
    /// Which instruments are worth trading.
    pub scan: ScanTable,
    /// The simulated venue.
    pub simex: SimexTable,
    /// The journal.
    pub journal: JournalTable,
    /// The guard, and how a run is guarded.
    pub guard: GuardTable,
    /// What is asked of a backtest by `tercel validate`.
    pub validate: ValidateTable,
}

/// Which environment of the venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// The simulated venue inside this process.
    #[default]
    Embedded,
    /// A venue at the hosts given (a simulated venue run alone, a proxy).
    Custom,
    /// The venue's test environment.
    Testnet,
    /// The real venue's demo accounts: the real market, simulated money, orders over REST.
    Demo,
    /// The real venue.
    Mainnet,
}

/// How orders reach the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderEntry {
    /// Over the order-entry WebSocket.
    Websocket,
    /// Over REST, one request after the other: where the venue has no such WebSocket.
    Rest,
}

/// Where to trade.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct VenueConfig {
    /// Which environment. Everything but `embedded` and `custom` on a loopback address needs `--live`.
    pub environment: Environment,
    /// `custom`: WebSocket base, like `ws://127.0.0.1:7001`.
    pub ws: Option<String>,
    /// REST base, like `http://127.0.0.1:7001`, instead of the environment's own.
    pub rest: Option<String>,
    /// Base of the public WebSockets, like `wss://stream.bybit.eu`, instead of the environment's own.
    pub ws_public: Option<String>,
    /// Base of the private WebSocket, likewise.
    pub ws_private: Option<String>,
    /// Base of the order-entry WebSocket, likewise.
    pub ws_trade: Option<String>,
    /// How orders reach the venue; none: `rest` on `demo`, which has nothing else, and `websocket` elsewhere.
    pub order_entry: Option<OrderEntry>,
    /// File of mode 0600 with the lines `TERCEL_API_KEY=…` and `TERCEL_API_SECRET=…`, instead of the environment.
    pub secret_file: Option<PathBuf>,
    /// Fee of a resting fill where the venue does not tell the account's rates (demo accounts).
    pub maker_fee_bps: Bps,
    /// Fee of a crossing fill, likewise.
    pub taker_fee_bps: Bps,
    /// PEM file of the certificate authority to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Depth of the order book stream.
    pub book_depth: u16,
    /// How late a request may arrive at the venue, in milliseconds.
    pub recv_window_ms: u32,
    /// Market data connections that race for the first copy of each message, 1 to 3.
    pub market_connections: u8,
    /// A market data connection of that age is replaced, its successor first; `0s`: never.
    pub renew_connections_every: Duration,
    /// A book of which nothing was heard for so long is subscribed anew; `0s`: never.
    pub stream_silent_after: Duration,
}

impl Default for VenueConfig {
    fn default() -> Self {
        Self {
            environment: Environment::Embedded,
            ws: None,
            rest: None,
            ws_public: None,
            ws_private: None,
            ws_trade: None,
            order_entry: None,
            secret_file: None,
            // What the lowest tier pays for contracts.
            maker_fee_bps: Bps(Rate::new(20_000)),
            taker_fee_bps: Bps(Rate::new(55_000)),
            ca_file: None,
            book_depth: 50,
            recv_window_ms: 5_000,
            market_connections: 1,
            renew_connections_every: Duration(0),
            stream_silent_after: Duration(10_000_000_000),
        }
    }
}

impl VenueConfig {
    /// How orders reach the venue.
    pub fn order_entry(&self) -> OrderEntry {
        let usual = if self.environment == Environment::Demo { OrderEntry::Rest } else { OrderEntry::Websocket };
        self.order_entry.unwrap_or(usual)
    }

    /// Whether fast executions can be followed beside the full ones: demo accounts have none.
    pub fn has_fast_executions(&self) -> bool {
        self.environment != Environment::Demo
    }
}

/// An instrument; what is left out comes from the venue.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstrumentConfig {
    /// The venue's name.
    pub symbol: String,
    /// Tick size, for replays of captures without a sidecar.
    #[serde(default)]
    tick: Option<StepText>,
    /// Lot size, likewise.
    #[serde(default)]
    lot: Option<StepText>,
}

impl InstrumentConfig {
    /// An instrument of which only the name is given.
    pub fn named(symbol: &str) -> Self {
        Self { symbol: symbol.to_owned(), tick: None, lot: None }
    }

    /// The instrument, if tick and lot are given.
    pub fn spec(&self, venue: VenueId, product: Product) -> Option<InstrumentSpec> {
        let symbol = Symbol::new(self.symbol.as_bytes())?;
        InstrumentSpec::new(venue, symbol, product, self.tick?.0, self.lot?.0)
    }
}

/// The strategies that ship with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// Inventory-aware market maker.
    #[default]
    MarketMaker,
    /// Takes the touch when the queues lean.
    ImbalanceTaker,
    /// Watches and never trades.
    Watch,
}

/// Which strategy.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StrategyConfig {
    /// Its name.
    pub name: StrategyName,
}

table! {
    /// Parameters of the market maker; see [`MarketMakerConfig`].
    MarketMakerTable {
        /// Value of one quote.
        quote_value: MoneyText,
        /// Value of the position at which a side is withdrawn.
        position_value_max: MoneyText,
        /// Risk aversion per tick.
        risk_aversion: Ratio,
        /// Decay of the fill rate per tick.
        fill_decay: Ratio,
        /// Horizon.
        horizon: Duration,
        /// Earned per fill beyond the fee at least.
        margin_bps: Bps,
        /// Whether the maker fee widens the quote.
        cover_fees: bool,
        /// Ticks by which a quote may be off before it is moved.
        tolerance_ticks: u32,
    }
}

impl Default for MarketMakerTable {
    fn default() -> Self {
        let d = MarketMakerConfig::default();
        Self {
            quote_value: MoneyText(d.quote_value),
            position_value_max: MoneyText(d.position_value_max),
            risk_aversion: Ratio(d.risk_aversion),
            fill_decay: Ratio(d.fill_decay),
            horizon: Duration(1_000_000_000),
            margin_bps: Bps(d.margin),
            cover_fees: d.cover_fees,
            tolerance_ticks: d.tolerance_ticks as u32,
        }
    }
}

table! {
    /// Parameters of the imbalance taker; see [`ImbalanceTakerConfig`].
    ImbalanceTakerTable {
        /// Value of one trade.
        trade_value: MoneyText,
        /// Smoothed queue imbalance beyond which a side is taken, between 0 and 1.
        threshold: Ratio,
        /// Expected move that is demanded; zero takes every signal.
        edge_bar_bps: Bps,
        /// Longest time in a position.
        hold: Duration,
        /// Least time between two entries.
        pause: Duration,
    }
}

impl Default for ImbalanceTakerTable {
    fn default() -> Self {
        let d = ImbalanceTakerConfig::default();
        Self {
            trade_value: MoneyText(d.trade_value),
            threshold: Ratio(d.threshold),
            edge_bar_bps: Bps(d.edge_bar),
            hold: Duration(d.hold_ns),
            pause: Duration(d.pause_ns),
        }
    }
}

table! {
    /// Risk limits; see [`RiskLimits`].
    RiskTable {
        /// The main settlement currency: what all amounts are in that stand in no table of another one.
        currency: CurrencyText,
        /// Largest value of one order.
        order_value_max: MoneyText,
        /// Largest value of one position.
        position_value_max: MoneyText,
        /// Largest sum of all positions.
        gross_value_max: MoneyText,
        /// Most open orders of one instrument.
        open_orders_max: u32,
        /// Largest sum of all positions, shorts against longs.
        net_value_max: MoneyText,
        /// Most that may be committed at any instant: margin, fees, the next funding payments and losses.
        capital: MoneyText,
        /// Share of the profit that is added to the capital.
        reinvest_bps: Bps,
        /// Capital left at which nothing more is entered.
        capital_floor: MoneyText,
        /// Greatest leverage, in hundredths; the account's own must be no less.
        leverage_e2: u32,
        /// Greatest fee of a taker, reserved for opening and closing.
        taker_fee_bps: Bps,
        /// Reserved beside fees.
        extra_fee_bps: Bps,
        /// Greatest rate of a funding payment, reserved for the next one.
        funding_cap_bps: Bps,
        /// Farthest distance of a price from the touch.
        collar_bps: Bps,
        /// Farthest distance of a price from the last trade; 10000: none is needed.
        trade_collar_bps: Bps,
        /// Widest spread at which a position may grow.
        spread_max_bps: Bps,
        /// Age at which a touch is stale.
        stale_after: Duration,
        /// Time within which the same order is a duplicate.
        duplicate_within: Duration,
        /// Greatest loss of a day.
        day_loss_max: MoneyText,
        /// Greatest fall from the peak.
        drawdown_max: MoneyText,
    }
}

impl Default for RiskTable {
    fn default() -> Self {
        let d = RiskLimits::default();
        Self {
            currency: CurrencyText(Currency::USDT),
            order_value_max: MoneyText(d.order_value_max),
            position_value_max: MoneyText(d.position_value_max),
            gross_value_max: MoneyText(d.gross_value_max),
            open_orders_max: d.open_orders_max,
            net_value_max: MoneyText(d.net_value_max),
            capital: MoneyText(d.capital),
            reinvest_bps: Bps(d.compounding.reinvest),
            capital_floor: MoneyText(d.compounding.floor),
            leverage_e2: d.leverage_e2,
            taker_fee_bps: Bps(d.taker_fee),
            extra_fee_bps: Bps(d.extra_fee),
            funding_cap_bps: Bps(d.funding_cap),
            collar_bps: Bps(d.collar),
            trade_collar_bps: Bps(d.trade_collar),
            spread_max_bps: Bps(d.spread_max),
            stale_after: Duration(d.stale_after_ns),
            duplicate_within: Duration(d.duplicate_within_ns),
            day_loss_max: MoneyText(d.day_loss_max),
            drawdown_max: MoneyText(d.drawdown_max),
        }
    }
}

table! {
    /// Requests per second that the venue allows; see [`RateLimits`].
    RatesTable {
        /// New orders.
        create_per_s: u32,
        /// Amendments.
        amend_per_s: u32,
        /// Cancellations.
        cancel_per_s: u32,
        /// Requests of all kinds of this address.
        address_per_s: u32,
    }
}

impl Default for RatesTable {
    fn default() -> Self {
        let d = RateLimits::default();
        Self {
            create_per_s: d.create_per_s,
            amend_per_s: d.amend_per_s,
            cancel_per_s: d.cancel_per_s,
            address_per_s: d.address_per_s,
        }
    }
}

table! {
    /// Time constants of the signals; see [`SignalConfig`].
    SignalsTable {
        /// Memory of the variance.
        variance_memory: Duration,
        /// Memory of the order-flow imbalance.
        flow_memory: Duration,
        /// Memory of the smoothed imbalance.
        smooth_memory: Duration,
    }
}

impl Default for SignalsTable {
    fn default() -> Self {
        let d = SignalConfig::default();
        Self {
            variance_memory: Duration(d.variance_tau_ns),
            flow_memory: Duration(d.flow_tau_ns),
            smooth_memory: Duration(d.smooth_tau_ns),
        }
    }
}

table! {
    /// Threads and cores.
    ThreadsTable {
        /// Which duties run together, like `feed+core | gateway`.
        topology: Topology,
        /// Core of each thread of the topology, in its order; threads beyond the list are not pinned.
        cpus: Vec<usize>,
        /// What a thread does without work.
        idle: Idle,
        /// How often the way of an order is kept warm while none goes out; `0s` for never.
        warm_every: Duration,
        /// Whether a run locks its memory: auto (each page from its first use on, if that is allowed without limit), yes (all pages
        /// at once, about a GiB more resident, or the run does not start), no.
        lock_memory: LockMemory,
        /// Real-time priority of hot threads: auto (on cores that the kernel keeps free of others, where it is allowed and
        /// never taken back), no, or a priority from 1 to 99, without which the run does not start.
        real_time: RealTime,
    }
}

impl Default for ThreadsTable {
    fn default() -> Self {
        Self {
            topology: Topology::single(),
            cpus: Vec::new(),
            idle: Idle::default(),
            warm_every: Duration(WARM_EVERY_NS),
            lock_memory: LockMemory::default(),
            real_time: RealTime::default(),
        }
    }
}

table! {
    /// Capacities; see [`Limits`].
    LimitsTable {
        /// Prices in the dense window of a side of a book; a power of two.
        window_ticks: usize,
        /// Levels of a side outside the window.
        far_levels_max: usize,
        /// Orders that are not settled; a power of two.
        orders_max: usize,
        /// Executions remembered.
        exec_ids_max: usize,
    }
}

impl Default for LimitsTable {
    fn default() -> Self {
        let d = Limits::default();
        Self {
            window_ticks: d.window_ticks,
            far_levels_max: d.far_levels_max,
            orders_max: d.orders_max,
            exec_ids_max: d.exec_ids_max,
        }
    }
}

table! {
    /// The simulated venue, and the fills of replays.
    SimexTable {
        /// Seed of its population.
        seed: u64,
        /// How many linear instruments it lists: the first two are BTCUSDT and ETHUSDT, the others are made up.
        instruments: usize,
        /// How often the made-up ones move, in percent of the ordinary.
        activity: u32,
        /// Whether BTCUSDT and ETHUSDT are listed as spot pairs too.
        spot: bool,
        /// How long an address that sent too many HTTP requests is shut out.
        ban: Duration,
        /// Balance of the account.
        balance: MoneyText,
        /// Level of the account, whose fees are Bybit's: vip0 to vip5, supreme. Contracts pay 2 and 5.5 hundredths of a percent at the lowest (maker,
        /// taker), 0 and 3 at the highest.
        fee_tier: FeeTier,
        /// Fee of a resting fill instead of the level's; negative: a rebate.
        maker_fee_bps: Option<Bps>,
        /// Fee of a crossing fill, likewise.
        taker_fee_bps: Option<Bps>,
        /// Maintenance margin in replays: once the equity is below that share of the value of all positions, they are liquidated. 0: never.
        maintenance_bps: Bps,
        /// How cancelled quantity is shared out between what stands ahead of an order and what stands behind it, in replays:
        /// conservative, power:N, power-of-sum:N, power-of-share:N (N from 0.5 to 10 in halves).
        queue_model: QueuePosition,
        /// Way of market data to the engine, in replays: a time like 2ms; `recorded:FILE` draws from recorded nanoseconds (one a
        /// line, or a journal's orders), `sequence:FILE` takes them in turn; `load:BASE+SERVICE` queues a burst.
        feed_latency: LatencyText,
        /// Way of a request to the venue, in replays; likewise.
        entry_latency: LatencyText,
        /// Way of news from the venue, in replays; likewise.
        ack_latency: LatencyText,
    }
}

impl Default for SimexTable {
    fn default() -> Self {
        Self {
            seed: 7,
            instruments: 2,
            activity: 100,
            spot: false,
            ban: Duration(600_000_000_000),
            balance: MoneyText(crate::types::Money::new(10_000 * crate::types::Money::ONE.get())),
            fee_tier: FeeTier::default(),
            maker_fee_bps: None,
            taker_fee_bps: None,
            maintenance_bps: Bps(Rate::new(500_000)),
            queue_model: QueuePosition::default(),
            feed_latency: LatencyText::Constant(Duration(0)),
            entry_latency: LatencyText::Constant(Duration(1_000_000)),
            ack_latency: LatencyText::Constant(Duration(1_000_000)),
        }
    }
}

impl SimexTable {
    /// Below which share of the value of all positions the equity may not fall in replays; `None`: nobody is liquidated.
    pub fn maintenance(&self) -> Option<Rate> {
        Some(self.maintenance_bps.0).filter(|rate| *rate > Rate::ZERO)
    }

    /// What to say of fees that nobody chose: they flatter whoever pays more.
    pub fn assumed_fees(&self) -> Option<String> {
        let is_chosen =
            self.fee_tier != FeeTier::default() || self.maker_fee_bps.is_some() || self.taker_fee_bps.is_some();
        let FeeRates { maker, taker } = self.fees(Product::Linear);
        (!is_chosen).then(|| {
            format!(
                "fees are those of the venue's highest level (contracts: maker {} bps, taker {}): set [simex] fee-tier to your own",
                Bps(maker),
                Bps(taker)
            )
        })
    }

    /// What the account pays for a kind of instrument.
    pub fn fees(&self, product: Product) -> FeeRates {
        let tier = self.fee_tier.rates(product);
        FeeRates {
            maker: self.maker_fee_bps.map_or(tier.maker, |given| given.0),
            taker: self.taker_fee_bps.map_or(tier.taker, |given| given.0),
        }
    }
}

table! {
    /// The journal of what the engine consumed.
    JournalTable {
        /// Folder for it; none: no journal.
        dir: Option<PathBuf>,
        /// A file that has reached this size is ended, and the journal goes on in another.
        segment_bytes: Size,
        /// A run whose journal reaches this size is stopped, as by a full disk.
        run_bytes_max: Option<Size>,
        /// Most journals of earlier runs; the oldest are removed first.
        keep_runs: Option<u64>,
        /// Most bytes of all journals in the folder; the oldest of earlier runs are removed first.
        keep_bytes: Option<Size>,
    }
}

impl Default for JournalTable {
    fn default() -> Self {
        Self {
            dir: None,
            segment_bytes: Size(JournalBounds::default().segment_bytes),
            run_bytes_max: None,
            keep_runs: None,
            keep_bytes: None,
        }
    }
}

impl JournalTable {
    /// How large journals may become.
    pub fn bounds(&self) -> JournalBounds {
        let bytes = |size: Size| size.0;
        JournalBounds {
            segment_bytes: self.segment_bytes.0,
            run_bytes_max: self.run_bytes_max.map(bytes),
            keep: Retention { runs_max: self.keep_runs, bytes_max: self.keep_bytes.map(bytes) },
        }
    }
}

/// What becomes of orders on the venue that are not this run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignOrders {
    /// They are cancelled.
    Cancel,
    /// They are taken over: they count as exposure, and are cancelled at the end.
    Adopt,
    /// They are left alone.
    Leave,
}

table! {
    /// Orders and how their state is kept true.
    OrdersTable {
        /// Time between two reconciliations with the venue; there is one after every reconnect, too.
        reconcile_every: Duration,
        /// Orders that are not this run's: cancel, adopt, leave.
        foreign: ForeignOrders,
        /// A new order or an amendment that was decided longer ago is not sent any more.
        send_within: Duration,
        /// A request that is not answered within this time makes its order unknown, and the venue is asked.
        answer_within: Duration,
        /// Longest time that the venue's answers to questions may lag behind its streams.
        answer_lag: Duration,
        /// The private stream must tell within this time what the venue said elsewhere, or it is replaced.
        heard_within: Duration,
        /// Whether to follow the fast executions beside the full ones: earlier fills, fees later.
        fast_executions: bool,
        /// File that remembers the last run's number, so that no order id repeats; none: in the user's state folder.
        run_id_file: Option<PathBuf>,
    }
}

impl Default for OrdersTable {
    fn default() -> Self {
        Self {
            reconcile_every: Duration(10_000_000_000),
            foreign: ForeignOrders::Cancel,
            send_within: Duration(1_000_000_000),
            answer_within: Duration(2_000_000_000),
            answer_lag: Duration(1_000_000_000),
            heard_within: Duration(2_000_000_000),
            fast_executions: true,
            run_id_file: None,
        }
    }
}

table! {
    /// The guard ([`crate::guard`]): how a run is guarded, and what `tercel guard` does.
    GuardTable {
        /// File of the heartbeat that engine and guard share on one host, like `/dev/shm/tercel-btc`; none: no heartbeat.
        heartbeat: Option<PathBuf>,
        /// Whether a run needs a guard on its heartbeat file: it waits for one before it begins, and ends without it.
        require: bool,
        /// How long a required guard may be gone before the run ends.
        absent_after: Duration,
        /// Where a guard on another host listens, `HOST:PORT`: the run then needs its lease.
        address: Option<String>,
        /// Address on which `tercel guard` listens for heartbeats from another host.
        listen: Option<std::net::SocketAddr>,
        /// File of the key that a run and a guard on different hosts share: 32 bytes or more, mode 600.
        key_file: Option<PathBuf>,
        /// How long one acknowledgement of the guard lets the run trade.
        lease: Duration,
        /// Rest of the beat after which an engine is taken for dead. It must be longer than the longest pause that an engine
        /// at work makes: scheduling on a shared machine (tens of milliseconds), a name look-up when it reconnects, the
        /// jitter of the network for `listen`. A false alarm costs the session; each millisecond more is one more with
        /// open orders that nobody watches.
        stale_after: Duration,
        /// Categories of which the guard cancels all orders: `linear`, `spot`.
        categories: Vec<Category>,
        /// Settlement currencies of the linear contracts.
        settle_coins: Vec<String>,
        /// Whether the guard, once it has cancelled everything, also closes all positions of the linear contracts: no farther
        /// from the best opposite price than `[stop] slippage-bps` (and the collar), for `[stop] within`. Coins of spot stay.
        flatten: bool,
    }
}

/// A category of instruments, as the venue calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Contracts settled in their quote currency.
    Linear,
    /// Coins.
    Spot,
}

impl Category {
    /// The kind of instrument.
    pub const fn product(self) -> Product {
        match self {
            Self::Linear => Product::Linear,
            Self::Spot => Product::Spot,
        }
    }
}

impl Default for GuardTable {
    fn default() -> Self {
        Self {
            heartbeat: None,
            require: false,
            absent_after: Duration(2_000_000_000),
            address: None,
            listen: None,
            key_file: None,
            lease: Duration(1_000_000_000),
            stale_after: Duration(300_000_000),
            categories: vec![Category::Linear, Category::Spot],
            settle_coins: vec!["USDT".to_owned()],
            flatten: false,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`] with file, line, key, what was found and what is allowed.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Reads a text; `file` is named in errors.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let error = |text: String| ConfigError::Value { file: file.to_owned(), text };
        let config: Self = toml::from_str(text).map_err(|e| error(e.to_string().trim_end().to_owned()))?;
        config.check(text).map_err(error)?;
        Ok(config)
    }

    /// Checks that concern more than one value, and ranges of plain numbers.
    fn check(&self, text: &str) -> Result<(), String> {
        let line_of = |key: &str| {
            let found = text.lines().position(|line| line.trim_start().starts_with(key));
            found.map_or_else(|| format!("key `{key}`"), |idx| format!("line {}, key `{key}`", idx + 1))
        };
        let power_of_two = |key: &str, value: usize, min: usize, max: usize| {
            if value.is_power_of_two() && (min..=max).contains(&value) {
                return Ok(());
            }
            Err(format!("{}: found {value}, allowed are powers of two from {min} to {max}", line_of(key)))
        };
        power_of_two("window-ticks", self.limits.window_ticks, 128, 1 << 22)?;
        power_of_two("orders-max", self.limits.orders_max, 16, 1 << 20)?;
        let at_least_one = |key: &str, value: u64| {
            if value > 0 { Ok(()) } else { Err(format!("{}: found 0, allowed are 1 and more", line_of(key))) }
        };
        at_least_one("far-levels-max", self.limits.far_levels_max as u64)?;
        at_least_one("exec-ids-max", self.limits.exec_ids_max as u64)?;
        at_least_one("create-per-s", u64::from(self.rates.create_per_s))?;
        at_least_one("amend-per-s", u64::from(self.rates.amend_per_s))?;
        at_least_one("cancel-per-s", u64::from(self.rates.cancel_per_s))?;
        at_least_one("address-per-s", u64::from(self.rates.address_per_s))?;
        at_least_one("leverage-e2", u64::from(self.risk.leverage_e2))?;
        self.breakers.check().map_err(|(key, why)| format!("{}: {why}", line_of(key)))?;
        entry::check(&self.edge, &self.kelly, &self.leverage, &self.pace)
            .map_err(|(key, why)| format!("{}: {why}", line_of(key)))?;
        self.hedge.check().map_err(|(key, why)| format!("{}: {why}", line_of(key)))?;
        self.stops.check().map_err(|(key, why)| format!("{}: {why}", ghost::line_in(text, "stops", key)))?;
        self.ghost.check().map_err(|(key, why)| format!("{}: {why}", ghost::line_in(text, "ghost", key)))?;
        self.slow_risk.check().map_err(|(key, why)| format!("{}: {why}", line_of(key)))?;
        let whole = Rate::ONE;
        for (key, rate) in [
            ("reinvest-bps", self.risk.reinvest_bps.0),
            ("taker-fee-bps", self.risk.taker_fee_bps.0),
            ("extra-fee-bps", self.risk.extra_fee_bps.0),
            ("simex.maintenance-bps", self.simex.maintenance_bps.0),
            ("funding-cap-bps", self.risk.funding_cap_bps.0),
        ] {
            if !(Rate::ZERO..=whole).contains(&rate) {
                return Err(format!("{}: found {}, allowed are 0 to 10000", line_of(key), Bps(rate)));
            }
        }
        let (found, most) = (self.venue.market_connections, MARKET_CONNECTIONS_MAX);
        if !(1..=most).contains(&usize::from(found)) {
            return Err(format!("{}: found {found}, allowed are 1 to {most}", line_of("market-connections")));
        }
        if self.orders.reconcile_every.0 < 1_000_000_000 {
            let found = self.orders.reconcile_every;
            return Err(format!("{}: found {found}, allowed are 1s and more", line_of("reconcile-every")));
        }
        // Bybit took 500 levels off its futures on 2025-09-11; the embedded venue plays captures of before.
        let has_500 = self.venue.environment == Environment::Embedded;
        if !(matches!(self.venue.book_depth, 1 | 50 | 200 | 1000) || self.venue.book_depth == 500 && has_500) {
            let (found, or_500) = (self.venue.book_depth, if has_500 { ", 500" } else { "" });
            return Err(format!("{}: found {found}, allowed are 1, 50, 200, 1000{or_500}", line_of("book-depth")));
        }
        if !(0.0..=1.0).contains(&self.imbalance_taker.threshold.0) {
            return Err(format!(
                "{}: found {}, allowed is 0 to 1",
                line_of("threshold"),
                self.imbalance_taker.threshold.0
            ));
        }
        for (key, value) in
            [("risk-aversion", self.market_maker.risk_aversion.0), ("fill-decay", self.market_maker.fill_decay.0)]
        {
            if value <= 0.0 {
                return Err(format!("{}: found {value}, allowed is more than 0", line_of(key)));
            }
        }
        if self.venue.environment == Environment::Custom && (self.venue.ws.is_none() || self.venue.rest.is_none()) {
            return Err(format!("{}: `custom` needs the keys `ws` and `rest`", line_of("environment")));
        }
        self.check_hosts(&line_of)?;
        let guard = &self.guard;
        let at_least_ms = |key: &str, value: Duration, min: u64| {
            if value.0 >= min * 1_000_000 {
                return Ok(());
            }
            Err(format!("{}: found {value}, allowed are {min}ms and more", line_of(key)))
        };
        // Four looks of the guard at the least, and ten heartbeats through a network.
        at_least_ms("guard.stale-after", guard.stale_after, 20)?;
        at_least_ms("lease", guard.lease, 100)?;
        at_least_ms("absent-after", guard.absent_after, 100)?;
        if guard.categories.is_empty() {
            return Err(format!("{}: found none, allowed are linear and spot", line_of("categories")));
        }
        if guard.categories.contains(&Category::Linear) && guard.settle_coins.is_empty() {
            return Err(format!("{}: found none, linear contracts need one", line_of("settle-coins")));
        }
        if guard.flatten && !guard.categories.contains(&Category::Linear) {
            return Err(format!(
                "{}: found true, allowed with the category linear alone",
                ghost::line_in(text, "guard", "flatten")
            ));
        }
        if guard.require && guard.heartbeat.is_none() {
            return Err(format!("{}: a guard on this host needs the key `heartbeat`", line_of("require")));
        }
        if (guard.address.is_some() || guard.listen.is_some()) && guard.key_file.is_none() {
            return Err(format!("{}: a guard on another host needs a shared key", line_of("key-file")));
        }
        self.check_currencies()?;
        self.scan.check().map_err(|(key, text)| format!("{}: {text}", line_of(key)))?;
        for instrument in &self.instruments {
            if Symbol::new(instrument.symbol.as_bytes()).is_none() {
                let found = &instrument.symbol;
                return Err(format!("{}: found `{found}`, allowed are 1 to 31 letters and digits", line_of("symbol")));
            }
        }
        Ok(())
    }

    /// Checks that the hosts belong to the environment.
    fn check_hosts(&self, line_of: &dyn Fn(&str) -> String) -> Result<(), String> {
        let venue = &self.venue;
        let given = [
            ("ws-public", &venue.ws_public),
            ("ws-private", &venue.ws_private),
            ("ws-trade", &venue.ws_trade),
            ("rest", &venue.rest),
        ];
        for (key, url) in given {
            if url.is_some() && venue.environment == Environment::Embedded {
                return Err(format!("{}: the embedded venue has no other host; name an environment", line_of(key)));
            }
        }
        if venue.ws.is_some() && venue.environment != Environment::Custom {
            return Err(format!("{}: allowed for `custom`; elsewhere ws-public, ws-private, ws-trade", line_of("ws")));
        }
        if venue.environment == Environment::Demo
            && (venue.order_entry == Some(OrderEntry::Websocket) || venue.ws_trade.is_some())
        {
            let key = if venue.ws_trade.is_some() { "ws-trade" } else { "order-entry" };
            return Err(format!("{}: demo accounts have no order-entry WebSocket, allowed is rest", line_of(key)));
        }
        Ok(())
    }

    /// Checks what is named against the instruments of a session.
    ///
    /// # Errors
    /// A sentence: an instrument that the configuration names is not among them, or one is settled in a currency for which there
    /// are no limits.
    pub fn check_against(&self, table: &InstrumentTable) -> Result<(), String> {
        match self.hedge.missing(table) {
            Some(missing) => Err(format!("hedge.with: `{missing}` is not among the instruments of this session")),
            None => self.check_settlement(table),
        }
    }

    /// Whether a run locks its memory: `auto` does not with the embedded venue, which shares the process and, locked, could never give
    /// back what it frees.
    pub fn lock_memory(&self) -> LockMemory {
        let is_embedded = self.venue.environment == Environment::Embedded;
        let wanted = self.threads.lock_memory;
        if is_embedded && wanted == LockMemory::Auto { LockMemory::No } else { wanted }
    }

    /// What the engine of a live run is told, and one that replays its journal: it asks the venue for its account, and obeys ghost and
    /// slow risk where they are configured.
    pub fn live_engine(&self) -> EngineConfig {
        let engine = self.engine();
        let (permit_fresh_ns, slow) = (self.ghost.permit_fresh_ns(), self.slow_risk.limits());
        let risk = RiskLimits { permit_fresh_ns, slow, ..engine.risk };
        EngineConfig { reconcile: self.reconcile(), risk, ..engine }
    }

    /// The limits in the main settlement currency.
    fn risk_limits(&self) -> RiskLimits {
        let risk = &self.risk;
        RiskLimits {
            is_given: true,
            order_value_max: risk.order_value_max.0,
            position_value_max: risk.position_value_max.0,
            gross_value_max: risk.gross_value_max.0,
            open_orders_max: risk.open_orders_max,
            net_value_max: risk.net_value_max.0,
            capital: risk.capital.0,
            compounding: Compounding { reinvest: risk.reinvest_bps.0, floor: risk.capital_floor.0 },
            leverage_e2: risk.leverage_e2,
            taker_fee: risk.taker_fee_bps.0,
            extra_fee: risk.extra_fee_bps.0,
            funding_cap: risk.funding_cap_bps.0,
            collar: risk.collar_bps.0,
            trade_collar: risk.trade_collar_bps.0,
            spread_max: risk.spread_max_bps.0,
            stale_after_ns: risk.stale_after.0,
            duplicate_within_ns: risk.duplicate_within.0,
            day_loss_max: risk.day_loss_max.0,
            drawdown_max: risk.drawdown_max.0,
            permit_fresh_ns: None,
            fair: self.fair.limits(),
            slow: None,
        }
    }

    /// What the engine is told by itself, as in replays: it asks nobody for the account, and no analyst is there to be obeyed.
    pub fn engine(&self) -> EngineConfig {
        let (table, limits) = (&self.risk, &self.limits);
        let risk = self.risk_limits();
        EngineConfig {
            currency: table.currency.0,
            currencies: self.currency_limits(&risk),
            risk,
            limits: Limits {
                window_ticks: limits.window_ticks,
                far_levels_max: limits.far_levels_max,
                orders_max: limits.orders_max,
                exec_ids_max: limits.exec_ids_max,
            },
            breakers: self.breakers.breakers(&self.stop),
            entry: entry::entry(&self.edge, &self.kelly, &self.leverage, &self.pace, table.funding_cap_bps.0),
            hedge: self.hedge.hedge(),
            stops: self.stops.stops(),
            reconcile: ReconcileConfig::default(),
            rates: RateLimits {
                create_per_s: self.rates.create_per_s,
                amend_per_s: self.rates.amend_per_s,
                cancel_per_s: self.rates.cancel_per_s,
                address_per_s: self.rates.address_per_s,
            },
            signals: SignalConfig {
                variance_tau_ns: self.signals.variance_memory.0,
                flow_tau_ns: self.signals.flow_memory.0,
                smooth_tau_ns: self.signals.smooth_memory.0,
            },
            answer_within_ns: self.orders.answer_within.0,
        }
    }

    /// How a live engine keeps its account true. Replays ask nothing.
    pub fn reconcile(&self) -> ReconcileConfig {
        let orders = &self.orders;
        // The clocks may be apart by what the venue tolerates, and a request is on its way for a while.
        let slack_ns = 2_000_000_000;
        let request_valid_ns = orders.send_within.0 + u64::from(self.venue.recv_window_ms) * 1_000_000 + slack_ns;
        ReconcileConfig {
            every_ns: orders.reconcile_every.0,
            rules: LifeRules { request_valid_ns, answer_lag_ns: orders.answer_lag.0 },
            heard_within_ns: orders.heard_within.0,
            foreign: match orders.foreign {
                ForeignOrders::Cancel => Foreign::Cancel,
                ForeignOrders::Adopt => Foreign::Adopt,
                ForeignOrders::Leave => Foreign::Leave,
            },
        }
    }

    /// The configured strategy for so many instruments.
    pub fn strategy(&self, instruments: usize) -> BuiltIn {
        match self.strategy.name {
            StrategyName::Watch => BuiltIn::Watch,
            StrategyName::MarketMaker => {
                let t = &self.market_maker;
                let config = MarketMakerConfig {
                    quote_value: t.quote_value.0,
                    position_value_max: t.position_value_max.0,
                    risk_aversion: t.risk_aversion.0,
                    fill_decay: t.fill_decay.0,
                    horizon_s: t.horizon.0 as f64 / 1e9,
                    margin: t.margin_bps.0,
                    cover_fees: t.cover_fees,
                    tolerance_ticks: i64::from(t.tolerance_ticks),
                };
                BuiltIn::MarketMaker(MarketMaker::new(config, instruments))
            }
            StrategyName::ImbalanceTaker => {
                let t = &self.imbalance_taker;
                let config = ImbalanceTakerConfig {
                    trade_value: t.trade_value.0,
                    threshold: t.threshold.0,
                    edge_bar: t.edge_bar_bps.0,
                    hold_ns: t.hold.0,
                    pause_ns: t.pause.0,
                };
                BuiltIn::ImbalanceTaker(ImbalanceTaker::new(config, instruments))
            }
        }
    }
}

/// The whole configuration as TOML, defaults filled in.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("my.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_means_the_defaults_and_the_defaults_print_and_parse() {
        let config = Config::parse("", Path::new("my.toml")).unwrap();
        assert_eq!(config.engine(), EngineConfig::default());
        let printed = config.to_string();
        let again = Config::parse(&printed, Path::new("my.toml")).unwrap();
        assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn beside_the_embedded_venue_memory_is_locked_only_if_it_must_be_and_old_depths_are_played() {
        let of = |text: &str| Config::parse(text, Path::new("my.toml")).unwrap();
        let custom = "[venue]\nenvironment = \"custom\"\nws = \"ws://127.0.0.1:1\"\nrest = \"http://127.0.0.1:1\"\n";
        assert_eq!(of("").lock_memory(), LockMemory::No);
        assert_eq!(of("[threads]\nlock-memory = \"yes\"\n").lock_memory(), LockMemory::Yes);
        assert_eq!(of(custom).lock_memory(), LockMemory::Auto);
        assert_eq!(of("[venue]\nbook-depth = 500\n").venue.book_depth, 500);
    }

    #[test]
    fn errors_name_file_line_key_found_and_allowed() {
        for (text, wants) in [
            ("[risk]\ncapitol = \"5\"\n", vec!["my.toml", "line 2", "capitol", "expected one of", "capital"]),
            ("[risk]\n\ncapital = 5.5\n", vec!["my.toml", "line 3", "capital", "5.5", "string"]),
            ("[risk]\ncapital = \"five\"\n", vec!["line 2", "five"]),
            (
                "[threads]\ntopology = \"feed | croe | gateway\"\n",
                vec!["line 2", "croe", "allowed are feed, core, gateway"],
            ),
            ("[threads]\nidle = \"sleep\"\n", vec!["line 2", "sleep", "spin-yield"]),
            ("[limits]\nwindow-ticks = 100\n", vec!["line 2", "window-ticks", "100", "powers of two"]),
            ("[venue]\nbook-depth = 25\n", vec!["line 2", "book-depth", "25", "50"]),
            ("[venue]\nbook-depth = 500\nenvironment = \"demo\"\n", vec!["line 2", "book-depth", "500", "1000"]),
            ("[strategy]\nname = \"magic\"\n", vec!["line 2", "magic", "market-maker"]),
            ("[risk]\nstale-after = \"5 parsecs\"\n", vec!["line 2", "5 parsecs", "ms"]),
            ("[venue]\nenvironment = \"custom\"\n", vec!["line 2", "environment", "`ws`"]),
            ("[venue]\nenvironment = \"demo\"\norder-entry = \"websocket\"\n", vec!["line 3", "order-entry", "rest"]),
            ("[venue]\nenvironment = \"demo\"\nws-trade = \"wss://x\"\n", vec!["line 3", "ws-trade"]),
            ("[venue]\norder-entry = \"pigeon\"\n", vec!["line 2", "pigeon", "websocket"]),
            ("[venue]\nws-public = \"wss://x\"\n", vec!["line 2", "ws-public", "embedded"]),
            ("[venue]\nenvironment = \"demo\"\nws = \"wss://x\"\n", vec!["ws-public"]),
            ("[edge]\nbar = 2.5\n", vec!["line 2", "bar", "string"]),
            ("[edge]\nloss-max = \"0\"\n", vec!["line 2", "loss-max", "found 0", "more than 0"]),
            ("[edge]\ntighten-from = 1\n", vec!["line 2", "tighten-from", "found 1", "2 and more"]),
            ("[kelly]\nfraction-percent = 101\n", vec!["line 2", "fraction-percent", "101", "0 to 100"]),
            ("[pace]\ncatch-up-percent = 50\n", vec!["line 2", "catch-up-percent", "50", "100 and more"]),
            ("[hedge]\nwith = [\"\"]\n", vec!["line 2", "with", "``", "1 to 31"]),
            ("[stops]\nloss-bps = 0\n", vec!["line 2", "loss-bps", "found 0", "more than 0"]),
            ("[stops]\ntrail-bps = 10000\n", vec!["line 2", "trail-bps", "found 10000", "less than 10000"]),
            ("[stops]\nby = \"index\"\n", vec!["line 2", "index", "last", "mark"]),
            (
                "[stops]\nloss-bps = 50\nstep-bps = 50\n",
                vec!["line 3", "step-bps", "found 50", "less than the distance of 50"],
            ),
            ("[stops]\ntrail-bps = 50\nstep-bps = -1\n", vec!["line 3", "step-bps", "found -1"]),
            ("[stops]\nstep-bps = 5\n", vec!["line 2", "step-bps", "loss-bps or trail-bps"]),
            ("[stops]\n\nby = \"mark\"\n", vec!["line 3", "by", "loss-bps or trail-bps"]),
            ("[hedge]\nunwind = \"2000\"\n", vec!["line 2", "unwind", "2000", "1000"]),
            ("[slow-risk]\nsample-every = \"10ms\"\n", vec!["line 2", "sample-every", "10ms", "50ms"]),
            ("[slow-risk]\nwindow-samples = 99\n", vec!["line 2", "window-samples", "99", "100 to 10000"]),
            ("[slow-risk]\n\ndecay = 1.0\n", vec!["line 3", "decay", "found 1", "less than 1"]),
            ("[slow-risk]\nvar-horizon = \"500ms\"\n", vec!["line 2", "var-horizon", "500ms", "1s"]),
            ("[slow-risk]\nvar99-max = \"0\"\n", vec!["line 2", "var99-max", "found 0"]),
            ("[slow-risk]\nes99-max = \"0\"\n", vec!["line 2", "es99-max", "found 0"]),
            ("[slow-risk]\ncold-share = 1.5\n", vec!["line 2", "cold-share", "1.5", "0 to 1"]),
            ("[slow-risk]\nfresh-for = \"1s\"\n", vec!["line 2", "fresh-for", "found 1s"]),
            ("[slow-risk]\ndead-after = \"3s\"\n", vec!["line 2", "dead-after", "fresh-for", "3s"]),
            ("[slow-risk]\nenable = true\n", vec!["line 2", "enable", "enabled"]),
            ("[simex]\nfee-tier = \"vip9\"\n", vec!["line 2", "vip9", "vip5", "supreme"]),
            ("[guard]\nlease = \"5ms\"\n", vec!["line 2", "lease", "5ms", "100ms"]),
            ("[guard]\nrequire = true\n", vec!["line 2", "require", "heartbeat"]),
            ("[guard]\naddress = \"host:1\"\n", vec!["key-file"]),
            ("[guard]\ncategories = [\"inverse\"]\n", vec!["line 2", "inverse", "spot"]),
            ("[guard]\nflatten = true\ncategories = [\"spot\"]\n", vec!["line 2", "flatten", "linear"]),
        ] {
            let found = error(text);
            for want in wants {
                assert!(found.contains(want), "{found:?} should name {want:?}");
            }
        }
    }

    #[test]
    fn fees_that_nobody_chose_are_told() {
        let of = |text: &str| Config::parse(text, Path::new("my.toml")).unwrap().simex.assumed_fees();
        let line = of("").unwrap();
        assert!(line.contains("maker 0 bps, taker 3)") && line.contains("fee-tier"), "{line}");
        for chosen in ["fee-tier = \"vip0\"", "maker-fee-bps = \"0\"", "taker-fee-bps = \"-1\""] {
            assert_eq!(of(&format!("[simex]\n{chosen}\n")), None);
        }
    }
}
