//! Commands → bytes for order entry over WebSocket, and bodies of the same orders over REST.
//!
//! Everything that does not change from order to order is rendered once, when the encoder is made; an order is then a
//! dozen short copies and six numbers. No allocation, no formatting machinery.
//!
//! ```text
//! {"reqId":"c 000000000000001f 0001 00000007","header":{"X-BAPI-TIMESTAMP":"…","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create",
//!            │  client order id   │    request of this run
//!            │                    request for this order
//!            c create, a amend, x cancel
//! ```

use crate::types::{
    ClientOrderId, Command, CommandKind, InstrumentTable, Op, Product, Side, Step, TimeInForce, VenueId,
};

/// Longest order message in bytes: 430 of fixed text, twice 31 of numbers, and room to spare.
pub const ORDER_BYTES_MAX: usize = 640;

/// Why a command has no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The caller's buffer is too short; [`ORDER_BYTES_MAX`] always suffices.
    #[error("{found} bytes of room, up to {ORDER_BYTES_MAX} needed")]
    NoRoom {
        /// Room there was.
        found: usize,
    },
    /// The instrument is not one of this venue.
    #[error("instrument {found} is not on this venue")]
    UnknownInstrument {
        /// Its number.
        found: u16,
    },
    /// A quantity or price that no venue takes.
    #[error("price or quantity is not positive or too large")]
    OutOfRange,
    /// Order entry has no request for it: cancel-all goes through REST.
    #[error("order entry has no such request")]
    NoSuchRequest,
}

/// Our orders' ids on the wire: `t`, the run, `-`, the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId {
    /// The run that placed it.
    pub run_id: u32,
    /// The order within the run.
    pub client_id: ClientOrderId,
}

impl LinkId {
    /// Length in bytes.
    pub const LEN: usize = 26;

    /// Writes the id.
    pub fn write(self) -> [u8; Self::LEN] {
        let mut out = *b"t00000000-0000000000000000";
        write_hex(u64::from(self.run_id), &mut out[1..9]);
        write_hex(self.client_id.0, &mut out[10..26]);
        out
    }

    /// Reads an id; `None` if it is of another form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::LEN] = text.try_into().ok()?;
        if text[0] != b't' || text[9] != b'-' {
            return None;
        }
        let run_id = u32::try_from(parse_hex(&text[1..9])?).ok()?;
        Some(Self { run_id, client_id: ClientOrderId(parse_hex(&text[10..26])?) })
    }
}

/// A request's id: what was asked for which order, and a number that makes it unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReqId {
    /// What was asked.
    pub op: Op,
    /// For which order.
    pub client_id: ClientOrderId,
    /// Counts the requests for one order.
    pub request: u16,
    /// Counts the requests of one encoder.
    pub number: u32,
}

impl ReqId {
    /// Length in bytes; the venue allows 36.
    pub const LEN: usize = 29;

    fn write(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0] = match self.op {
            Op::Create => b'c',
            Op::Amend => b'a',
            Op::Cancel | Op::CancelAll => b'x',
        };
        write_hex(self.client_id.0, &mut out[1..17]);
        write_hex(u64::from(self.request), &mut out[17..21]);
        write_hex(u64::from(self.number), &mut out[21..29]);
        out
    }

    /// Reads an id; `None` if it is of another form.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::LEN] = text.try_into().ok()?;
        let op = match text[0] {
            b'c' => Op::Create,
            b'a' => Op::Amend,
            b'x' => Op::Cancel,
            _ => return None,
        };
        let request = u16::try_from(parse_hex(&text[17..21])?).ok()?;
        let number = u32::try_from(parse_hex(&text[21..29])?).ok()?;
        Some(Self { op, client_id: ClientOrderId(parse_hex(&text[1..17])?), request, number })
    }
}

fn write_hex(value: u64, out: &mut [u8]) {
    let len = out.len();
    for (idx, byte) in out.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(value >> (4 * (len - 1 - idx)) & 15) as usize];
    }
}

/// The venue's text of an order number that [`id_128`](super::private::id_128) read: a UUID, or digits.
pub fn order_id_text(id: u128) -> ([u8; 36], usize) {
    let mut out = [b'-'; 36];
    if let Ok(digits) = u64::try_from(id) {
        let mut text = [0; 20];
        let start = digits_before(digits, &mut text, 20);
        out[..20 - start].copy_from_slice(&text[start..]);
        return (out, 20 - start);
    }
    let mut hex = [0; 32];
    write_hex((id >> 64) as u64, &mut hex[..16]);
    write_hex(id as u64, &mut hex[16..]);
    for (from, to) in [(0..8, 0..8), (8..12, 9..13), (12..16, 14..18), (16..20, 19..23), (20..32, 24..36)] {
        out[to].copy_from_slice(&hex[from]);
    }
    (out, 36)
}

