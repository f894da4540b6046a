//! What a ring slot holds: 56 bytes of plain words, and how events that need more spread over several.
//!
//! ```text
//! slot 0   header   kind flags instrument bids asks | recv | venue_ts | seq | a | b | framed decoded
//! slot 1…  tail     book: three levels of (px, qty) each; others: words as the kind says
//! ```

use super::event::{
    Absent, Ack, Balance, Book, BookKind, BookState, BookStatus, Carried, CarriedKey, Control, Event, Fill, Funding,
    Level, Link, LinkKind, Meta, Op, OrderStatus, OrderUpdate, Pass, PassEnd, Position, Reject, RejectKind, Sent,
    Signal, Ticker, Top, TopCheck, Trade,
};
use super::{ClientOrderId, InstrumentId, Lots, Money, Nanos, Rate, Side, Ticks};

/// Seven words: what one ring slot carries beside its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Record {
    /// The words; their meaning depends on the kind in the first record of an event.
    pub words: [u64; 7],
}

const _: () = assert!(size_of::<Record>() == 56, "a record and its sequence fill one cache line");

/// Price levels in one tail record.
pub const LEVELS_PER_RECORD: usize = 3;

/// Most records that one event may take: [`Event::LEVELS_MAX`] levels and a header.
pub const EVENT_RECORDS_MAX: usize = 1 + Event::LEVELS_MAX.div_ceil(LEVELS_PER_RECORD);

/// Takes the records of one event, all or none.
pub trait RecordSink {
    /// Asks `record_at` for the records 0 to `count - 1`, once each and in any order, and publishes them together.
    /// Returns whether there was room; if not, nothing was published.
    fn publish(&mut self, count: usize, record_at: impl FnMut(usize) -> Record) -> bool;
}

/// A record that is no event of ours: only a damaged journal or a bug makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventDecodeError {
    /// The first byte names no kind.
    #[error("event kind {found} is unknown")]
    UnknownKind {
        /// The byte found.
        found: u8,
    },
    /// A field holds a value that its type does not allow.
    #[error("event kind {kind} holds an impossible field")]
    BadField {
        /// The kind byte.
        kind: u8,
    },
    /// The levels do not fit the caller's buffer.
    #[error("event holds {found} levels, {allowed} allowed")]
    TooManyLevels {
        /// Levels in the header.
        found: usize,
        /// Room there was.
        allowed: usize,
    },
}

const KIND_SNAPSHOT: u8 = 1;
const KIND_DELTA: u8 = 2;
const KIND_TOP: u8 = 3;
const KIND_TRADE: u8 = 4;
const KIND_TICKER: u8 = 5;
const KIND_BOOK_STATUS: u8 = 6;
const KIND_ACK: u8 = 7;
const KIND_REJECT: u8 = 8;
const KIND_ORDER: u8 = 9;
const KIND_FILL: u8 = 10;
const KIND_POSITION: u8 = 11;
const KIND_BALANCE: u8 = 12;
const KIND_LINK: u8 = 13;
const KIND_TIMER: u8 = 14;
const KIND_CONTROL: u8 = 15;
const KIND_SIGNAL: u8 = 16;
const KIND_ABSENT: u8 = 17;
const KIND_PASS: u8 = 18;
const KIND_SENT: u8 = 19;
const KIND_FUNDING: u8 = 20;
const KIND_CARRIED: u8 = 21;

/// The first record's fixed fields; `a` and `b` are the kind's own.
struct Header {
    kind: u8,
    flags: u8,
    bids: u16,
    asks: u16,
    meta: Meta,
    a: u64,
    b: u64,
}

impl Header {
    fn new(kind: u8, meta: Meta) -> Self {
        Self { kind, flags: 0, bids: 0, asks: 0, meta, a: 0, b: 0 }
    }

    #[inline]
    fn pack(&self) -> Record {
        let m = &self.meta;
        let first = u64::from(self.kind)
            | u64::from(self.flags) << 8
            | u64::from(m.instrument.0) << 16
            | u64::from(self.bids) << 32
            | u64::from(self.asks) << 48;
        let stamps = u64::from(m.framed_ns) | u64::from(m.decoded_ns) << 32;
        Record { words: [first, m.recv.get(), m.venue_ts.get(), m.seq, self.a, self.b, stamps] }
    }

