//! A venue of our own: Bybit v5 as its clients know it, over [`sim`](crate::sim).
//!
//! [`Simex`] does no I/O and reads no clock: connections are numbers, bytes go in and out, time is an argument. The same code runs over
//! sockets ([`SimexServer`], [`SimexHandle`]) and over pipes in memory on virtual time ([`SimexHub`]).
//!
//! Thread: one. Allocates: freely, this is not the hot path. Blocks: never. Fails: per request, with the venue's codes; a client
//! that breaks the protocol or reads too slowly is cut off.
//!
//! ```text
//!  bytes ─▶ HttpCodec ──upgrade──▶ WsCodec ─▶ stream.rs ─┐             ┌─▶ Venue (sim)
//!              └─▶ rest.rs ───────────────────────────────┴─▶ Exchange ─┘      │ events
//!  bytes ◀─ frames ◀─ public.rs (own market) · capture.rs (recorded) · private pushes ◀─┘
//! ```
//!
//! Deliberately absent: inverse contracts and options, hedge mode, liquidation, price limits, spot margin, RPI orders.

mod account;
mod auth;
mod candles;
mod capture;
mod config;
mod error;
mod exchange;
pub mod fault;
mod faulty;
mod hub;
mod json;
mod limits;
mod market;
mod objects;
mod protect;
mod public;
mod report;
mod rest;
mod server;
mod stops;
mod stream;
mod tape;
#[cfg(test)]
mod tests;
mod universe;

pub use capture::{CaptureLine, load_capture};
pub use config::{AccountConfig, FeedConfig, ListingConfig, ListingProfile, ListingStatus, SimexConfig};
pub use hub::SimexHub;
pub use report::{AccountReport, PositionReport, VenueReport};
pub use server::{SimexHandle, SimexServer};

use crate::{
    net::{HttpCodec, Message, WsCodec, WsLimits},
    sim::{
        AccountId, CrowdMarket, ExecutionKind, Market, Matching, OrderNo, OrderRecord, Population, QueueModel,
        ThinMarket, Venue, VenueEvent,
    },
    types::{InstrumentId, Nanos, Product},
};
use capture::Capture;
use exchange::{Exchange, User};
use faulty::Faults;
use json::Obj;
use limits::{AddressLimit, RateLimiter};
use public::{Frame, PublicFeed, Topic};
use rest::{HttpRequest, HttpResponse};
use std::collections::{BTreeMap, VecDeque};
use stops::{Stops, Told};
use stream::Stream;
use tape::PublicTrade;

/// A connection of a simulated venue; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(u64);

/// The simulated venue, without its sockets.
pub struct Simex {
    exchange: Exchange,
    public: PublicFeed,
    population: Option<Population>,
    capture: Option<Capture>,
    conns: BTreeMap<ConnId, Conn>,
    /// Followers of each topic.
    followers: BTreeMap<Topic, Vec<ConnId>>,
    /// Requests on their simulated way in.
    inbox: VecDeque<(Nanos, ConnId, Inbound)>,
    /// Messages on their simulated way out.
    outbox: VecDeque<(Nanos, ConnId, Outbound)>,
    next_funding: Option<Nanos>,
    config: SimexConfig,
    counts: Counts,
    /// Reused by every poll.
    frames: Vec<Frame>,
    /// A script of faults under way.
    faults: Option<Box<Faults>>,
    address: AddressLimit,
    opened: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages_in: u64,
    messages_out: u64,
    connections: u64,
    connections_cut: u64,
}

struct Conn {
    codec: Codec,
    /// Set once the connection must end; what is queued is still sent.
    ending: bool,
    heard: Nanos,
    /// Bytes that may still be sent before it breaks, if it is to break there.
    cut_after: Option<usize>,
    /// Takes bytes and answers nothing.
    is_half_open: bool,
}

// There are tens of these, each the owner of large buffers anyway.
#[allow(clippy::large_enum_variant)]
enum Codec {
    Http(HttpCodec),
    Ws(WsCodec, Stream),
    /// Only while one turns into the other.
    Gone,
}

enum Inbound {
    Text(Vec<u8>),
    Http(HttpRequest),
}

#[derive(Clone)]
enum Outbound {
    Text(String),
    Http(HttpResponse),
}

