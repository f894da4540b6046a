//! Messages of the private stream and of order entry → events of our orders.
//!
//! An acknowledgement means only that a request was taken; what became of it is told by the order stream, and the two are
//! not ordered against each other. A refusal whose code leaves the outcome open is
//! [`Unknown`](crate::types::RejectKind::Unknown): only a query can tell. A message that is refused here ([`WireError`]) may
//! have held a fill: answer it with a reconciliation.
//!
//! Words that the venue adds to its lists later map to a fallback; they are never an error.

use super::codes;
use super::encode::{LinkId, ReqId};
use super::market::side;
use crate::types::{
    Ack, Balance, ClientOrderId, Event, Fill, Funding, InstrumentId, InstrumentSpec, InstrumentTable, Lots, Meta,
    Money, Nanos, Op, OrderStatus, OrderUpdate, Position, Product, Rate, Reject, Side, Ticks, VenueId,
};
use crate::venue::general::General;
use crate::venue::scan::Scanner;
use crate::venue::source::{Grid, Seen, Source, parse_money, parse_uint};
use crate::venue::symbols::{Grids, Symbols};
use crate::venue::{Arrival, EventSink, FRAME_BYTES_MAX, WireError};

/// Most orders, executions or positions in one message: the venue was seen to send a few; 50 is its page size.
const ITEMS_MAX: usize = 512;

/// What a private or order-entry message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateKind {
    /// Answer to an order request of ours: [`Event::Ack`] or [`Event::Reject`] was told.
    Reply,
    /// Answer to an order request that cannot be matched; the request's time-out will tell.
    UnmatchedReply {
        /// The venue's code.
        code: i32,
    },
    /// Answer to the login.
    Login {
        /// Whether we are in.
        is_accepted: bool,
        /// The venue's code, 0 if it gave none.
        code: i32,
    },
    /// Answer to a subscription.
    Subscription {
        /// Whether it was taken.
        is_accepted: bool,
    },
    /// Answer to a ping.
    Pong,
    /// States of orders.
    Orders,
    /// Executions.
    Fills,
    /// Positions.
    Positions,
    /// The wallet.
    Wallet,
    /// A topic that is of no use here.
    Ignored,
    /// Well-formed, but of no known shape.
    Unknown,
}

/// Counts of one decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PrivateCounters {
    /// Messages in all.
    pub messages: u64,
    /// Refused with a [`WireError`].
    pub decode_errors: u64,
    /// Of no known shape.
    pub unknown_messages: u64,
    /// Items of instruments that the table does not hold.
    pub unknown_symbols: u64,
    /// Executions of a kind that nobody knows, and sides of a hedged position.
    pub skipped_items: u64,
    /// Words that were not on their list.
    pub unknown_words: u64,
}

/// Decodes private and order-entry messages of one account.
pub struct PrivateDecoder {
    context: Context,
    general: General,
    counters: PrivateCounters,
    /// The events of the current message: told only if the whole message is good.
    events: Vec<Event<'static>>,
}

/// What is needed to understand an item.
struct Context {
    symbols: Symbols,
    /// For executions that come before the venue tells their fee.
    specs: Box<[InstrumentSpec]>,
    run_id: u32,
    settle_coin: Box<[u8]>,
}

/// Where items go.
struct Out<'o> {
    events: &'o mut Vec<Event<'static>>,
    counters: &'o mut PrivateCounters,
    meta: Meta,
}

impl Out<'_> {
    fn push(&mut self, event: Event<'static>) -> Result<(), WireError> {
        if self.events.len() == ITEMS_MAX {
            return Err(WireError::TooManyItems { allowed: ITEMS_MAX as u32 });
        }
        self.events.push(event);
        Ok(())
    }
}

impl PrivateDecoder {
    /// Makes the decoder for the Bybit instruments of `table`; orders of `run_id` are ours, `settle_coin` (`USDT`) is the
    /// currency whose balance is told.
    pub fn new(table: &InstrumentTable, run_id: u32, settle_coin: &str) -> Self {
        Self {
            context: Context {
                symbols: Symbols::new(table, VenueId::BYBIT),
                specs: table.iter().map(|(_, spec)| *spec).collect(),
                run_id,
                settle_coin: settle_coin.as_bytes().into(),
            },
            general: General::new(),
            counters: PrivateCounters::default(),
            events: Vec::with_capacity(ITEMS_MAX),
        }
    }

    /// What became of the messages so far.
    pub fn counters(&self) -> &PrivateCounters {
        &self.counters
    }

    /// Decodes one message of the private stream or of order entry and gives its events to `sink`. `decoded_ns` is asked
    /// once for the nanoseconds since `arrival.recv`.
    ///
    /// # Errors
    /// [`WireError`] if the message was refused; no event was told, and a reconciliation is due.
    ///
    /// # Cost
    /// One pass over the message.
    pub fn on_frame(
        &mut self,
        frame: &[u8],
        arrival: Arrival,
        decoded_ns: impl FnOnce() -> u32,
        sink: &mut impl EventSink,
    ) -> Result<PrivateKind, WireError> {
        let result = self.decode(frame, arrival.recv);
        self.counters.messages += 1;
        match result {
            Ok(kind) => {
                self.counters.unknown_messages += u64::from(kind == PrivateKind::Unknown);
                let decoded_ns = decoded_ns();
                for event in &mut self.events {
                    let meta = event.meta_mut();
                    meta.framed_ns = arrival.framed_ns;
                    meta.decoded_ns = decoded_ns;
                    sink.event(event);
                }
            }
            Err(_) => self.counters.decode_errors += 1,
        }
        result
    }