    #[inline]
    fn unpack(record: &Record) -> Self {
        let [first, recv, venue_ts, seq, a, b, stamps] = record.words;
        let meta = Meta {
            instrument: InstrumentId((first >> 16) as u16),
            recv: Nanos::new(recv),
            venue_ts: Nanos::new(venue_ts),
            seq,
            framed_ns: stamps as u32,
            decoded_ns: (stamps >> 32) as u32,
        };
        Self {
            kind: first as u8,
            flags: (first >> 8) as u8,
            bids: (first >> 32) as u16,
            asks: (first >> 48) as u16,
            meta,
            a,
            b,
        }
    }
}

impl Record {
    /// How many records the event that starts with this one takes in all, at least 1. Bounded by
    /// [`EVENT_RECORDS_MAX`] for records that [`Event::record`] made.
    #[inline]
    pub fn event_records(&self) -> usize {
        let header = Header::unpack(self);
        match header.kind {
            KIND_SNAPSHOT | KIND_DELTA => {
                1 + (usize::from(header.bids) + usize::from(header.asks)).div_ceil(LEVELS_PER_RECORD)
            }
            KIND_TOP | KIND_TICKER | KIND_ORDER | KIND_FILL | KIND_FUNDING | KIND_POSITION | KIND_BALANCE => 2,
            _ => 1,
        }
    }
}

/// The two words of a whole number, the lower first.
#[inline]
pub(crate) fn split(value: i128) -> (u64, u64) {
    (value as u64, (value >> 64) as u64)
}

/// The number of two words; see [`split`].
#[inline]
pub(crate) fn join(low: u64, high: u64) -> i128 {
    i128::from(high as i64) << 64 | i128::from(low)
}

#[inline]
fn levels_record(levels: impl Fn(usize) -> Option<Level>, first: usize) -> Record {
    let mut words = [0; 7];
    for idx in 0..LEVELS_PER_RECORD {
        let Some(level) = levels(first + idx) else { break };
        words[idx * 2] = level.px.get() as u64;
        words[idx * 2 + 1] = level.qty.get() as u64;
    }
    Record { words }
}

#[inline]
fn level_at(words: &[u64; 7], idx: usize) -> Level {
    Level { px: Ticks::new(words[idx * 2] as i64), qty: Lots::new(words[idx * 2 + 1] as i64) }
}