fn parse_hex(text: &[u8]) -> Option<u64> {
    let mut value = 0;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

/// Renders the requests of one run.
pub struct OrderEncoder {
    run_id: u32,
    next_number: u32,
    recv_window: Box<[u8]>,
    rendered: Box<[Option<Rendered>]>,
}

/// What is fixed for one instrument.
struct Rendered {
    tick: Step,
    lot: Step,
    /// `{"category":"linear","symbol":"BTCUSDT",`
    place: Box<[u8]>,
    is_spot: bool,
}

impl OrderEncoder {
    /// Makes the encoder for the Bybit instruments of `table`. `run_id` tells our orders from those of earlier runs;
    /// `recv_window_ms` is how old a request may be when the venue gets it.
    pub fn new(table: &InstrumentTable, run_id: u32, recv_window_ms: u32) -> Self {
        let rendered = table.iter().map(|(_, spec)| {
            (spec.venue == VenueId::BYBIT).then(|| Rendered {
                tick: spec.tick,
                lot: spec.lot,
                place: format!(r#"{{"category":"{}","symbol":"{}","#, spec.product.name(), spec.symbol)
                    .into_bytes()
                    .into_boxed_slice(),
                is_spot: spec.product == Product::Spot,
            })
        });
        let recv_window = format!(r#"","X-BAPI-RECV-WINDOW":"{recv_window_ms}"}},"op":"order."#);
        Self {
            run_id,
            next_number: 0,
            recv_window: recv_window.into_bytes().into_boxed_slice(),
            rendered: rendered.collect(),
        }
    }

    /// Writes the WebSocket request into `out` and returns its length. `time_ms` is the venue's time as well as we know it.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` may then hold half a message.
    ///
    /// # Cost
    /// About 300 bytes copied and six numbers written; no allocation.
    #[inline]
    pub fn request(&mut self, command: &Command, time_ms: u64, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (op, word): (Op, &[u8]) = match command.kind {
            CommandKind::New | CommandKind::NewMarket => (Op::Create, b"create\",\"args\":["),
            CommandKind::Amend => (Op::Amend, b"amend\",\"args\":["),
            CommandKind::Cancel | CommandKind::CancelForeign => (Op::Cancel, b"cancel\",\"args\":["),
            CommandKind::CancelAll | CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => {
                return Err(EncodeError::NoSuchRequest);
            }
        };
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let mut writer = Writer { out, len: 0 };
        writer.put(b"{\"reqId\":\"")?;
        writer.put(&ReqId { op, client_id: command.client_id, request: command.request, number }.write())?;
        writer.put(b"\",\"header\":{\"X-BAPI-TIMESTAMP\":\"")?;
        writer.uint(time_ms)?;
        writer.put(&self.recv_window)?;
        writer.put(word)?;
        self.order(command, &mut writer)?;
        writer.put(b"]}")?;
        Ok(writer.len)
    }

    /// Writes the body of the same order's REST request (`/v5/order/create`, `amend`, `cancel`) and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn body(&self, command: &Command, out: &mut [u8]) -> Result<usize, EncodeError> {
        let mut writer = Writer { out, len: 0 };
        self.order(command, &mut writer)?;
        Ok(writer.len)
    }

    #[inline]
    fn order(&self, command: &Command, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let found = command.instrument.0;
        let rendered = self.rendered.get(command.instrument.idx()).and_then(Option::as_ref);
        let rendered = rendered.ok_or(EncodeError::UnknownInstrument { found })?;
        writer.put(&rendered.place)?;
        let link_id = LinkId { run_id: self.run_id, client_id: command.client_id }.write();
        match command.kind {
            CommandKind::New | CommandKind::NewMarket => {
                let is_limit = command.kind == CommandKind::New;
                writer.put(match command.side {
                    Side::Bid => b"\"side\":\"Buy\",\"orderType\":\"",
                    Side::Ask => b"\"side\":\"Sell\",\"orderType\":\"",
                })?;
                if is_limit {
                    writer.put(b"Limit\",\"price\":\"")?;
                    writer.steps(command.px.get(), rendered.tick)?;
                    writer.put(b"\",\"qty\":\"")?;
                } else {
                    writer.put(b"Market\",\"qty\":\"")?;
                }
                writer.steps(command.qty.get(), rendered.lot)?;
                writer.put(match command.tif {
                    TimeInForce::ImmediateOrCancel => b"\",\"timeInForce\":\"IOC\",\"orderLinkId\":\"",
                    _ if !is_limit => b"\",\"timeInForce\":\"IOC\",\"orderLinkId\":\"",
                    TimeInForce::GoodTillCancel => b"\",\"timeInForce\":\"GTC\",\"orderLinkId\":\"",
                    TimeInForce::PostOnly => b"\",\"timeInForce\":\"PostOnly\",\"orderLinkId\":\"",
                    TimeInForce::FillOrKill => b"\",\"timeInForce\":\"FOK\",\"orderLinkId\":\"",
                })?;
                writer.put(&link_id)?;
                writer.put(match (rendered.is_spot, is_limit, command.reduce_only) {
                    (true, true, _) => b"\"}",
                    // Without this a market buy on spot counts its quantity in the quote currency.
                    (true, false, _) => b"\",\"marketUnit\":\"baseCoin\"}",
                    (false, _, true) => b"\",\"reduceOnly\":true,\"positionIdx\":0}",
                    (false, _, false) => b"\",\"reduceOnly\":false,\"positionIdx\":0}",
                })
            }
            CommandKind::Amend => {
                writer.put(b"\"orderLinkId\":\"")?;
                writer.put(&link_id)?;
                writer.put(b"\",\"price\":\"")?;
                writer.steps(command.px.get(), rendered.tick)?;
                writer.put(b"\",\"qty\":\"")?;
                writer.steps(command.qty.get(), rendered.lot)?;
                writer.put(b"\"}")
            }
            CommandKind::Cancel => {
                writer.put(b"\"orderLinkId\":\"")?;
                writer.put(&link_id)?;
                writer.put(b"\"}")
            }
            CommandKind::CancelForeign => {
                let (text, len) = order_id_text(command.venue_order_id());
                writer.put(b"\"orderId\":\"")?;
                writer.put(&text[..len])?;
                writer.put(b"\"}")
            }
            CommandKind::CancelAll | CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => {
                Err(EncodeError::NoSuchRequest)
            }
        }
    }
}

/// Appends to the caller's buffer.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    #[inline(always)]
    fn put(&mut self, text: &[u8]) -> Result<(), EncodeError> {
        let found = self.out.len();
        let room = self.out.get_mut(self.len..self.len + text.len()).ok_or(EncodeError::NoRoom { found })?;
        room.copy_from_slice(text);
        self.len += text.len();
        Ok(())
    }

    #[inline]
    fn uint(&mut self, value: u64) -> Result<(), EncodeError> {
        let mut digits = [0; 20];
        let start = digits_before(value, &mut digits, 20);
        self.put(&digits[start..])
    }

    /// `count` steps as a decimal with the step's decimals.
    #[inline]
    fn steps(&mut self, count: i64, step: Step) -> Result<(), EncodeError> {
        let count = u64::try_from(count).ok().filter(|&count| count > 0).ok_or(EncodeError::OutOfRange)?;
        let value = count.checked_mul(u64::from(step.units())).ok_or(EncodeError::OutOfRange)?;
        let decimals = step.decimals() as usize;
        let mut text = [b'0'; 40];
        if decimals == 0 {
            return self.uint(value);
        }
        // Fraction digits end at 40, then the dot, then the whole digits.
        let (whole, fraction) = (value / POW10[decimals], value % POW10[decimals]);
        digits_before(fraction, &mut text, 40);
        let dot = 40 - decimals - 1;
        text[dot] = b'.';
        let start = digits_before(whole, &mut text, dot);
        self.put(&text[start..])
    }
}

const POW10: [u64; 13] = {
    let mut out = [1; 13];
    let mut idx = 1;
    while idx < out.len() {
        out[idx] = out[idx - 1] * 10;
        idx += 1;
    }
    out
};

/// Writes `value` so that it ends before `end`, two digits at a time, and returns where it begins.
#[inline]
fn digits_before(mut value: u64, out: &mut [u8], end: usize) -> usize {
    let mut at = end;
    while value >= 100 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        out[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if value >= 10 {
        at -= 2;
        out[at..at + 2].copy_from_slice(&PAIRS[value as usize * 2..value as usize * 2 + 2]);
    } else {
        at -= 1;
        out[at] = b'0' + value as u8;
    }
    at
}

const PAIRS: [u8; 200] = {
    let mut out = [0; 200];
    let mut value = 0;
    while value < 100 {
        out[value * 2] = b'0' + (value / 10) as u8;
        out[value * 2 + 1] = b'0' + (value % 10) as u8;
        value += 1;
    }
    out
};

/// What to send as a heartbeat on any connection, at least every 20 seconds.
pub const PING: &[u8] = br#"{"op":"ping"}"#;

/// Most characters of all topics of one public connection.
pub const TOPIC_CHARS_MAX: usize = 21_000;

/// The topics of `symbol`: the book at `depth`, the best bid and offer beside it, trades and the ticker.
pub fn market_topics(symbol: &str, depth: u16, product: Product) -> Vec<String> {
    let mut topics =
        vec![format!("orderbook.{depth}.{symbol}"), format!("publicTrade.{symbol}"), format!("tickers.{symbol}")];
    if depth != 1 {
        topics.push(format!("orderbook.1.{symbol}"));
    }
    if product == Product::Spot {
        // Spot's ticker has neither funding nor a best bid and offer.
        topics.retain(|topic| !topic.starts_with("tickers."));
    }
    topics
}

/// The topics of the private stream that the engine lives on.
pub const PRIVATE_TOPICS: [&str; 4] = ["order", "execution", "position", "wallet"];

/// Requests that subscribe to `topics`, in as many messages as the venue's limits ask for: ten topics a message on spot,
/// 500 elsewhere. `None` if all topics together are too long for one connection.
pub fn subscribe(topics: &[String], product: Product) -> Option<Vec<String>> {
    request_topics("subscribe", topics, product)
}

/// Requests that end the subscription to `topics`.
pub fn unsubscribe(topics: &[String], product: Product) -> Option<Vec<String>> {
    request_topics("unsubscribe", topics, product)
}

/// Characters that count against [`TOPIC_CHARS_MAX`]: each topic with its quotes and comma.
pub fn topic_chars(topics: &[String]) -> usize {
    topics.iter().map(|topic| topic.len() + 3).sum()
}

fn request_topics(op: &str, topics: &[String], product: Product) -> Option<Vec<String>> {
    if topic_chars(topics) > TOPIC_CHARS_MAX {
        return None;
    }
    let chunk_len = if product == Product::Spot { 10 } else { 500 };
    let message = |chunk: &[String]| format!(r#"{{"op":"{op}","args":["{}"]}}"#, chunk.join("\",\""));
    Some(topics.chunks(chunk_len).map(message).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{CommandStamps, InstrumentId, InstrumentSpec, Lots, Nanos, Symbol, Ticks};

    fn table() -> InstrumentTable {
        let spec = |symbol: &str, product, tick: &str, lot: &str| {
            let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
            let symbol = Symbol::new(symbol.as_bytes()).unwrap();
            InstrumentSpec::new(VenueId::BYBIT, symbol, product, step(tick), step(lot)).unwrap()
        };
        InstrumentTable::new(vec![
            spec("BTCUSDT", Product::Linear, "0.10", "0.001"),
            spec("BTCUSDC", Product::Spot, "0.5", "0.000001"),
            spec("DOGEUSDT", Product::Linear, "0.00001", "1"),
        ])
        .unwrap()
    }

    fn command(kind: CommandKind) -> Command {
        Command {
            kind,
            side: Side::Bid,
            tif: TimeInForce::PostOnly,
            reduce_only: false,
            instrument: InstrumentId(0),
            client_id: ClientOrderId(31),
            request: 1,
            px: Ticks::new(616_597),
            qty: Lots::new(12),
            at: Nanos::new(1),
            stamps: CommandStamps::default(),
        }
    }

    fn request(encoder: &mut OrderEncoder, command: &Command) -> String {
        let mut out = [0; ORDER_BYTES_MAX];
        let len = encoder.request(command, 1_711_001_595_207, &mut out).unwrap();
        let text = String::from_utf8(out[..len].to_vec()).unwrap();
        let _: serde_json::Value = serde_json::from_str(&text).unwrap();
        text
    }

    #[test]
    fn requests_are_as_the_venue_documents_them() {
        let mut encoder = OrderEncoder::new(&table(), 42, 5000);
        assert_eq!(
            request(&mut encoder, &command(CommandKind::New)),
            r#"{"reqId":"c000000000000001f000100000000","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","price":"61659.7","qty":"0.012","timeInForce":"PostOnly","orderLinkId":"t0000002a-000000000000001f","reduceOnly":false,"positionIdx":0}]}"#
        );
        assert_eq!(
            request(&mut encoder, &command(CommandKind::Amend)),
            r#"{"reqId":"a000000000000001f000100000001","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.amend","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-000000000000001f","price":"61659.7","qty":"0.012"}]}"#
        );
        assert_eq!(
            request(&mut encoder, &command(CommandKind::Cancel)),
            r#"{"reqId":"x000000000000001f000100000002","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.cancel","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-000000000000001f"}]}"#
        );
    }

    #[test]
    fn every_kind_of_order_is_json_with_its_words() {
        let mut encoder = OrderEncoder::new(&table(), 0, 5000);
        for (tif, word) in [
            (TimeInForce::GoodTillCancel, "\"GTC\""),
            (TimeInForce::PostOnly, "\"PostOnly\""),
            (TimeInForce::ImmediateOrCancel, "\"IOC\""),
            (TimeInForce::FillOrKill, "\"FOK\""),
        ] {
            assert!(request(&mut encoder, &Command { tif, ..command(CommandKind::New) }).contains(word));
        }
        let market = request(&mut encoder, &Command { reduce_only: true, ..command(CommandKind::NewMarket) });
        assert!(
            market.contains(r#""orderType":"Market","qty":"0.012","timeInForce":"IOC""#) && !market.contains("price")
        );
        assert!(market.contains(r#""reduceOnly":true"#));
        let spot = Command { instrument: InstrumentId(1), side: Side::Ask, ..command(CommandKind::NewMarket) };
        let spot = request(&mut encoder, &spot);
        assert!(spot.contains(r#""category":"spot""#) && spot.contains(r#""marketUnit":"baseCoin""#));
        assert!(spot.contains(r#""side":"Sell""#) && !spot.contains("reduceOnly"));
        let mut out = [0; ORDER_BYTES_MAX];
        let len = encoder.body(&command(CommandKind::Cancel), &mut out).unwrap();
        assert_eq!(
            &out[..len],
            br#"{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t00000000-000000000000001f"}"#
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut encoder = OrderEncoder::new(&table(), 0, 5000);
        let mut out = [0; ORDER_BYTES_MAX];
        let mut refused = |command: Command| encoder.request(&command, 1, &mut out).unwrap_err();
        assert_eq!(refused(command(CommandKind::CancelAll)), EncodeError::NoSuchRequest);
        let elsewhere = Command { instrument: InstrumentId(9), ..command(CommandKind::New) };
        assert_eq!(refused(elsewhere), EncodeError::UnknownInstrument { found: 9 });
        for bad in [Lots::new(0), Lots::new(-1)] {
            assert_eq!(refused(Command { qty: bad, ..command(CommandKind::New) }), EncodeError::OutOfRange);
        }
        for len in 0..300 {
            let error = encoder.request(&command(CommandKind::New), 1, &mut out[..len]).unwrap_err();
            assert_eq!(error, EncodeError::NoRoom { found: len });
        }
    }

    #[test]
    fn subscriptions_stay_within_the_limits() {
        let topics: Vec<String> =
            ["BTCUSDT", "ETHUSDT", "SOLUSDT"].iter().flat_map(|s| market_topics(s, 50, Product::Linear)).collect();
        assert_eq!(topics.len(), 12);
        assert_eq!(subscribe(&topics, Product::Spot).unwrap().len(), 2);
        let one = subscribe(&topics[..2], Product::Linear).unwrap();
        assert_eq!(one, [r#"{"op":"subscribe","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT"]}"#]);
        let many: Vec<String> = (0..2000).map(|n| format!("orderbook.50.COIN{n}USDT")).collect();
        assert!(subscribe(&many, Product::Linear).is_none());
    }

    proptest! {
        #[test]
        fn ids_survive_the_wire(run_id: u32, client_id: u64, request: u16, number: u32) {
            let link = LinkId { run_id, client_id: ClientOrderId(client_id) };
            prop_assert_eq!(LinkId::parse(&link.write()), Some(link));
            for op in [Op::Create, Op::Amend, Op::Cancel] {
                let id = ReqId { op, client_id: ClientOrderId(client_id), request, number };
                prop_assert_eq!(ReqId::parse(&id.write()), Some(id));
            }
        }

        #[test]
        fn numbers_are_those_of_the_step(count in 1i64..=1_000_000_000_000, units in 1u32..1000, decimals in 0u8..=12) {
            let step = Step::new(units, decimals).unwrap();
            let mut out = [0; 64];
            let mut writer = Writer { out: &mut out, len: 0 };
            writer.steps(count, step).unwrap();
            let len = writer.len;
            prop_assert_eq!(std::str::from_utf8(&out[..len]).unwrap(), step.text(count));
        }

        #[test]
        fn foreign_ids_are_not_ours(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = LinkId::parse(&text);
            let _ = ReqId::parse(&text);
        }
    }
}