    fn decode(&mut self, frame: &[u8], recv: Nanos) -> Result<PrivateKind, WireError> {
        if frame.len() > FRAME_BYTES_MAX {
            let found = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            return Err(WireError::TooLong { found, allowed: FRAME_BYTES_MAX as u32 });
        }
        let Self { context, general, counters, events } = self;
        let before = *counters;
        let meta = Meta { recv, ..Meta::default() };
        events.clear();
        let quick = context.message(Scanner::new(frame), &mut Out { events, counters, meta });
        let Err(error) = quick else { return quick };
        events.clear();
        *counters = before;
        // The scanner's error says where; the general source's verdict counts.
        general
            .parse(frame, |walk| context.message(walk, &mut Out { events, counters, meta }))
            .map_err(|_| error)
            .inspect_err(|_| {
                events.clear();
                *counters = before;
            })
    }

    /// Reads one order as REST lists them; for start-up and queries, which left at `asked_at`.
    pub(crate) fn order_item(
        &mut self,
        item: &[u8],
        recv: Nanos,
        asked_at: Nanos,
    ) -> Result<Option<OrderUpdate>, WireError> {
        let events = self.items(item, recv, |context, source, out| context.order(source, out))?;
        let order = events.iter().find_map(|event| if let Event::Order(order) = event { Some(*order) } else { None });
        Ok(order.map(|order| OrderUpdate { asked_at, ..order }))
    }

    /// Reads one position as REST lists them, asked for at `asked_at`.
    pub(crate) fn position_item(
        &mut self,
        item: &[u8],
        recv: Nanos,
        asked_at: Nanos,
    ) -> Result<Option<Position>, WireError> {
        let events = self.items(item, recv, |context, source, out| context.position(source, out))?;
        let position = events.iter().find_map(|event| if let Event::Position(it) = event { Some(*it) } else { None });
        Ok(position.map(|position| Position { asked_at, ..position }))
    }

    /// Reads one execution as REST lists them: a fill or a funding payment.
    pub(crate) fn execution_item(&mut self, item: &[u8], recv: Nanos) -> Result<Option<Event<'static>>, WireError> {
        let events = self.items(item, recv, |context, source, out| context.execution(source, false, out))?;
        Ok(events.iter().find_map(|event| match *event {
            Event::Fill(fill) => Some(Event::Fill(Fill { is_query: true, ..fill })),
            Event::Funding(funding) => Some(Event::Funding(Funding { is_query: true, ..funding })),
            _ => None,
        }))
    }

    /// Reads a wallet as REST lists them.
    pub(crate) fn wallet_item(&mut self, item: &[u8], recv: Nanos) -> Result<Option<Balance>, WireError> {
        let events = self.items(item, recv, |context, source, out| context.wallet(source, out))?;
        Ok(events.iter().find_map(|event| if let Event::Balance(balance) = event { Some(*balance) } else { None }))
    }

    fn items(
        &mut self,
        item: &[u8],
        recv: Nanos,
        read: impl FnOnce(&Context, &mut Scanner<'_>, &mut Out<'_>) -> Result<(), WireError>,
    ) -> Result<&[Event<'static>], WireError> {
        let Self { context, counters, events, .. } = self;
        events.clear();
        let meta = Meta { recv, ..Meta::default() };
        read(context, &mut Scanner::new(item), &mut Out { events, counters, meta })?;
        Ok(events)
    }
}

/// Topics of the private stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    Order,
    Execution,
    FastExecution,
    Position,
    Wallet,
    Ignored,
    Unknown,
}

fn topic(text: &[u8]) -> Topic {
    let mut words = text.split(|&byte| byte == b'.');
    match (words.next().unwrap_or(b""), words.next()) {
        (b"order", _) => Topic::Order,
        (b"execution", Some(b"fast")) => Topic::FastExecution,
        (b"execution", _) => Topic::Execution,
        (b"position", _) => Topic::Position,
        (b"wallet", _) => Topic::Wallet,
        (b"greeks" | b"dcp", _) => Topic::Ignored,
        _ => Topic::Unknown,
    }
}