impl Event<'_> {
    /// How many records the event takes.
    #[inline]
    pub fn record_count(&self) -> usize {
        match self {
            Event::Book(book) => 1 + (book.bids.len() + book.asks.len()).div_ceil(LEVELS_PER_RECORD),
            Event::Top(_)
            | Event::Ticker(_)
            | Event::Order(_)
            | Event::Fill(_)
            | Event::Funding(_)
            | Event::Position(_)
            | Event::Balance(_) => 2,
            _ => 1,
        }
    }

    /// Publishes the event, all or none; returns whether there was room.
    #[inline]
    pub fn publish(&self, sink: &mut impl RecordSink) -> bool {
        sink.publish(self.record_count(), |idx| self.record(idx))
    }

    /// Returns the event's record `idx`, which is below [`Self::record_count`].
    #[inline]
    pub fn record(&self, idx: usize) -> Record {
        if idx == 0 { self.header().pack() } else { self.tail(idx) }
    }

    #[inline]
    fn header(&self) -> Header {
        match self {
            Event::Book(book) => {
                let kind = if book.kind == BookKind::Snapshot { KIND_SNAPSHOT } else { KIND_DELTA };
                let mut header = Header::new(kind, book.meta);
                header.bids = book.bids.len() as u16;
                header.asks = book.asks.len() as u16;
                header.a = book.cross_seq;
                header
            }
            Event::Top(top) => {
                let mut header = Header::new(KIND_TOP, top.meta);
                header.flags = top.check as u8;
                header.bids = u16::from(top.bid.is_some());
                header.asks = u16::from(top.ask.is_some());
                header
            }
            Event::Trade(trade) => {
                let mut header = Header::new(KIND_TRADE, trade.meta);
                header.flags = trade.taker as u8;
                header.a = trade.px.get() as u64;
                header.b = trade.qty.get() as u64;
                header
            }
            Event::Ticker(ticker) => {
                let mut header = Header::new(KIND_TICKER, ticker.meta);
                header.a = ticker.funding_rate.get() as u64;
                header.b = ticker.next_funding.get();
                header
            }
            Event::BookStatus(status) => {
                let mut header = Header::new(KIND_BOOK_STATUS, status.meta);
                header.flags = status.state as u8;
                header
            }
            Event::Ack(ack) => {
                let mut header = Header::new(KIND_ACK, ack.meta);
                header.flags = ack.op as u8;
                header.a = ack.client_id.0;
                header.b = u64::from(ack.limit_left);
                header.bids = ack.request;
                header
            }
            Event::Reject(reject) => {
                let mut header = Header::new(KIND_REJECT, reject.meta);
                header.flags = reject.op as u8 | (reject.kind as u8) << 4;
                header.a = reject.client_id.0;
                header.b = u64::from(reject.code as u32);
                header.bids = reject.request;
                header
            }
            Event::Order(order) => {
                let mut header = Header::new(KIND_ORDER, order.meta);
                header.flags = order.status as u8 | (order.side as u8) << 4;
                header.a = order.client_id.0;
                header.b = order.px.get() as u64;
                header
            }
            Event::Fill(fill) => {
                let mut header = Header::new(KIND_FILL, fill.meta);
                header.flags = fill.side as u8
                    | u8::from(fill.is_maker) << 1
                    | u8::from(fill.is_fee_final) << 2
                    | u8::from(fill.is_query) << 3;
                header.a = fill.client_id.0;
                header.b = fill.px.get() as u64;
                header
            }
            Event::Funding(funding) => {
                let mut header = Header::new(KIND_FUNDING, funding.meta);
                header.flags = u8::from(funding.is_query);
                header.a = funding.rate.get() as u64;
                header
            }
            Event::Position(position) => {
                let mut header = Header::new(KIND_POSITION, position.meta);
                header.a = position.qty.get() as u64;
                header
            }
            Event::Balance(balance) => Header::new(KIND_BALANCE, balance.meta),
            Event::Absent(absent) => {
                let mut header = Header::new(KIND_ABSENT, absent.meta);
                header.a = absent.client_id.0;
                header.b = absent.asked_at.get();
                header
            }
            Event::Pass(pass) => {
                let mut header = Header::new(KIND_PASS, pass.meta);
                header.flags = pass.end as u8;
                header.b = pass.asked_at.get();
                header
            }
            Event::Carried(carried) => {
                let mut header = Header::new(KIND_CARRIED, carried.meta);
                header.flags = carried.key as u8;
                (header.a, header.b) = split(carried.value.get());
                header
            }
            Event::Link(link) => {
                let mut header = Header::new(KIND_LINK, link.meta);
                header.flags = link.kind as u8 | u8::from(link.is_up) << 4;
                header
            }
            Event::Timer(meta) => Header::new(KIND_TIMER, *meta),
            Event::Control(meta, control) => {
                let mut header = Header::new(KIND_CONTROL, *meta);
                header.flags = *control as u8;
                header
            }
            Event::Signal(signal) => {
                let mut header = Header::new(KIND_SIGNAL, signal.meta);
                header.a = u64::from(signal.slot);
                header.b = signal.value.to_bits();
                header
            }
            Event::Sent(sent) => {
                let mut header = Header::new(KIND_SENT, sent.meta);
                header.a = sent.client_id.0;
                header.b = u64::from(sent.taken_ago_ns) | u64::from(sent.encoded_ago_ns) << 32;
                header.bids = sent.request;
                header
            }
        }
    }

    #[inline]
    fn tail(&self, idx: usize) -> Record {
        match self {
            Event::Book(book) => {
                let at = |i: usize| match book.bids.get(i) {
                    Some(level) => Some(*level),
                    None => book.asks.get(i - book.bids.len()).copied(),
                };
                levels_record(at, (idx - 1) * LEVELS_PER_RECORD)
            }
            Event::Top(top) => {
                let none = Level { px: Ticks::ZERO, qty: Lots::ZERO };
                let both = [top.bid.unwrap_or(none), top.ask.unwrap_or(none)];
                levels_record(|i| both.get(i).copied(), 0)
            }
            Event::Ticker(ticker) => {
                let (m0, m1) = split(ticker.mark_px.get());
                let (i0, i1) = split(ticker.index_px.get());
                Record { words: [m0, m1, i0, i1, ticker.last_px.get() as u64, 0, 0] }
            }
            Event::Order(order) => {
                let (id0, id1) = split(order.venue_order_id as i128);
                let (qty, filled) = (order.qty.get() as u64, order.filled.get() as u64);
                Record { words: [qty, filled, id0, id1, u64::from(order.reason), order.asked_at.get(), 0] }
            }
            Event::Fill(fill) => {
                let (e0, e1) = split(fill.exec_id as i128);
                let (f0, f1) = split(fill.fee.get());
                let (o0, o1) = split(fill.venue_order_id as i128);
                Record { words: [fill.qty.get() as u64, o0, e0, e1, f0, f1, o1] }
            }
            Event::Funding(funding) => {
                let (e0, e1) = split(funding.exec_id as i128);
                let (p0, p1) = split(funding.paid.get());
                Record { words: [e0, e1, p0, p1, 0, 0, 0] }
            }
            Event::Position(position) => {
                let (e0, e1) = split(position.entry_px.get());
                let (r0, r1) = split(position.realised.get());
                Record { words: [e0, e1, r0, r1, position.asked_at.get(), 0, 0] }
            }
            Event::Balance(balance) => {
                let (w0, w1) = split(balance.wallet.get());
                let (a0, a1) = split(balance.available.get());
                Record { words: [w0, w1, a0, a1, 0, 0, 0] }
            }
            _ => Record::default(),
        }
    }
}