impl Simex {
    /// Opens the venue. A population has traded for a moment when this returns, so that there is a market.
    pub fn new(mut config: SimexConfig, now: Nanos) -> Self {
        let is_capture = matches!(config.feed, FeedConfig::Capture { .. });
        let market = || if is_capture { Market::Queue(QueueModel::new()) } else { Market::Matching(Matching::new()) };
        let listings = config.listings.iter().map(|listing| (listing.spec, market())).collect();
        let mut venue = Venue::new(listings, config.venue);
        let mut users = Vec::new();
        for account in &config.accounts {
            venue.open_account(account.balance, account.leverage_e2);
            users.push(User {
                uid: account.uid,
                api_key: account.api_key.clone(),
                api_secret: account.api_secret.clone(),
                limiter: RateLimiter::new(config.orders_per_second, config.queries_per_second),
            });
        }
        let (mut population, mut capture) = (None, None);
        match std::mem::replace(&mut config.feed, FeedConfig::Quiet) {
            FeedConfig::Quiet => {}
            FeedConfig::Population { seed } => {
                let (mut markets, mut thin) = (Vec::new(), Vec::new());
                for (idx, listing) in config.listings.iter().enumerate() {
                    if listing.profile.status != ListingStatus::Trading {
                        continue;
                    }
                    let (instrument, start_px, unit) = (InstrumentId(idx as u16), listing.start_px, listing.unit);
                    match listing.profile.thin {
                        Some(style) => thin.push(ThinMarket { instrument, start_px, unit, style }),
                        None => {
                            let ticks_per_second = listing.ticks_per_second;
                            markets.push(CrowdMarket { instrument, start_px, unit, ticks_per_second });
                        }
                    }
                }
                let mut crowd = Population::with_thin(seed, &markets, &thin);
                crowd.poll(&mut venue, now);
                population = Some(crowd);
            }
            FeedConfig::Capture { lines, speed_percent, repeat } => {
                capture = Some(Capture::new(lines, &venue, speed_percent, repeat));
            }
        }
        let address = AddressLimit::new(config.http_per_5s, config.http_ban_ns, config.trade_per_second);
        let statuses = config.listings.iter().map(|listing| listing.profile.status).collect();
        let public = PublicFeed::new(&config, now);
        let script = std::mem::take(&mut config.faults);
        let mut simex = Self {
            exchange: Exchange {
                venue,
                users,
                stops: Stops::default(),
                restarted: Nanos::ZERO,
                statuses,
                reprice_ticks: None,
            },
            public,
            population,
            capture,
            conns: BTreeMap::new(),
            followers: BTreeMap::new(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            next_funding: None,
            config,
            counts: Counts::default(),
            frames: Vec::new(),
            faults: None,
            address,
            opened: now,
        };
        if !script.faults.is_empty() {
            simex.set_faults(&script, now);
        }
        simex
    }

    /// Takes a new connection, or `None` when there are too many.
    pub fn on_connect(&mut self, now: Nanos) -> Option<ConnId> {
        if self.conns.len() >= self.config.conns_max {
            return None;
        }
        self.counts.connections += 1;
        let id = ConnId(self.counts.connections);
        let codec = Codec::Http(HttpCodec::new(BODY_BYTES_MAX, self.config.send_bytes));
        self.conns.insert(id, Conn { codec, ending: false, heard: now, cut_after: None, is_half_open: false });
        Some(id)
    }

    /// Takes bytes that a connection sent. What they ask for is done at once, or after the simulated way in.
    pub fn recv(&mut self, id: ConnId, mut bytes: &[u8], now: Nanos) {
        while !bytes.is_empty() {
            let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.ending) else { return };
            conn.heard = now;
            if conn.is_half_open {
                return;
            }
            let taken = match &mut conn.codec {
                Codec::Http(http) => http.push(bytes),
                Codec::Ws(ws, _) => ws.push(bytes),
                Codec::Gone => return,
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            let read = self.read_messages(id, now);
            if taken == 0 && !read {
                return self.cut(id); // a full buffer without a message in it can never become one
            }
        }
    }

    /// Returns the bytes to send to a connection next.
    pub fn pending(&self, id: ConnId) -> &[u8] {
        let Some(conn) = self.conns.get(&id) else { return &[] };
        let whole = match &conn.codec {
            Codec::Http(http) => http.pending(),
            Codec::Ws(ws, _) => ws.pending(),
            Codec::Gone => &[],
        };
        conn.cut_after.map_or(whole, |most| whole.get(..most).unwrap_or(whole))
    }

    /// Accounts for bytes of [`Self::pending`] that were sent.
    pub fn sent(&mut self, id: ConnId, len: usize) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.cut_after = conn.cut_after.map(|most| most.saturating_sub(len));
        match &mut conn.codec {
            Codec::Http(http) => http.sent(len),
            Codec::Ws(ws, _) => ws.sent(len),
            Codec::Gone => {}
        }
    }