impl Context {
    fn message<'a, S: Source<'a>>(&self, mut source: S, out: &mut Out<'_>) -> Result<PrivateKind, WireError> {
        let mut seen = Seen::default();
        let (mut place, mut data) = (None, None);
        let (mut op, mut ret_msg): (&[u8], &[u8]) = (b"", b"");
        let mut req_id = None;
        let (mut is_success, mut code) = (true, 0);
        let mut limit_left = u32::MAX;
        let mut time_now = 0;
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"topic" => {
                    seen.once(0, "topic")?;
                    place = Some(topic(source.text()?));
                }
                b"data" => {
                    seen.once(1, "data")?;
                    data = Some(source);
                    source.skip()?;
                }
                b"creationTime" => {
                    seen.once(2, "creationTime")?;
                    out.meta.venue_ts = Nanos::from_millis(source.uint_or_text()?);
                }
                b"op" => {
                    seen.once(3, "op")?;
                    op = source.text()?;
                }
                b"reqId" => {
                    seen.once(4, "reqId")?;
                    req_id = ReqId::parse(source.text()?);
                }
                b"retCode" => {
                    seen.once(5, "retCode")?;
                    code = i32::try_from(source.int()?).map_err(|_| WireError::OutOfRange)?;
                }
                b"success" => {
                    seen.once(6, "success")?;
                    is_success = source.flag()?;
                }
                b"ret_msg" => {
                    seen.once(7, "ret_msg")?;
                    // A text with escapes is no `pong`; what it says is of no use here.
                    let place = source;
                    match source.text() {
                        Ok(text) => ret_msg = text,
                        Err(_) => {
                            source = place;
                            source.skip()?;
                        }
                    }
                }
                b"header" => {
                    seen.once(8, "header")?;
                    let mut members = source.object()?;
                    while let Some(key) = source.key(&mut members)? {
                        match key {
                            b"X-Bapi-Limit-Status" => {
                                let left = parse_uint(source.text()?)?;
                                limit_left = u32::try_from(left).unwrap_or(u32::MAX - 1);
                            }
                            b"Timenow" => time_now = parse_uint(source.text()?)?,
                            _ => source.skip()?,
                        }
                    }
                }
                _ => source.skip()?,
            }
        }
        source.end()?;
        if let Some(place) = place {
            let mut data = data.ok_or(WireError::Missing { field: "data" })?;
            return self.topic_data(place, &mut data, out);
        }
        Ok(match op {
            b"pong" | b"ping" => PrivateKind::Pong,
            _ if ret_msg == b"pong" => PrivateKind::Pong,
            b"auth" => PrivateKind::Login { is_accepted: is_success && code == 0, code },
            b"subscribe" | b"unsubscribe" => PrivateKind::Subscription { is_accepted: is_success },
            _ if seen.has(5) => {
                out.meta.venue_ts = Nanos::from_millis(time_now);
                let Some((op, client_id, request)) = self.asked(op, req_id, data)? else {
                    return Ok(PrivateKind::UnmatchedReply { code });
                };
                let meta = out.meta;
                out.push(if code == 0 {
                    Event::Ack(Ack { meta, op, client_id, request, limit_left })
                } else {
                    Event::Reject(Reject { meta, op, kind: codes::reject_kind(op, code), client_id, request, code })
                })?;
                PrivateKind::Reply
            }
            _ => PrivateKind::Unknown,
        })
    }

    /// What a reply answers: by its request id, or else by the order id that it repeats.
    fn asked<'a, S: Source<'a>>(
        &self,
        op: &[u8],
        req_id: Option<ReqId>,
        data: Option<S>,
    ) -> Result<Option<(Op, ClientOrderId, u16)>, WireError> {
        if let Some(req_id) = req_id {
            return Ok(Some((req_id.op, req_id.client_id, req_id.request)));
        }
        let op = match op {
            b"order.create" => Op::Create,
            b"order.amend" => Op::Amend,
            b"order.cancel" => Op::Cancel,
            _ => return Ok(None),
        };
        let Some(mut data) = data else { return Ok(None) };
        let Ok(mut members) = data.object() else { return Ok(None) };
        while let Some(key) = data.key(&mut members)? {
            if key == b"orderLinkId" {
                let client_id = self.client_id(data.text()?);
                return Ok((client_id.0 != 0).then_some((op, client_id, 0)));
            }
            data.skip()?;
        }
        Ok(None)
    }

    fn topic_data<'a, S: Source<'a>>(
        &self,
        topic: Topic,
        data: &mut S,
        out: &mut Out<'_>,
    ) -> Result<PrivateKind, WireError> {
        let kind = match topic {
            Topic::Order => PrivateKind::Orders,
            Topic::Execution | Topic::FastExecution => PrivateKind::Fills,
            Topic::Position => PrivateKind::Positions,
            Topic::Wallet => PrivateKind::Wallet,
            Topic::Ignored => return Ok(PrivateKind::Ignored),
            Topic::Unknown => return Ok(PrivateKind::Unknown),
        };
        let mut rows = data.array()?;
        while data.item(&mut rows)? {
            match topic {
                Topic::Order => self.order(data, out)?,
                Topic::Execution => self.execution(data, false, out)?,
                Topic::FastExecution => self.execution(data, true, out)?,
                Topic::Position => self.position(data, out)?,
                _ => self.wallet(data, out)?,
            }
        }
        Ok(kind)
    }

    /// Our number of an order, 0 if it is not ours.
    fn client_id(&self, link_id: &[u8]) -> ClientOrderId {
        match LinkId::parse(link_id) {
            Some(link) if link.run_id == self.run_id => link.client_id,
            _ => ClientOrderId(0),
        }
    }

    fn find(&self, symbol: &[u8], out: &mut Out<'_>) -> Option<(InstrumentId, &Grids)> {
        let found = self.symbols.find(symbol);
        out.counters.unknown_symbols += u64::from(found.is_none());
        found
    }

    fn order<'a, S: Source<'a>>(&self, source: &mut S, out: &mut Out<'_>) -> Result<(), WireError> {
        let mut seen = Seen::default();
        let mut fields = [&b""[..]; ORDER_FIELDS.len()];
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match ORDER_FIELDS.iter().position(|name| name.as_bytes() == key) {
                Some(idx) => {
                    seen.once(idx as u32, ORDER_FIELDS[idx])?;
                    fields[idx] = source.text()?;
                }
                None => source.skip()?,
            }
        }
        let [symbol, order_id, link_id, side_word, status, px, qty, filled, reject, cancel, updated, trigger] = fields;
        let Some((instrument, grids)) = self.find(symbol, out) else { return Ok(()) };
        for (bit, name) in ORDER_FIELDS.iter().enumerate().take(8) {
            seen.need(bit as u32, name)?;
        }
        let qty = count(qty, &grids.qty)?;
        let filled = count(filled, &grids.qty)?;
        // The price of an order that waits is its trigger: the limit of what it becomes is none, or not reached before. A trigger that
        // is on no step (a trailing one of somebody else) must not make the whole list unreadable.
        let waits = matches!(status, b"Untriggered" | b"Triggered");
        let trigger = Some(trigger).filter(|text| waits && !text.is_empty()).and_then(|text| grids.px.parse(text).ok());
        let px = trigger.map_or_else(|| count(px, &grids.px), Ok)?;
        let status = match status {
            b"New" | b"Created" | b"Active" | b"PendingCancel" => OrderStatus::New,
            b"PartiallyFilled" => OrderStatus::PartiallyFilled,
            b"Filled" => OrderStatus::Filled,
            b"Cancelled" | b"PartiallyFilledCanceled" | b"Deactivated" => OrderStatus::Cancelled,
            b"Rejected" => OrderStatus::Rejected,
            b"Untriggered" | b"Triggered" => OrderStatus::Untriggered,
            // The cautious reading of a state that is not known: the order may still trade.
            _ => {
                out.counters.unknown_words += 1;
                if filled == 0 { OrderStatus::New } else { OrderStatus::PartiallyFilled }
            }
        };
        let reason = codes::reason(reject, cancel);
        let order = OrderUpdate {
            meta: Meta { instrument, venue_ts: millis(updated, out.meta.venue_ts)?, ..out.meta },
            client_id: self.client_id(link_id),
            venue_order_id: id_128(order_id),
            side: side(side_word).ok_or(WireError::UnknownWord { field: "side" })?,
            status,
            px: Ticks::new(px),
            qty: Lots::new(qty),
            filled: Lots::new(filled),
            reason,
            asked_at: Nanos::ZERO,
        };
        out.push(Event::Order(order))
    }

    fn execution<'a, S: Source<'a>>(&self, source: &mut S, is_fast: bool, out: &mut Out<'_>) -> Result<(), WireError> {
        let mut seen = Seen::default();
        let mut fields = [&b""[..]; FILL_FIELDS.len()];
        let (mut is_maker, mut seq) = (false, 0);
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            if key == b"isMaker" {
                seen.once(31, "isMaker")?;
                is_maker = source.flag()?;
                continue;
            }
            if key == b"seq" {
                seen.once(30, "seq")?;
                seq = source.uint_or_text()?;
                continue;
            }
            match FILL_FIELDS.iter().position(|name| name.as_bytes() == key) {
                Some(idx) => {
                    seen.once(idx as u32, FILL_FIELDS[idx])?;
                    fields[idx] = source.text()?;
                }
                None => source.skip()?,
            }
        }
        let [symbol, exec_id, side_word, px, qty, link_id, exec_type, order_id, fee, time, _] = fields;
        let client_id = self.client_id(link_id);
        // A kind that nobody knows moves no position of ours that an order of ours did not move.
        let is_fill = match exec_type {
            b"Trade" | b"AdlTrade" | b"BustTrade" | b"BlockTrade" | b"Delivery" | b"Settle" | b"MovePosition"
            | b"FutureSpread" => true,
            b"Funding" => return self.funding(&fields, &seen, out),
            _ if is_fast => true,
            _ => {
                out.counters.unknown_words += 1;
                client_id.0 != 0
            }
        };
        if !is_fill {
            out.counters.skipped_items += 1;
            return Ok(());
        }
        let Some((instrument, grids)) = self.find(symbol, out) else { return Ok(()) };
        for (bit, name) in FILL_FIELDS.iter().enumerate().take(5) {
            seen.need(bit as u32, name)?;
        }
        seen.need(31, "isMaker")?;
        let (px, qty) = (Ticks::new(count(px, &grids.px)?), Lots::new(count(qty, &grids.qty)?));
        let fee =
            if is_fast || fee.is_empty() { self.usual_fee(instrument, px, qty, is_maker) } else { parse_money(fee)? };
        out.push(Event::Fill(Fill {
            meta: Meta { instrument, venue_ts: millis(time, out.meta.venue_ts)?, seq, ..out.meta },
            client_id,
            exec_id: id_128(exec_id),
            side: side(side_word).ok_or(WireError::UnknownWord { field: "side" })?,
            is_maker,
            px,
            qty,
            fee,
            is_fee_final: !is_fast,
            is_query: false,
            venue_order_id: if order_id.is_empty() { 0 } else { id_128(order_id) },
        }))
    }

    /// A funding payment: an execution of the whole position at the mark price, whose fee is what was paid.
    fn funding(&self, fields: &FillFields<'_>, seen: &Seen, out: &mut Out<'_>) -> Result<(), WireError> {
        let [symbol, exec_id, .., fee, time, rate] = *fields;
        let Some((instrument, _)) = self.find(symbol, out) else { return Ok(()) };
        seen.need(1, "execId")?;
        seen.need(8, "execFee")?;
        out.push(Event::Funding(Funding {
            meta: Meta { instrument, venue_ts: millis(time, out.meta.venue_ts)?, ..out.meta },
            exec_id: id_128(exec_id),
            paid: parse_money(fee)?,
            // For people: a rate that cannot be read is no reason to lose the payment.
            rate: Rate::parse(rate).unwrap_or_default(),
            is_query: false,
        }))
    }

    /// The fee by the instrument's rates: fast executions come before the venue tells its own.
    fn usual_fee(&self, instrument: InstrumentId, px: Ticks, qty: Lots, is_maker: bool) -> Money {
        let Some(spec) = self.specs.get(instrument.idx()) else { return Money::ZERO };
        let rate = if is_maker { spec.maker_fee } else { spec.taker_fee };
        if spec.product == Product::Inverse { Money::ZERO } else { spec.notional(px, qty).share_rounded_up(rate) }
    }

    fn position<'a, S: Source<'a>>(&self, source: &mut S, out: &mut Out<'_>) -> Result<(), WireError> {
        let mut seen = Seen::default();
        let mut fields = [&b""[..]; POSITION_FIELDS.len()];
        let mut position_idx = 0;
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            // The stream says `entryPrice`, REST `avgPrice`.
            let key = if key == b"avgPrice" { b"entryPrice" } else { key };
            if key == b"positionIdx" {
                seen.once(31, "positionIdx")?;
                position_idx = source.uint()?;
                continue;
            }
            match POSITION_FIELDS.iter().position(|name| name.as_bytes() == key) {
                Some(idx) => {
                    seen.once(idx as u32, POSITION_FIELDS[idx])?;
                    fields[idx] = source.text()?;
                }
                None => source.skip()?,
            }
        }
        let [symbol, side_word, size, entry_px, realised, updated] = fields;
        if position_idx != 0 {
            // The engine trades one-way; a hedged side is someone else's.
            out.counters.skipped_items += 1;
            return Ok(());
        }
        let Some((instrument, grids)) = self.find(symbol, out) else { return Ok(()) };
        for (bit, name) in POSITION_FIELDS.iter().enumerate().take(4) {
            seen.need(bit as u32, name)?;
        }
        let size = count(size, &grids.qty)?;
        let sign = match side_word {
            b"" | b"None" if size == 0 => 1,
            word => side(word).map(Side::sign).ok_or(WireError::UnknownWord { field: "side" })?,
        };
        out.push(Event::Position(Position {
            meta: Meta { instrument, venue_ts: millis(updated, out.meta.venue_ts)?, ..out.meta },
            qty: Lots::new(size * sign),
            entry_px: money(entry_px)?,
            realised: money(realised)?,
            asked_at: Nanos::ZERO,
        }))
    }

    fn wallet<'a, S: Source<'a>>(&self, source: &mut S, out: &mut Out<'_>) -> Result<(), WireError> {
        let mut seen = Seen::default();
        let mut available: &[u8] = b"";
        let mut coins = None;
        let mut members = source.object()?;
        while let Some(key) = source.key(&mut members)? {
            match key {
                b"totalAvailableBalance" => {
                    seen.once(0, "totalAvailableBalance")?;
                    available = source.text()?;
                }
                b"coin" => {
                    seen.once(1, "coin")?;
                    coins = Some(*source);
                    source.skip()?;
                }
                _ => source.skip()?,
            }
        }
        let mut coins = coins.ok_or(WireError::Missing { field: "coin" })?;
        let mut rows = coins.array()?;
        while coins.item(&mut rows)? {
            let mut seen = Seen::default();
            let mut fields = [&b""[..]; COIN_FIELDS.len()];
            let mut members = coins.object()?;
            while let Some(key) = coins.key(&mut members)? {
                match COIN_FIELDS.iter().position(|name| name.as_bytes() == key) {
                    Some(idx) => {
                        seen.once(idx as u32, COIN_FIELDS[idx])?;
                        fields[idx] = coins.text()?;
                    }
                    None => coins.skip()?,
                }
            }
            let [coin, wallet, position_im, order_im, locked, bonus] = fields;
            if coin != &*self.settle_coin {
                continue;
            }
            seen.need(1, "walletBalance")?;
            let wallet = money(wallet)?;
            // Isolated margin has no account-wide figure: what is free is what nothing holds.
            let mut free = wallet;
            for held in [position_im, order_im, locked, bonus] {
                free = free.saturating_sub(money(held)?);
            }
            let available = if available.is_empty() { free } else { money(available)? };
            out.push(Event::Balance(Balance { meta: out.meta, wallet, available }))?;
        }
        Ok(())
    }
}