impl<'a> Event<'a> {
    /// Reads an event back: `first` is its first record, `record_at(1…)` returns the others, `levels` takes the levels
    /// of a book event (room for [`Event::LEVELS_MAX`] always suffices).
    ///
    /// # Errors
    /// [`EventDecodeError`] for records that [`Event::record`] did not make.
    ///
    /// # Cost
    /// One pass over the records.
    #[inline]
    pub fn decode(
        first: &Record,
        mut record_at: impl FnMut(usize) -> Record,
        levels: &'a mut [Level],
    ) -> Result<Event<'a>, EventDecodeError> {
        let header = Header::unpack(first);
        let Header { kind, flags, bids, asks, meta, a, b } = header;
        let bad = EventDecodeError::BadField { kind };
        Ok(match kind {
            KIND_SNAPSHOT | KIND_DELTA => {
                let (bids, asks) = (usize::from(bids), usize::from(asks));
                let count = bids + asks;
                let allowed = levels.len();
                let levels =
                    levels.get_mut(..count).ok_or(EventDecodeError::TooManyLevels { found: count, allowed })?;
                for (idx, three) in levels.chunks_mut(LEVELS_PER_RECORD).enumerate() {
                    let record = record_at(idx + 1);
                    for (i, level) in three.iter_mut().enumerate() {
                        *level = level_at(&record.words, i);
                    }
                }
                let (bids, asks) = levels.split_at(bids);
                let kind = if kind == KIND_SNAPSHOT { BookKind::Snapshot } else { BookKind::Delta };
                Event::Book(Book { meta, kind, cross_seq: a, bids, asks })
            }
            KIND_TOP => {
                let words = record_at(1).words;
                let bid = (bids > 0).then(|| level_at(&words, 0));
                let ask = (asks > 0).then(|| level_at(&words, 1));
                Event::Top(Top { meta, check: TopCheck::from_u8(flags).ok_or(bad)?, bid, ask })
            }
            KIND_TRADE => Event::Trade(Trade {
                meta,
                taker: Side::from_bit(flags),
                px: Ticks::new(a as i64),
                qty: Lots::new(b as i64),
            }),
            KIND_TICKER => {
                let [m0, m1, i0, i1, last, ..] = record_at(1).words;
                Event::Ticker(Ticker {
                    meta,
                    mark_px: Money::new(join(m0, m1)),
                    index_px: Money::new(join(i0, i1)),
                    last_px: Ticks::new(last as i64),
                    funding_rate: Rate::new(a as i64),
                    next_funding: Nanos::new(b),
                })
            }
            KIND_BOOK_STATUS => Event::BookStatus(BookStatus { meta, state: BookState::from_u8(flags).ok_or(bad)? }),
            KIND_ACK => Event::Ack(Ack {
                meta,
                op: Op::from_u8(flags).ok_or(bad)?,
                client_id: ClientOrderId(a),
                request: bids,
                limit_left: b as u32,
            }),
            KIND_REJECT => Event::Reject(Reject {
                meta,
                op: Op::from_u8(flags & 15).ok_or(bad)?,
                kind: RejectKind::from_u8(flags >> 4).ok_or(bad)?,
                client_id: ClientOrderId(a),
                request: bids,
                code: b as u32 as i32,
            }),
            KIND_ORDER => {
                let [qty, filled, id0, id1, reason, asked_at, _] = record_at(1).words;
                Event::Order(OrderUpdate {
                    meta,
                    client_id: ClientOrderId(a),
                    venue_order_id: join(id0, id1) as u128,
                    side: Side::from_bit(flags >> 4),
                    status: OrderStatus::from_u8(flags & 15).ok_or(bad)?,
                    px: Ticks::new(b as i64),
                    qty: Lots::new(qty as i64),
                    filled: Lots::new(filled as i64),
                    reason: reason as u16,
                    asked_at: Nanos::new(asked_at),
                })
            }
            KIND_FILL => {
                let [qty, o0, e0, e1, f0, f1, o1] = record_at(1).words;
                Event::Fill(Fill {
                    meta,
                    client_id: ClientOrderId(a),
                    exec_id: join(e0, e1) as u128,
                    side: Side::from_bit(flags),
                    is_maker: flags & 2 != 0,
                    px: Ticks::new(b as i64),
                    qty: Lots::new(qty as i64),
                    fee: Money::new(join(f0, f1)),
                    is_fee_final: flags & 4 != 0,
                    is_query: flags & 8 != 0,
                    venue_order_id: join(o0, o1) as u128,
                })
            }
            KIND_FUNDING => {
                let [e0, e1, p0, p1, ..] = record_at(1).words;
                Event::Funding(Funding {
                    meta,
                    exec_id: join(e0, e1) as u128,
                    paid: Money::new(join(p0, p1)),
                    rate: Rate::new(a as i64),
                    is_query: flags & 1 != 0,
                })
            }
            KIND_POSITION => {
                let [e0, e1, r0, r1, asked_at, ..] = record_at(1).words;
                Event::Position(Position {
                    meta,
                    qty: Lots::new(a as i64),
                    entry_px: Money::new(join(e0, e1)),
                    realised: Money::new(join(r0, r1)),
                    asked_at: Nanos::new(asked_at),
                })
            }
            KIND_BALANCE => {
                let [w0, w1, a0, a1, ..] = record_at(1).words;
                Event::Balance(Balance { meta, wallet: Money::new(join(w0, w1)), available: Money::new(join(a0, a1)) })
            }
            KIND_LINK => {
                Event::Link(Link { meta, kind: LinkKind::from_u8(flags & 15).ok_or(bad)?, is_up: flags & 16 != 0 })
            }
            KIND_ABSENT => Event::Absent(Absent { meta, client_id: ClientOrderId(a), asked_at: Nanos::new(b) }),
            KIND_PASS => Event::Pass(Pass { meta, end: PassEnd::from_u8(flags).ok_or(bad)?, asked_at: Nanos::new(b) }),
            KIND_TIMER => Event::Timer(meta),
            KIND_CONTROL => Event::Control(meta, Control::from_u8(flags).ok_or(bad)?),
            KIND_SIGNAL => Event::Signal(Signal { meta, slot: a as u16, value: f64::from_bits(b) }),
            KIND_CARRIED => Event::Carried(Carried {
                meta,
                key: CarriedKey::from_u8(flags).ok_or(bad)?,
                value: Money::new(join(a, b)),
            }),
            KIND_SENT => Event::Sent(Sent {
                meta,
                client_id: ClientOrderId(a),
                request: bids,
                taken_ago_ns: b as u32,
                encoded_ago_ns: (b >> 32) as u32,
            }),
            found => return Err(EventDecodeError::UnknownKind { found }),
        })
    }
}