    /// Reports whether a connection is to be closed now.
    pub fn is_finished(&self, id: ConnId) -> bool {
        let Some(conn) = self.conns.get(&id) else { return true };
        let over = match &conn.codec {
            Codec::Http(http) => http.is_finished(),
            Codec::Ws(ws, _) => ws.is_finished(),
            Codec::Gone => true,
        };
        (over || conn.ending) && self.pending(id).is_empty()
    }

    /// Forgets a connection that is closed. Its orders stay, as they do at the real venue.
    pub fn on_disconnect(&mut self, id: ConnId) {
        self.conns.remove(&id);
        let public = &mut self.public;
        self.followers.retain(|topic, followers| {
            followers.retain(|follower| *follower != id);
            if followers.is_empty() {
                public.stop(*topic);
            }
            !followers.is_empty()
        });
    }

    /// Lets time pass: the crowd trades or the capture plays, requests and messages arrive, streams publish. Returns how much was done.
    pub fn poll(&mut self, now: Nanos) -> usize {
        let mut work = if self.faults.is_some() { self.poll_faults(now) } else { 0 };
        while self.inbox.front().is_some_and(|(due, ..)| *due <= now)
            && let Some((_, id, inbound)) = self.inbox.pop_front()
        {
            self.handle(id, inbound, now);
            work += 1;
        }
        if let Some(population) = &mut self.population {
            work += population.poll(&mut self.exchange.venue, now);
        }
        work += self.play_capture(now);
        self.pay_funding(now);
        self.check_triggers(now);
        self.push_events(now);
        let mut frames = std::mem::take(&mut self.frames);
        self.public.poll(&self.exchange.venue, now, &mut frames);
        work += frames.len();
        self.fan_out(&mut frames, now);
        self.frames = frames;
        while self.outbox.front().is_some_and(|(due, ..)| *due <= now)
            && let Some((_, id, outbound)) = self.outbox.pop_front()
        {
            self.deliver(id, outbound);
            work += 1;
        }
        self.cut_idle(now);
        work
    }

    /// Returns the venue behind the wire.
    pub fn venue(&self) -> &Venue {
        &self.exchange.venue
    }

    /// Returns the orders of an account that wait for a price, newest first, their triggers as their prices.
    pub fn stops_waiting(&self, account: AccountId) -> Vec<OrderRecord> {
        let of = |stop: &stops::Stop| OrderRecord { px: stop.trigger_px, ..stop.record() };
        self.exchange.stops.of(account).filter(|stop| stop.is_open()).map(of).collect()
    }

    /// Returns how many orders of an account were cancelled before their price was seen, of those that are remembered.
    pub fn stops_deactivated(&self, account: AccountId) -> usize {
        let is_deactivated = |stop: &&stops::Stop| matches!(stop.state, stops::StopState::Deactivated(_));
        self.exchange.stops.of(account).filter(is_deactivated).count()
    }

    /// Reports whether a capture has been played to its end.
    pub fn is_feed_finished(&self) -> bool {
        self.capture.as_ref().is_some_and(Capture::is_finished)
    }

    /// Returns how many frames of the capture were sent but not understood, so that orders could not be matched against them.
    pub fn undecoded_frames(&self) -> u64 {
        self.capture.as_ref().map_or(0, |capture| capture.undecoded)
    }

