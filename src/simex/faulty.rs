//! Where a script meets the venue: messages on their way out, requests on their way in, connections.

use super::{
    Codec, ConnId, Inbound, Outbound, Simex,
    error::ApiError,
    exchange::text,
    fault::{Begun, Channel, FaultPlan, FaultScript, MessageFate, Request, RequestFate, Topic},
    json, objects,
    rest::HttpResponse,
    stream::Stream,
};
use crate::{
    sim::{AccountId, Incoming, OrderNo, OwnerId, SelfTrade},
    types::{InstrumentId, Lots, Nanos, Side, TimeInForce},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A script under way, and what it holds back.
pub(super) struct Faults {
    plan: FaultPlan,
    /// Messages that come late, by when, and then in order.
    late: BTreeMap<(Nanos, u64), (ConnId, Outbound)>,
    /// Requests that arrive late, likewise.
    held: BTreeMap<(Nanos, u64), (ConnId, Inbound)>,
    /// Messages that wait to be overtaken, and until when at most.
    swapped: Vec<(Nanos, ConnId, Outbound)>,
    count: u64,
}

impl Faults {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Simex {
    /// Plays a script from `start` on.
    pub fn set_faults(&mut self, script: &FaultScript, start: Nanos) {
        let plan = FaultPlan::new(script, start);
        let (late, held, swapped) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        self.faults = Some(Box::new(Faults { plan, late, held, swapped, count: 0 }));
    }

    /// How often each kind of fault has acted so far.
    pub fn faults_fired(&self) -> BTreeMap<String, u64> {
        self.faults.as_ref().map(|faults| faults.plan.fired().clone()).unwrap_or_default()
    }

    /// Whether every fault of the script is over, and nothing is held back any more.
    pub fn are_faults_over(&self, now: Nanos) -> bool {
        self.faults.as_ref().is_none_or(|faults| {
            let holds = !(faults.late.is_empty() && faults.held.is_empty() && faults.swapped.is_empty());
            faults.plan.is_over(now) && !holds
        })
    }

    /// How far the script lets the client's clock be ahead at `now`, in nanoseconds. The client's side of a fault is up to who
    /// drives the client.
    pub fn client_clock_ahead_ns(&self, now: Nanos) -> i64 {
        self.faults.as_ref().map_or(0, |faults| faults.plan.clock_ahead_ns(now))
    }

    /// Whether the script wants the client to do nothing at `now`.
    pub fn is_client_frozen(&self, now: Nanos) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.plan.is_frozen(now))
    }

    /// Whether no byte of a connection may move at `now`.
    pub(super) fn is_stalled(&self, id: ConnId, now: Nanos) -> bool {
        let Some(faults) = &self.faults else { return false };
        self.channel(id).is_some_and(|channel| faults.plan.is_stalled(channel, now))
    }

    /// Whether a client that asks for a WebSocket is turned away.
    pub(super) fn is_banned(&self, now: Nanos) -> bool {
        self.address.is_banned(now) || self.faults.as_ref().is_some_and(|faults| faults.plan.is_banned(now))
    }

    /// What a new WebSocket must be told of the faults that last.
    pub(super) fn on_upgraded(&mut self, id: ConnId, now: Nanos) {
        let Some(channel) = self.channel(id) else { return };
        if self.faults.as_ref().is_some_and(|faults| faults.plan.is_half_open(channel, now))
            && let Some(conn) = self.conns.get_mut(&id)
        {
            conn.is_half_open = true;
        }
    }

    fn channel(&self, id: ConnId) -> Option<Channel> {
        match &self.conns.get(&id)?.codec {
            Codec::Http(_) => Some(Channel::Rest),
            Codec::Ws(_, Stream::Public { .. }) => Some(Channel::Public),
            Codec::Ws(_, Stream::Private { .. }) => Some(Channel::Private),
            Codec::Ws(_, Stream::Trade { .. }) => Some(Channel::Trade),
            Codec::Gone => None,
        }
    }

    /// Lets faults begin and end, and lets arrive what they held back. Returns how much was done.
    pub(super) fn poll_faults(&mut self, now: Nanos) -> usize {
        let mut work = 0;
        while let Some(begun) = self.faults.as_mut().and_then(|faults| faults.plan.step(now)) {
            self.begin(begun, now);
            work += 1;
        }
        while let Some(faults) = &mut self.faults
            && faults.held.first_key_value().is_some_and(|((due, _), _)| *due <= now)
            && let Some((_, (id, inbound))) = faults.held.pop_first()
        {
            self.carry_out(id, inbound, now);
            work += 1;
        }
        while let Some(faults) = &mut self.faults
            && faults.late.first_key_value().is_some_and(|((due, _), _)| *due <= now)
            && let Some((_, (id, outbound))) = faults.late.pop_first()
        {
            self.pass(id, outbound, now);
            work += 1;
        }
        while let Some(faults) = &mut self.faults
            && let Some(at) = faults.swapped.iter().position(|(until, ..)| *until <= now)
        {
            let (_, id, outbound) = faults.swapped.remove(at);
            self.pass(id, outbound, now);
            work += 1;
        }
        work
    }

    fn begin(&mut self, begun: Begun, now: Nanos) {
        match begun {
            Begun::Cut(channel) | Begun::HalfOpenEnds(channel) => {
                let only_half_open = matches!(begun, Begun::HalfOpenEnds(_));
                for id in self.conns_on(|on| on == channel) {
                    if !only_half_open || self.conns.get(&id).is_some_and(|conn| conn.is_half_open) {
                        self.reset(id);
                    }
                }
            }
            Begun::Kick(channel) => {
                for id in self.conns_on(|on| on == channel) {
                    if let Some(conn) = self.conns.get_mut(&id)
                        && let Codec::Ws(ws, _) = &mut conn.codec
                    {
                        let _ = ws.close(1001, "going away"); // with a full buffer it is a cut
                        conn.ending = true;
                    }
                }
            }
            Begun::HalfOpen(channel) => {
                for id in self.conns_on(|on| on == channel) {
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.is_half_open = true;
                    }
                }
            }
            Begun::TradeRestartEnds => {
                self.conns_on(|on| on == Channel::Trade).into_iter().for_each(|id| self.reset(id))
            }
            Begun::Ban => self.conns_on(|_| true).into_iter().for_each(|id| self.reset(id)),
            Begun::VenueRestart => {
                self.conns_on(|_| true).into_iter().for_each(|id| self.reset(id));
                self.public.resend(true);
                self.exchange.restarted = now;
            }
            Begun::Snapshot { is_restart } => self.public.resend(is_restart),
        }
    }

    fn conns_on(&self, is_meant: impl Fn(Channel) -> bool) -> Vec<ConnId> {
        let ids = self.conns.keys().copied();
        ids.filter(|id| self.channel(*id).is_some_and(&is_meant)).collect()
    }

    /// Ends a connection without a word; what was queued for it is lost.
    fn reset(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.ending = true;
            conn.codec = Codec::Gone;
        }
    }

    /// Decides what becomes of a message, and returns it if it goes out now.
    pub(super) fn filter(&mut self, id: ConnId, outbound: Outbound, now: Nanos) -> Option<Outbound> {
        let Some(channel) = self.channel(id) else { return Some(outbound) };
        let topic = topic_of(channel, &outbound);
        let Some(faults) = &mut self.faults else { return Some(outbound) };
        match faults.plan.message(channel, topic, now) {
            MessageFate::Pass => Some(outbound),
            MessageFate::Drop => None,
            MessageFate::Duplicate(later_ns) => {
                let key = (now.saturating_add(later_ns), faults.next());
                faults.late.insert(key, (id, outbound.clone()));
                Some(outbound)
            }
            MessageFate::Delay(later_ns) => {
                let key = (now.saturating_add(later_ns), faults.next());
                faults.late.insert(key, (id, outbound));
                None
            }
            MessageFate::Reorder => {
                faults.swapped.push((now.saturating_add(OVERTAKE_WITHIN_NS), id, outbound));
                None
            }
            MessageFate::Corrupt => Some(corrupt(outbound)),
            MessageFate::CutMidFrame => {
                let before = self.pending(id).len();
                self.deliver(id, outbound);
                let whole = self.pending(id).len();
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.cut_after = Some(before + (whole - before) / 2);
                    conn.ending = true;
                }
                None
            }
        }
    }

    /// What waited to be overtaken on this connection goes out now.
    pub(super) fn after_send(&mut self, id: ConnId, now: Nanos) {
        while let Some(faults) = &mut self.faults
            && let Some(at) = faults.swapped.iter().position(|(_, of, _)| *of == id)
        {
            let (_, _, outbound) = faults.swapped.remove(at);
            self.pass(id, outbound, now);
        }
    }

    /// Handles a request as the script wants it.
    pub(super) fn handle_faulty(&mut self, id: ConnId, inbound: Inbound, now: Nanos) {
        let (request, message) = match (&inbound, self.channel(id)) {
            (Inbound::Http(_), _) => (Some(Request::Rest), Value::Null),
            (Inbound::Text(bytes), Some(Channel::Trade)) => {
                let message: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
                let request = match text(&message, "op") {
                    Some("order.create" | "order.create-batch") => Some(Request::Order),
                    Some("order.amend" | "order.amend-batch") => Some(Request::Amend),
                    Some("order.cancel" | "order.cancel-batch") => Some(Request::Cancel),
                    _ => None,
                };
                (request, message)
            }
            _ => (None, Value::Null),
        };
        let (Some(request), Some(faults)) = (request, &mut self.faults) else {
            return self.carry_out(id, inbound, now);
        };
        if request == Request::Rest && faults.plan.is_half_open(Channel::Rest, now) {
            return;
        }
        match faults.plan.request(request, now) {
            RequestFate::Pass => self.carry_out(id, inbound, now),
            RequestFate::Lose => {}
            RequestFate::Hold(later_ns) => {
                let key = (now.saturating_add(later_ns), faults.next());
                faults.held.insert(key, (id, inbound));
            }
            RequestFate::Refuse(code) => self.answer_with(id, request, &message, code, now),
            RequestFate::Doubt(code) => {
                // Done, and only then answered as if nobody knew.
                if let Inbound::Text(bytes) = &inbound {
                    let _ = self.answer_text(id, bytes, now);
                } else if let Inbound::Http(query) = &inbound {
                    let _ = self.on_request(query, now);
                }
                self.answer_with(id, request, &message, code, now);
                self.push_events(now);
            }
            RequestFate::Http(status) => {
                self.send(id, Outbound::Http(HttpResponse::status_only(status)), now);
            }
            RequestFate::CutBefore => self.reset(id),
            RequestFate::CutAfter => {
                self.carry_out(id, inbound, now);
                self.reset(id);
            }
            RequestFate::Race { is_told_twice } => self.race(id, inbound, &message, is_told_twice, now),
            RequestFate::Reprice { ticks } => {
                self.exchange.reprice_ticks = Some(ticks);
                self.carry_out(id, inbound, now);
                self.exchange.reprice_ticks = None;
            }
        }
    }

    /// Answers a request with a code of the venue.
    fn answer_with(&mut self, id: ConnId, request: Request, message: &Value, code: i32, now: Nanos) {
        let error = ApiError::new(code, words_of(code));
        if request == Request::Rest {
            return self.send(id, Outbound::Http(HttpResponse::refusal(&error, now)), now);
        }
        let answer = super::stream::trade_refusal(id, message, &error);
        self.send(id, Outbound::Text(answer), now);
    }

    /// Lets the crowd fill the order that a request is about, just before the request.
    fn race(&mut self, id: ConnId, inbound: Inbound, message: &Value, is_told_twice: bool, now: Nanos) {
        let account = match self.conns.get(&id).map(|conn| &conn.codec) {
            Some(Codec::Ws(_, Stream::Trade { account: Some(account), .. })) => *account,
            _ => return self.carry_out(id, inbound, now),
        };
        let Some((instrument, no)) = message.pointer("/args/0").and_then(|body| self.exchange.find(account, body))
        else {
            return self.carry_out(id, inbound, now);
        };
        self.fill_from_crowd(account, instrument, no, now);
        self.push_events(now);
        let venue = &self.exchange.venue;
        let (Some(spec), Some(order)) = (venue.spec(instrument).copied(), venue.find_order(account, no).copied())
        else {
            return self.carry_out(id, inbound, now);
        };
        if order.is_open() || !is_told_twice {
            return self.carry_out(id, inbound, now);
        }
        let answer = super::stream::trade_answer(id, message, &json::order_id(no), order.link.as_str());
        self.send(id, Outbound::Text(answer), now);
        let again = objects::order(&spec, &order, &self.exchange.stops)
            .replacen(r#""cancelType":"UNKNOWN""#, r#""cancelType":"CancelByUser""#, 1)
            .replacen(r#""rejectReason":"EC_NoError""#, r#""rejectReason":"EC_OrigClOrdIDDoesNotExist""#, 1);
        self.push(account, "order", instrument, now, |_| Some(again));
    }

    /// A member of the crowd takes everything up to an order's price.
    fn fill_from_crowd(&mut self, account: AccountId, instrument: InstrumentId, no: OrderNo, now: Nanos) {
        let venue = &mut self.exchange.venue;
        let Some(order) = venue.find_order(account, no).filter(|order| order.is_open()).copied() else { return };
        let Some(market) = venue.market(instrument) else { return };
        let is_ahead = |px| if order.side == Side::Bid { px >= order.px } else { px <= order.px };
        let levels = market.levels(order.side).take_while(|level| is_ahead(level.px));
        let qty = levels.fold(Lots::ZERO, |sum, level| sum.saturating_add(level.qty));
        let taker = Incoming {
            no: venue.next_order_no(),
            owner: OwnerId(OwnerId::CROWD + STRANGER),
            side: order.side.opposite(),
            px: order.px,
            qty,
            tif: TimeInForce::ImmediateOrCancel,
            self_trade: SelfTrade::None,
        };
        if qty > Lots::ZERO {
            venue.crowd_place(instrument, &taker, now);
        }
    }
}

/// What a message is about.
fn topic_of(channel: Channel, outbound: &Outbound) -> Option<Topic> {
    let Outbound::Text(text) = outbound else { return None };
    let value_of = |key: &str| text.split_once(key).and_then(|(_, rest)| rest.split_once('"')).map(|(value, _)| value);
    // The venue's own frames have these keys once, without spaces.
    if channel != Channel::Trade
        && let Some(topic) = value_of(r#""topic":""#)
    {
        let family = topic.split('.').next().unwrap_or_default();
        return Some(match family {
            "order" => Topic::Order,
            "execution" => Topic::Execution,
            "position" => Topic::Position,
            "wallet" => Topic::Wallet,
            "orderbook" => Topic::Orderbook,
            "publicTrade" => Topic::Trades,
            _ => Topic::Tickers,
        });
    }
    Some(match value_of(r#""op":""#) {
        Some("order.create" | "order.create-batch") => Topic::Order,
        Some("order.amend" | "order.amend-batch") => Topic::Amend,
        Some("order.cancel" | "order.cancel-batch") => Topic::Cancel,
        Some("ping" | "pong") => Topic::Pong,
        _ => Topic::Login,
    })
}

/// Makes a message one that no reader of JSON can take for whole: an object without its end is none.
fn corrupt(outbound: Outbound) -> Outbound {
    let halve = |mut text: String| {
        let mut at = text.len() / 2;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        text
    };
    match outbound {
        Outbound::Text(text) => Outbound::Text(halve(text)),
        Outbound::Http(response) => Outbound::Http(response.map_body(halve)),
    }
}

/// The venue's words for a code that no rule of its own gave.
fn words_of(code: i32) -> &'static str {
    match code {
        10_000 => "Server Timeout",
        10_002 => "invalid request, please check your server timestamp or recv_window param",
        10_006 => "Too many visits!",
        10_016 => "Internal server error.",
        10_019 => "ws trade service is restarting, do not accept new request",
        10_429 => "System level frequency protection",
        110_001 => "order not exists or too late to replace",
        110_003 => "Order price exceeds the allowable range.",
        110_007 => "ab not enough for new order",
        110_079 => "The order is processing and can not be operated, please try again later",
        110_094 => "Order does not meet minimum order value",
        _ => "error",
    }
}

/// A message that waits to be overtaken waits no longer than this.
const OVERTAKE_WITHIN_NS: u64 = 1_000_000_000;

/// Number in the crowd of who takes an order ahead of its cancellation: no maker's, so nobody's inventory.
const STRANGER: u32 = 999;