const ORDER_FIELDS: [&str; 12] = [
    "symbol",
    "orderId",
    "orderLinkId",
    "side",
    "orderStatus",
    "price",
    "qty",
    "cumExecQty",
    "rejectReason",
    "cancelType",
    "updatedTime",
    "triggerPrice",
];
const FILL_FIELDS: [&str; 11] = [
    "symbol",
    "execId",
    "side",
    "execPrice",
    "execQty",
    "orderLinkId",
    "execType",
    "orderId",
    "execFee",
    "execTime",
    "feeRate",
];
type FillFields<'a> = [&'a [u8]; FILL_FIELDS.len()];
const POSITION_FIELDS: [&str; 6] = ["symbol", "side", "size", "entryPrice", "curRealisedPnl", "updatedTime"];
const COIN_FIELDS: [&str; 6] = ["coin", "walletBalance", "totalPositionIM", "totalOrderIM", "locked", "bonus"];

/// A count of steps, zero if it was sent as empty.
fn count(text: &[u8], grid: &Grid) -> Result<i64, WireError> {
    if text.is_empty() { Ok(0) } else { grid.parse(text) }
}

fn money(text: &[u8]) -> Result<Money, WireError> {
    if text.is_empty() { Ok(Money::ZERO) } else { parse_money(text) }
}