/// Collects records in memory; for tests and tools.
impl RecordSink for Vec<Record> {
    fn publish(&mut self, count: usize, record_at: impl FnMut(usize) -> Record) -> bool {
        self.extend((0..count).map(record_at));
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(event: &Event<'_>) {
        let mut records: Vec<Record> = Vec::new();
        assert!(event.publish(&mut records));
        assert_eq!(records[0].event_records(), records.len());
        let mut levels = vec![Level { px: Ticks::ZERO, qty: Lots::ZERO }; Event::LEVELS_MAX];
        let back = Event::decode(&records[0], |idx| records[idx], &mut levels).unwrap();
        assert_eq!(&back, event);
    }

    fn meta() -> Meta {
        Meta {
            instrument: InstrumentId(7),
            recv: Nanos::new(1),
            venue_ts: Nanos::new(2),
            seq: 3,
            framed_ns: 4,
            decoded_ns: 5,
        }
    }

    #[test]
    fn every_kind_survives_the_ring() {
        let meta = meta();
        let client_id = ClientOrderId(99);
        let level = Level { px: Ticks::new(-5), qty: Lots::new(6) };
        let side = Side::Ask;
        let money = Money::new(-1_234_567_890_123_456_789_012);
        let px = Ticks::new(10);
        let qty = Lots::new(11);
        let exec_id = u128::MAX - 1;
        for event in [
            Event::Top(Top { meta, check: TopCheck::SameSeq, bid: Some(level), ask: None }),
            Event::Trade(Trade { meta, taker: side, px, qty }),
            Event::Ticker(Ticker {
                meta,
                mark_px: money,
                index_px: Money::new(8),
                last_px: px,
                funding_rate: Rate::new(-9),
                next_funding: Nanos::new(10),
            }),
            Event::BookStatus(BookStatus { meta, state: BookState::Stale }),
            Event::Ack(Ack { meta, op: Op::Cancel, client_id, request: 65_535, limit_left: 9 }),
            Event::Reject(Reject {
                meta,
                op: Op::Amend,
                kind: RejectKind::Unknown,
                client_id,
                request: 7,
                code: -2015,
            }),
            Event::Order(OrderUpdate {
                meta,
                client_id,
                venue_order_id: exec_id,
                side,
                status: OrderStatus::Cancelled,
                px,
                qty,
                filled: Lots::new(3),
                reason: 4,
                asked_at: Nanos::new(12),
            }),
            Event::Funding(Funding {
                meta,
                exec_id: u128::MAX - 5,
                paid: Money::new(-7),
                rate: Rate::new(-10_000),
                is_query: true,
            }),
            Event::Fill(Fill {
                meta,
                client_id,
                exec_id,
                side,
                is_maker: true,
                px,
                qty,
                fee: money,
                is_fee_final: false,
                is_query: true,
                venue_order_id: u128::MAX / 3,
            }),
            Event::Position(Position {
                meta,
                qty: Lots::new(-3),
                entry_px: money,
                realised: money,
                asked_at: Nanos::new(13),
            }),
            Event::Absent(Absent { meta, client_id, asked_at: Nanos::new(14) }),
            Event::Pass(Pass { meta, end: PassEnd::Broken, asked_at: Nanos::new(15) }),
            Event::Balance(Balance { meta, wallet: money, available: Money::new(1) }),
            Event::Link(Link { meta, kind: LinkKind::Private, is_up: true }),
            Event::Timer(meta),
            Event::Control(meta, Control::Kill),
            Event::Carried(Carried { meta, key: CarriedKey::Net, value: Money::new(i128::MIN + 5) }),
            Event::Signal(Signal { meta, slot: 3, value: -0.5 }),
            Event::Sent(Sent { meta, client_id, request: 9, taken_ago_ns: 10, encoded_ago_ns: u32::MAX }),
        ] {
            round_trip(&event);
        }
    }

    proptest! {
        #[test]
        fn books_survive_the_ring(bids in 0usize..20, asks in 0usize..20, snapshot: bool) {
            let level = |i: usize| Level { px: Ticks::new(i as i64 - 7), qty: Lots::new(i as i64 * 3) };
            let bids: Vec<Level> = (0..bids).map(level).collect();
            let asks: Vec<Level> = (0..asks).map(level).collect();
            let kind = if snapshot { BookKind::Snapshot } else { BookKind::Delta };
            round_trip(&Event::Book(Book { meta: meta(), kind, cross_seq: 12, bids: &bids, asks: &asks }));
        }

        #[test]
        fn any_record_decodes_or_is_refused(words: [u64; 7]) {
            let mut levels = vec![Level { px: Ticks::ZERO, qty: Lots::ZERO }; 16];
            let record = Record { words };
            let _ = Event::decode(&record, |_| record, &mut levels);
        }
    }
}