    fn uids(&self) -> impl Iterator<Item = u64> + '_ {
        self.exchange.users.iter().map(|user| user.uid)
    }

    fn trade_counts(&self) -> BTreeMap<String, u64> {
        let count = |(idx, listing): (usize, &ListingConfig)| {
            (listing.spec.symbol.to_string(), self.public.trades_count(InstrumentId(idx as u16)))
        };
        self.config.listings.iter().enumerate().map(count).collect()
    }

    /// Reads whole messages of a connection; returns whether there was any.
    fn read_messages(&mut self, id: ConnId, now: Nanos) -> bool {
        let mut any = false;
        while let Some(conn) = self.conns.get_mut(&id)
            && !conn.ending
        {
            let inbound = match &mut conn.codec {
                Codec::Http(http) => match http.next_request() {
                    Ok(None) => return any,
                    Ok(Some(request)) if request.header("upgrade").is_some() => {
                        let upgrade = request.upgrade();
                        let stream = Stream::route(request.path());
                        self.upgrade(id, upgrade, stream, now);
                        any = true;
                        continue;
                    }
                    Ok(Some(request)) => Inbound::Http(HttpRequest::new(&request)),
                    Err(error) => {
                        http.close_after_send();
                        let _ = http.respond(error.status(), &[], error.to_string().as_bytes());
                        self.counts.connections_cut += 1;
                        conn.ending = true;
                        return true;
                    }
                },
                Codec::Ws(ws, _) => match ws.next_message() {
                    Ok(None) => return any,
                    Ok(Some(Message::Text(text) | Message::Binary(text))) => Inbound::Text(text.to_vec()),
                    Ok(Some(_)) => {
                        any = true;
                        continue;
                    }
                    Err(_) => {
                        // The codec has queued a close frame that says why.
                        self.counts.connections_cut += 1;
                        conn.ending = true;
                        return true;
                    }
                },
                Codec::Gone => return any,
            };
            any = true;
            self.counts.messages_in += 1;
            if self.config.uplink_ns == 0 {
                self.handle(id, inbound, now);
            } else {
                self.inbox.push_back((now.saturating_add(self.config.uplink_ns), id, inbound));
            }
        }
        any
    }

    fn upgrade(
        &mut self,
        id: ConnId,
        upgrade: Result<crate::net::http::Upgrade, crate::net::http::HttpError>,
        stream: Option<Stream>,
        now: Nanos,
    ) {
        let is_banned = self.is_banned(now);
        let send_bytes = self.config.send_bytes;
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let Codec::Http(mut http) = std::mem::replace(&mut conn.codec, Codec::Gone) else { return };
        let limits = WsLimits { recv_bytes: MESSAGE_BYTES_MAX, send_bytes, message_bytes_max: MESSAGE_BYTES_MAX };
        conn.codec = match (upgrade, stream) {
            (Ok(upgrade), Some(stream)) if !is_banned => Codec::Ws(http.into_ws(&upgrade, limits), stream),
            (upgrade, _) => {
                let unknown = if is_banned { 403 } else { 404 };
                let status = upgrade.err().map_or(unknown, |error| error.status());
                http.close_after_send();
                let _ = http.respond(status, &[], b"");
                conn.ending = true;
                Codec::Http(http)
            }
        };
        if self.faults.is_some() {
            self.on_upgraded(id, now);
        }
    }

    fn handle(&mut self, id: ConnId, inbound: Inbound, now: Nanos) {
        if self.faults.is_some() { self.handle_faulty(id, inbound, now) } else { self.carry_out(id, inbound, now) }
    }

    fn carry_out(&mut self, id: ConnId, inbound: Inbound, now: Nanos) {
        match inbound {
            Inbound::Text(text) => self.on_text(id, &text, now),
            Inbound::Http(request) => {
                let response = self.on_request(&request, now);
                self.send(id, Outbound::Http(response), now);
            }
        }
        self.push_events(now);
    }

    fn send(&mut self, id: ConnId, outbound: Outbound, now: Nanos) {
        if self.faults.is_none() {
            return self.pass(id, outbound, now);
        }
        if let Some(outbound) = self.filter(id, outbound, now) {
            self.pass(id, outbound, now);
            self.after_send(id, now);
        }
    }

    /// Sends a message over the simulated way back.
    fn pass(&mut self, id: ConnId, outbound: Outbound, now: Nanos) {
        if self.config.downlink_ns == 0 {
            self.deliver(id, outbound);
        } else {
            self.outbox.push_back((now.saturating_add(self.config.downlink_ns), id, outbound));
        }
    }

    fn deliver(&mut self, id: ConnId, outbound: Outbound) {
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| !conn.is_half_open && conn.cut_after.is_none()) else {
            return;
        };
        self.counts.messages_out += 1;
        let sent = match (&mut conn.codec, outbound) {
            (Codec::Ws(ws, _), Outbound::Text(text)) => ws.send_text(text.as_bytes()),
            (Codec::Http(http), Outbound::Http(response)) => response.send(http),
            _ => Ok(()),
        };
        if matches!(sent, Err(crate::net::SendError::Full { .. })) {
            self.cut(id);
        }
    }

    /// Ends a connection that reads too slowly or breaks the rules.
    fn cut(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id)
            && !conn.ending
        {
            conn.ending = true;
            self.counts.connections_cut += 1;
            // What is queued cannot help a client that is this far behind.
            conn.codec = Codec::Gone;
        }
    }

    fn cut_idle(&mut self, now: Nanos) {
        let idle =
            |(id, conn): (&ConnId, &Conn)| (now.saturating_since(conn.heard) > IDLE_NS && !conn.ending).then_some(*id);
        let idle: Vec<ConnId> = self.conns.iter().filter_map(idle).collect();
        idle.into_iter().for_each(|id| self.cut(id));
    }

    /// Sends frames to everyone who follows their topics.
    fn fan_out(&mut self, frames: &mut Vec<Frame>, now: Nanos) {
        for (topic, frame) in frames.drain(..) {
            let followers = self.followers.get(&topic).cloned().unwrap_or_default();
            for id in followers {
                self.send(id, Outbound::Text(frame.clone()), now);
            }
        }
    }

    fn play_capture(&mut self, now: Nanos) -> usize {
        let mut frames = std::mem::take(&mut self.frames);
        let mut played = 0;
        while let Some(capture) = &mut self.capture
            && played < CAPTURE_FRAMES_PER_POLL_MAX
            && let Some((topic, raw)) = capture.next_due(&mut self.exchange.venue, now)
        {
            played += 1;
            if self.followers.contains_key(&topic) {
                frames.push((topic, raw.to_owned()));
            }
        }
        self.fan_out(&mut frames, now);
        self.frames = frames;
        played
    }

    fn pay_funding(&mut self, now: Nanos) {
        let due = *self.next_funding.get_or_insert_with(|| self.public.next_funding(now));
        if due <= now {
            for (instrument, rate) in self.public.funding_at(due) {
                self.exchange.venue.fund(instrument, rate, now);
            }
            self.next_funding = Some(self.public.next_funding(now));
        }
    }

    /// Tells what happened at the venue: trades to the public feed, the rest to its owners; and lets prices trigger what waits for them.
    fn push_events(&mut self, now: Nanos) {
        // What is triggered causes more to tell. An order is triggered once, so this ends.
        while !self.exchange.venue.events().is_empty() || self.exchange.stops.has_told() {
            let triggered = self.push_once(now);
            for no in triggered {
                self.exchange.fire(no, now);
            }
        }
    }

    /// Tells what happened so far, and returns the orders whose price was seen.
    fn push_once(&mut self, now: Nanos) -> Vec<OrderNo> {
        let mut triggered = Vec::new();
        let mut positions: Vec<(AccountId, InstrumentId)> = Vec::new();
        let mut wallets: Vec<AccountId> = Vec::new();
        for told in self.exchange.stops.take_told() {
            let (account, instrument) = match told {
                Told::Stop(stop) => (stop.account, stop.order.instrument),
                Told::Order(account, no) => match self.exchange.venue.find_order(account, no) {
                    Some(order) => (account, order.instrument),
                    None => continue,
                },
            };
            let Some(spec) = self.exchange.venue.spec(instrument).copied() else { continue };
            self.push(account, "order", instrument, now, |simex| {
                let (venue, stops) = (&simex.exchange.venue, &simex.exchange.stops);
                match told {
                    Told::Stop(stop) => Some(objects::stop(&spec, &stop, stops)),
                    Told::Order(account, no) => Some(objects::order(&spec, venue.find_order(account, no)?, stops)),
                }
            });
            if !positions.contains(&(account, instrument)) {
                positions.push((account, instrument));
            }
        }
        let events = self.exchange.venue.events().to_vec();
        self.exchange.venue.clear_events();
        for event in events {
            match event {
                VenueEvent::Trade { instrument, px, qty, taker, at } => {
                    if let Some(market) = self.exchange.venue.market(instrument) {
                        let trade = PublicTrade { instrument, px, qty, taker, seq: market.version(), at };
                        self.public.on_trade(&trade);
                    }
                    if !self.exchange.stops.is_idle() {
                        triggered.extend(self.exchange.stops.on_price(instrument, true, px));
                    }
                }
                VenueEvent::Order(order) => {
                    let Some(spec) = self.exchange.venue.spec(order.instrument).copied() else { continue };
                    self.push(order.account, "order", order.instrument, now, |simex| {
                        Some(objects::order(&spec, &order, &simex.exchange.stops))
                    });
                    // The venue tells the position at every change of an order, even without one of its own.
                    if !positions.contains(&(order.account, order.instrument)) {
                        positions.push((order.account, order.instrument));
                    }
                }
                VenueEvent::Execution(execution) => {
                    let (account, instrument) = (execution.account, execution.instrument);
                    let Some(spec) = self.exchange.venue.spec(instrument).copied() else { continue };
                    if execution.kind == ExecutionKind::Trade {
                        self.push(account, "execution.fast", instrument, now, |_| {
                            objects::execution_fast(&spec, &execution)
                        });
                        self.exchange.after_fill(&execution, now);
                    }
                    self.push(account, "execution", instrument, now, |simex| {
                        Some(objects::execution(&spec, &execution, &simex.exchange.stops))
                    });
                    if !wallets.contains(&account) {
                        wallets.push(account);
                    }
                    if !positions.contains(&(account, instrument)) {
                        positions.push((account, instrument));
                    }
                }
            }
        }
        for (account, instrument) in positions {
            // Coins that are held are the wallet's, not positions.
            if self.exchange.venue.spec(instrument).is_some_and(|spec| spec.product != Product::Spot) {
                self.push(account, "position", instrument, now, |simex| {
                    objects::position(&simex.exchange, account, instrument, false, now)
                });
            }
        }
        for account in wallets {
            self.push(account, "wallet", InstrumentId(0), now, |simex| objects::wallet(&simex.exchange.venue, account));
        }
        triggered
    }

    /// Lets mark prices, and a captured feed's last prices, trigger what waits for them.
    fn check_triggers(&mut self, now: Nanos) {
        if self.exchange.stops.is_idle() {
            return;
        }
        let mut triggered = Vec::new();
        for instrument in self.exchange.stops.marks_watched() {
            if let Some(mark) = self.exchange.venue.mark(instrument) {
                triggered.extend(self.exchange.stops.on_price(instrument, false, mark));
            }
        }
        if self.capture.is_some() {
            for idx in 0..self.exchange.venue.instruments_len() {
                let instrument = InstrumentId(idx as u16);
                if let Some(last) = self.exchange.venue.last_px(instrument) {
                    triggered.extend(self.exchange.stops.on_price(instrument, true, last));
                }
            }
        }
        for no in triggered {
            self.exchange.fire(no, now);
        }
    }

    /// Sends an object to every private connection of an account that follows its family.
    fn push(
        &mut self,
        account: AccountId,
        family: &'static str,
        instrument: InstrumentId,
        now: Nanos,
        object: impl FnOnce(&Self) -> Option<String>,
    ) {
        let category = public::category_of(&self.exchange.venue, instrument).unwrap_or_default();
        let mut to: Vec<(ConnId, String)> = Vec::new();
        for (id, conn) in &self.conns {
            if let Codec::Ws(_, Stream::Private { account: Some(owner), topics }) = &conn.codec
                && *owner == account
            {
                let follows = |topic: &&String| {
                    let rest = topic.strip_prefix(family);
                    rest == Some("") || rest.and_then(|rest| rest.strip_prefix('.')) == Some(category)
                };
                to.extend(topics.iter().filter(follows).map(|topic| (*id, topic.clone())));
            }
        }
        if to.is_empty() {
            return;
        }
        let Some(object) = object(self) else { return };
        for (id, topic) in to {
            let message = json::uuid(json::MESSAGES, self.counts.messages_out);
            let frame = Obj::new()
                .text("id", message)
                .text("topic", topic)
                .raw("creationTime", now.as_millis())
                .raw("data", json::array([&object]));
            self.send(id, Outbound::Text(frame.done()), now);
        }
    }
}

/// The longest request body; a batch of 20 orders is some 5 kB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The longest WebSocket message; the venue allows 21,000 characters of subscription arguments.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The venue cuts connections that were silent for ten minutes.
const IDLE_NS: u64 = 600 * 1_000_000_000;

/// Frames of a capture caught up in one call, so that a poll stays short.
const CAPTURE_FRAMES_PER_POLL_MAX: usize = 1_000;