/// A moment in milliseconds; `fallback` if it was sent as empty.
fn millis(text: &[u8], fallback: Nanos) -> Result<Nanos, WireError> {
    if text.is_empty() { Ok(fallback) } else { parse_uint(text).map(Nanos::from_millis) }
}

/// The 128 bits of a UUID, or the value of up to 19 digits (spot); other texts are hashed (FNV-1a).
pub fn id_128(text: &[u8]) -> u128 {
    let digits = (1..=19).contains(&text.len()).then(|| parse_uint(text).ok()).flatten();
    parse_uuid(text).or(digits.map(u128::from)).unwrap_or_else(|| {
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for &byte in text {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        hash
    })
}

fn parse_uuid(text: &[u8]) -> Option<u128> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let mut value: u128 = 0;
    for (idx, &byte) in text.iter().enumerate() {
        if matches!(idx, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        value = value << 4 | u128::from(char::from(byte).to_digit(16)?);
    }
    Some(value)
}

/// Runs the decoder over `data`, one message a line.
pub(crate) fn fuzz(table: &InstrumentTable, data: &[u8]) {
    let mut decoder = PrivateDecoder::new(table, 42, "USDT");
    for frame in data.split(|&byte| byte == b'\n') {
        let mut out = (Vec::with_capacity(ITEMS_MAX), PrivateCounters::default());
        let PrivateDecoder { context, general, .. } = &mut decoder;
        let meta = Meta::default();
        let a = context.message(Scanner::new(frame), &mut Out { events: &mut out.0, counters: &mut out.1, meta });
        let mut other = (Vec::with_capacity(ITEMS_MAX), PrivateCounters::default());
        let b = general.parse(frame, |walk| {
            context.message(walk, &mut Out { events: &mut other.0, counters: &mut other.1, meta })
        });
        if let (Ok(a), Ok(b)) = (a, b) {
            assert_eq!((a, out), (b, other), "the sources disagree");
        }
        let _ = decoder.on_frame(frame, Arrival::default(), || 0, &mut |_: &Event<'_>| {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RejectKind, Step, Symbol};

    fn decoder() -> PrivateDecoder {
        let spec = |symbol: &str, tick: &str, lot: &str| {
            let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
            let symbol = Symbol::new(symbol.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step(tick), step(lot)).unwrap()
        };
        let table = InstrumentTable::new(vec![
            spec("BTCUSDT", "0.10", "0.001"),
            spec("ETHUSDT", "0.01", "0.01"),
            spec("ICPUSDT", "0.001", "0.1"),
            spec("ETH-30DEC22-1400-C", "0.1", "0.1"),
        ]);
        PrivateDecoder::new(&table.unwrap(), 42, "USDT")
    }

    fn run(message: &str) -> (PrivateKind, Vec<Event<'static>>) {
        let mut events = Vec::new();
        let mut decoder = decoder();
        let arrival = Arrival { recv: Nanos::new(7), framed_ns: 1 };
        let mut sink = |event: &Event<'_>| {
            events.push(match event {
                Event::Ack(e) => Event::Ack(*e),
                Event::Reject(e) => Event::Reject(*e),
                Event::Order(e) => Event::Order(*e),
                Event::Fill(e) => Event::Fill(*e),
                Event::Funding(e) => Event::Funding(*e),
                Event::Position(e) => Event::Position(*e),
                Event::Balance(e) => Event::Balance(*e),
                other => panic!("{other:?}"),
            });
        };
        let kind = decoder.on_frame(message.as_bytes(), arrival, || 2, &mut sink).unwrap();
        assert!(events.iter().all(|event| {
            let meta = event.meta();
            (meta.recv.get(), meta.framed_ns, meta.decoded_ns) == (7, 1, 2)
        }));
        fuzz(&super::super::super::fuzz::table(VenueId::BYBIT), message.as_bytes());
        (kind, events)
    }

    fn corpus(line: usize) -> String {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/corpus/bybit-private/documented.jsonl"
        ));
        text.unwrap().lines().nth(line).unwrap().to_owned()
    }

    fn reply(req_id: &str, code: i32) -> String {
        format!(
            r#"{{"reqId":"{req_id}","retCode":{code},"retMsg":"said \"no\"","op":"order.create","data":{{"orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","orderLinkId":""}},"retExtInfo":{{}},"header":{{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9","Traceid":"38","Timenow":"1711001595209"}},"connId":"c"}}"#
        )
    }

    #[test]
    fn replies_become_acks_and_rejects() {
        let (kind, events) = run(&reply("c000000000000001f000100000000", 0));
        assert_eq!(kind, PrivateKind::Reply);
        let Event::Ack(ack) = events[0] else { panic!("{events:?}") };
        assert_eq!((ack.op, ack.client_id, ack.limit_left), (Op::Create, ClientOrderId(31), 9));
        assert_eq!(ack.meta.venue_ts, Nanos::from_millis(1_711_001_595_209));
        for (req_id, code, op, want) in [
            ("c000000000000001f000100000001", 110_007, Op::Create, RejectKind::Refused),
            ("c000000000000001f000100000001", 10_006, Op::Create, RejectKind::Busy),
            ("c000000000000001f000100000001", 10_429, Op::Create, RejectKind::Busy),
            ("c000000000000001f000100000001", 110_072, Op::Create, RejectKind::Unknown),
            ("a000000000000001f000100000001", 110_001, Op::Amend, RejectKind::Gone),
            ("x000000000000001f000100000001", 170_213, Op::Cancel, RejectKind::Gone),
            ("x000000000000001f000100000001", 110_008, Op::Cancel, RejectKind::Gone),
            ("x000000000000001f000100000001", 170_222, Op::Cancel, RejectKind::RateLimited),
            ("x000000000000001f000100000001", -2015, Op::Cancel, RejectKind::Refused),
        ] {
            let (kind, events) = run(&reply(req_id, code));
            assert_eq!(kind, PrivateKind::Reply);
            let Event::Reject(reject) = events[0] else { panic!("{events:?}") };
            assert_eq!((reject.op, reject.kind, reject.code), (op, want, code));
            assert_eq!(reject.client_id, ClientOrderId(31));
        }
    }

    #[test]
    fn a_reply_without_our_request_id_is_matched_by_order_id_or_not_at_all() {
        let (kind, events) = run(&corpus(0));
        assert_eq!((kind, events.len()), (PrivateKind::UnmatchedReply { code: 0 }, 0));
        let known = corpus(0).replace(r#""orderLinkId":"""#, r#""orderLinkId":"t0000002a-0000000000000005""#);
        let (kind, events) = run(&known);
        assert_eq!(kind, PrivateKind::Reply);
        assert!(matches!(events[0], Event::Ack(Ack { op: Op::Create, client_id: ClientOrderId(5), .. })));
        assert_eq!(run(r#"{"retCode":10404,"retMsg":"unknown op"}"#).0, PrivateKind::UnmatchedReply { code: 10_404 });
    }

    #[test]
    fn control_messages_are_told_apart() {
        for (message, want) in [
            (
                r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}"#,
                PrivateKind::Login { is_accepted: true, code: 0 },
            ),
            (
                r#"{"success":false,"ret_msg":"bad \"key\"","op":"auth","conn_id":"c"}"#,
                PrivateKind::Login { is_accepted: false, code: 0 },
            ),
            (
                r#"{"retCode":0,"retMsg":"OK","op":"auth","connId":"c"}"#,
                PrivateKind::Login { is_accepted: true, code: 0 },
            ),
            (
                r#"{"retCode":10004,"retMsg":"x","op":"auth","connId":"c"}"#,
                PrivateKind::Login { is_accepted: false, code: 10_004 },
            ),
            (
                r#"{"success":true,"ret_msg":"","op":"subscribe","conn_id":"c"}"#,
                PrivateKind::Subscription { is_accepted: true },
            ),
            (r#"{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"c"}"#, PrivateKind::Pong),
            (r#"{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"c"}"#, PrivateKind::Pong),
            (r#"{"id":"1","topic":"greeks","creationTime":1,"data":[]}"#, PrivateKind::Ignored),
            (r#"{"id":"1","topic":"tea","creationTime":1,"data":[]}"#, PrivateKind::Unknown),
        ] {
            assert_eq!(run(message), (want, vec![]), "{message}");
        }
    }

    #[test]
    fn an_order_is_read() {
        let (kind, events) = run(&corpus(1));
        assert_eq!(kind, PrivateKind::Orders);
        let Event::Order(order) = events[0] else { panic!("{events:?}") };
        assert_eq!((order.client_id, order.side, order.status), (ClientOrderId(0), Side::Ask, OrderStatus::Filled));
        assert_eq!((order.px, order.qty, order.filled), (Ticks::new(725), Lots::new(10), Lots::new(10)));
        assert_eq!(order.venue_order_id, 0x5cf9_8598_39a7_459e_97bf_76ca_765e_e020);
        assert_eq!((order.reason, order.meta.instrument), (0, InstrumentId(3)));
        assert_eq!(order.meta.venue_ts, Nanos::from_millis(1_672_364_262_457));
        for (from, to, status, reason) in [
            (r#""Filled""#, r#""PartiallyFilledCanceled""#, OrderStatus::Cancelled, "none"),
            (r#""Filled""#, r#""SomethingNew""#, OrderStatus::PartiallyFilled, "none"),
            ("UNKNOWN", "CancelByUser", OrderStatus::Filled, "CancelByUser"),
            ("EC_NoError", "EC_PostOnlyWillTakeLiquidity", OrderStatus::Filled, "EC_PostOnlyWillTakeLiquidity"),
            ("EC_NoError", "EC_Brandnew", OrderStatus::Filled, "other"),
        ] {
            let (_, events) = run(&corpus(1).replace(from, to));
            let Event::Order(order) = events[0] else { panic!("{events:?}") };
            assert_eq!((order.status, codes::reason_text(order.reason)), (status, reason));
        }
    }

    #[test]
    fn the_price_of_an_order_that_waits_is_its_trigger() {
        let of = |status: &str, trigger: &str| {
            let waits = corpus(1).replace(r#""Filled""#, &format!(r#""{status}""#));
            let waits = waits.replace(r#""triggerPrice":"""#, &format!(r#""triggerPrice":"{trigger}""#));
            let (_, events) = run(&waits);
            let Event::Order(order) = events[0] else { panic!("{events:?}") };
            (order.status, order.px.get())
        };
        assert_eq!(of("Untriggered", "71.3"), (OrderStatus::Untriggered, 713));
        assert_eq!(of("Triggered", "71.3"), (OrderStatus::Untriggered, 713));
        assert_eq!(of("Untriggered", ""), (OrderStatus::Untriggered, 725));
        assert_eq!(of("Untriggered", "71.37"), (OrderStatus::Untriggered, 725), "on no step");
        assert_eq!(of("New", "71.3"), (OrderStatus::New, 725), "at the market its own price counts");
        assert_eq!(of("Deactivated", "71.3").0, OrderStatus::Cancelled);
    }

    #[test]
    fn executions_are_read() {
        let (kind, events) = run(&corpus(2));
        assert_eq!(kind, PrivateKind::Fills);
        let Event::Fill(fill) = events[0] else { panic!("{events:?}") };
        assert_eq!((fill.px, fill.qty, fill.is_fee_final), (Ticks::new(959_001), Lots::new(500), true));
        assert_eq!(fill.venue_order_id, 0x9aac_161b_8ed6_450d_9cab_c5cc_67c2_1784);
        assert_eq!(fill.meta.seq, 140_612_148_849_382);
        assert_eq!((fill.side, fill.is_maker, fill.fee.to_string()), (Side::Ask, false, "26.3725275".into()));
        assert_eq!(fill.exec_id, 0x0ab1_bdf7_4219_438b_b30a_32ec_8630_18f7);
        let ours = corpus(2).replace(r#""orderLinkId":"""#, r#""orderLinkId":"t0000002a-0000000000000005""#);
        assert!(matches!(run(&ours).1[0], Event::Fill(Fill { client_id: ClientOrderId(5), .. })));
        let another_run = ours.replace("t0000002a", "t0000002b");
        assert!(matches!(run(&another_run).1[0], Event::Fill(Fill { client_id: ClientOrderId(0), .. })));
        let funding = corpus(2).replace(r#""execType":"Trade""#, r#""execType":"Funding""#);
        let (kind, events) = run(&funding);
        let Event::Funding(found) = events[0] else { panic!("{events:?}") };
        assert_eq!((kind, found.paid.to_string(), found.is_query), (PrivateKind::Fills, "26.3725275".into(), false));
        assert_eq!((found.exec_id, found.rate.to_string()), (fill.exec_id, "0.00055".into()));
        let rebate = corpus(2).replace("26.3725275", "-0.5");
        assert!(matches!(run(&rebate).1[0], Event::Fill(Fill { fee, .. }) if fee.to_string() == "-0.5"));

        let (kind, events) = run(&corpus(3));
        assert_eq!(kind, PrivateKind::Fills);
        let Event::Fill(fill) = events[0] else { panic!("{events:?}") };
        assert_eq!((fill.px, fill.qty), (Ticks::new(12_015), Lots::new(30_000)));
        // 12.015 · 3000 · 0.055 %, by the instrument's rate.
        assert_eq!(fill.fee.to_string(), "19.82475");
    }

    #[test]
    fn positions_and_wallets_are_read() {
        assert_eq!(run(&corpus(4)), (PrivateKind::Positions, vec![]), "a side of a hedged position is not ours");
        let one_way = corpus(4).replace(r#""positionIdx":2"#, r#""positionIdx":0"#);
        let (_, events) = run(&one_way);
        let Event::Position(position) = events[0] else { panic!("{events:?}") };
        assert_eq!((position.qty, position.realised.to_string()), (Lots::ZERO, "1.26".into()));
        let short = one_way.replace(r#""side":"","size":"0""#, r#""side":"Sell","size":"0.25""#);
        assert!(matches!(run(&short).1[0], Event::Position(Position { qty, .. }) if qty == Lots::new(-250)));

        assert_eq!(run(&corpus(5)), (PrivateKind::Wallet, vec![]), "it holds no USDT");
        let usdt = corpus(5).replace(r#""coin":"BTC""#, r#""coin":"USDT""#);
        let Event::Balance(balance) = run(&usdt).1[0] else { panic!() };
        assert_eq!(
            (balance.wallet.to_string(), balance.available.to_string()),
            ("0.00102964".into(), "9556.6056555".into())
        );
        let isolated = usdt.replace("9556.6056555", "").replace(r#""totalOrderIM":"""#, r#""totalOrderIM":"0.001""#);
        let Event::Balance(balance) = run(&isolated).1[0] else { panic!() };
        assert_eq!(balance.available.to_string(), "0.00002964");
    }

    #[test]
    fn a_bad_item_refuses_the_whole_message() {
        let mut decoder = decoder();
        for (line, from, to) in [
            (1, r#""qty":"1""#, r#""qty":"1.05""#),
            (1, r#""side":"Sell""#, r#""side":"Short""#),
            (2, r#""execQty":"0.5""#, r#""execQty":5"#),
            (2, r#""execId":"#, r#""execQty":"1","execId":"#),
            (4, r#""positionIdx":2"#, r#""positionIdx":-2"#),
            (5, r#""walletBalance":"0.00102964""#, r#""walletBalance":"1e-3""#),
        ] {
            let message = corpus(line).replace(from, to).replace(r#""coin":"BTC""#, r#""coin":"USDT""#);
            assert_ne!(message, corpus(line));
            let mut told = 0;
            let result = decoder.on_frame(message.as_bytes(), Arrival::default(), || 0, &mut |_: &Event<'_>| told += 1);
            assert!(result.is_err() && told == 0, "{message}");
        }
        assert_eq!(decoder.counters().decode_errors, 6);
    }

    #[test]
    fn ids_are_uuids_or_hashes() {
        assert_eq!(id_128(b"00000000-0000-0000-0000-0000000000ff"), 255);
        assert_ne!(id_128(b"1616024329462743808"), id_128(b"1616024329462743809"));
        assert_eq!(id_128(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    }
}
