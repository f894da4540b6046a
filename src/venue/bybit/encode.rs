//! Commands → bytes for order entry over WebSocket, and bodies of the same orders over REST.
//!
//! Everything but seven fields is rendered once, when the encoder is made: one template for each instrument and kind of order.
//! A request is one copy of its template, four ids and the time patched in at known places, and price and quantity, whose
//! lengths vary, behind it. No allocation, no formatting machinery.
//!
//! ```text
//! {"reqId":"c 000000000000001f 0001 00000007","header":{"X-BAPI-TIMESTAMP":"…","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create",
//!            │  client order id   │    request of this run
//!            │                    request for this order
//!            c create, a amend, x cancel
//!  "args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"…","side":"Buy", … ,"price":"61659.7","qty":"0.012"}]}
//! ```

use crate::types::{
    ClientOrderId, Command, CommandKind, InstrumentSpec, InstrumentTable, Op, Product, Side, Step, TimeInForce,
    TriggerBy, VenueId,
};

/// Room that every order message finds enough, in bytes: 480 of fixed text at most, twice 34 of numbers, and what the last
/// write of a number may touch behind its end.
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

    const CLIENT_ID_AT: usize = 10;

    /// Writes the id.
    pub fn write(self) -> [u8; Self::LEN] {
        let mut out = *b"t00000000-0000000000000000";
        out[1..9].copy_from_slice(&hex_8(self.run_id));
        out[10..26].copy_from_slice(&hex_16(self.client_id.0));
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

/// What a request id begins with.
#[inline(always)]
const fn op_letter(op: Op) -> u8 {
    match op {
        Op::Create => b'c',
        Op::Amend => b'a',
        Op::Cancel | Op::CancelAll => b'x',
    }
}

impl ReqId {
    /// Length in bytes; the venue allows 36.
    pub const LEN: usize = 29;

    const NUMBER_AT: usize = 21;

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
    hex[..16].copy_from_slice(&hex_16((id >> 64) as u64));
    hex[16..].copy_from_slice(&hex_16(id as u64));
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
    next_number: u32,
    time: TimeText,
    instruments: Box<[Steps]>,
    /// [`VARIANTS`] for each instrument; empty ones are of another venue.
    templates: Box<[Template]>,
    /// The texts of all templates, one after the other.
    texts: Box<[u8]>,
}

/// What prices and quantities of one instrument are counted in.
#[derive(Clone, Copy)]
struct Steps {
    tick: Step,
    lot: Step,
}

/// A request up to its price, or to its quantity if it has no price.
#[derive(Clone, Copy)]
struct Template {
    /// Where its text begins in [`OrderEncoder::texts`].
    start: u32,
    len: u16,
    /// Where the body begins: behind `"args":[`.
    body_at: u16,
    /// Where the order's link id goes; 0 if the request names the order otherwise.
    link_at: u16,
}

/// Kinds of requests of one instrument: 16 limit orders (side, time in force, reduce-only), 4 market orders (side,
/// reduce-only), amendment, cancellation, cancellation of a foreign order, 4 stop orders (side, price that triggers), amendment of
/// a stop order.
const VARIANTS: usize = 28;
const MARKET: usize = 16;
const AMEND: usize = 20;
const CANCEL: usize = 21;
const CANCEL_FOREIGN: usize = 22;
const STOP: usize = 23;
const AMEND_STOP: usize = 27;

/// Where the request id and the venue's time go: in front of all that varies in length.
const REQ_ID_AT: usize = br#"{"reqId":""#.len();
const TIME_AT: usize = REQ_ID_AT + ReqId::LEN + br#"","header":{"X-BAPI-TIMESTAMP":""#.len();
const TIME_LEN: usize = 13;

/// The first second that has more than ten digits, in the year 2286.
const SECONDS_END: u64 = 10_000_000_000;

/// The venue's time in digits. Seconds change seldom.
struct TimeText {
    second: u64,
    text: [u8; TIME_LEN],
}

impl TimeText {
    /// `None` for times that have more than [`TIME_LEN`] digits.
    #[inline(always)]
    fn of(&mut self, ms: u64) -> Option<&[u8; TIME_LEN]> {
        let second = ms / 1000;
        if second != self.second {
            self.set_second(second)?;
        }
        self.text[10..].copy_from_slice(&eight_digits(ms % 1000).to_le_bytes()[5..]);
        Some(&self.text)
    }

    #[cold]
    fn set_second(&mut self, second: u64) -> Option<()> {
        if second >= SECONDS_END {
            return None;
        }
        self.second = second;
        self.text[..10].copy_from_slice(&sixteen_digits(second).to_le_bytes()[6..]);
        Some(())
    }
}

const SIDES: [Side; 2] = [Side::Bid, Side::Ask];
const TIFS: [(TimeInForce, &str); 4] = [
    (TimeInForce::GoodTillCancel, "GTC"),
    (TimeInForce::PostOnly, "PostOnly"),
    (TimeInForce::ImmediateOrCancel, "IOC"),
    (TimeInForce::FillOrKill, "FOK"),
];

#[inline]
fn variant(command: &Command) -> Option<(Op, usize)> {
    let side_and_reduce = usize::from(command.side == Side::Ask) + 2 * usize::from(command.reduce_only);
    Some(match command.kind {
        CommandKind::New => {
            let tif = match command.tif {
                TimeInForce::GoodTillCancel => 0,
                TimeInForce::PostOnly => 1,
                TimeInForce::ImmediateOrCancel => 2,
                TimeInForce::FillOrKill => 3,
            };
            (Op::Create, side_and_reduce + 4 * tif)
        }
        CommandKind::NewMarket => (Op::Create, MARKET + side_and_reduce),
        CommandKind::Amend if command.trigger.is_some() => (Op::Amend, AMEND_STOP),
        CommandKind::Amend => (Op::Amend, AMEND),
        CommandKind::NewStop => {
            let by_mark = usize::from(command.trigger == Some(TriggerBy::Mark));
            (Op::Create, STOP + usize::from(command.side == Side::Ask) + 2 * by_mark)
        }
        CommandKind::Cancel => (Op::Cancel, CANCEL),
        CommandKind::CancelForeign => (Op::Cancel, CANCEL_FOREIGN),
        CommandKind::CancelAll | CommandKind::Query | CommandKind::Reconcile | CommandKind::Reconnect => return None,
    })
}

/// Renders all templates of an instrument into `texts`, in the order of [`variant`].
fn render(spec: &InstrumentSpec, run_id: u32, recv_window_ms: u32, texts: &mut Vec<u8>) -> [Template; VARIANTS] {
    let mut add = |word: &str, has_link: bool, rest: &str| {
        let start = texts.len();
        let req_id = "0".repeat(ReqId::LEN);
        let time = "0".repeat(TIME_LEN);
        let mut text = format!(
            r#"{{"reqId":"{req_id}","header":{{"X-BAPI-TIMESTAMP":"{time}","X-BAPI-RECV-WINDOW":"{recv_window_ms}"}},"op":"order.{word}","args":["#
        );
        let body_at = text.len() as u16;
        text += &format!(r#"{{"category":"{}","symbol":"{}""#, spec.product.name(), spec.symbol);
        let mut link_at = 0;
        if has_link {
            text += r#","orderLinkId":""#;
            link_at = text.len() as u16;
            let link_id = LinkId { run_id, client_id: ClientOrderId(0) }.write();
            text.extend(link_id.map(char::from));
            text.push('"');
        }
        text += rest;
        texts.extend_from_slice(text.as_bytes());
        Template { start: start as u32, len: text.len() as u16, body_at, link_at }
    };
    let is_spot = spec.product == Product::Spot;
    let create = |idx: usize| {
        let side = match SIDES[idx % 2] {
            Side::Bid => "Buy",
            Side::Ask => "Sell",
        };
        let is_limit = idx < MARKET;
        let (kind, tif) = if is_limit { ("Limit", TIFS[idx / 4].1) } else { ("Market", "IOC") };
        let rest = match (is_spot, is_limit) {
            (true, true) => "",
            // Without this a market buy on spot counts its quantity in the quote currency.
            (true, false) => r#","marketUnit":"baseCoin""#,
            (false, _) if idx / 2 % 2 == 1 => r#","reduceOnly":true,"positionIdx":0"#,
            (false, _) => r#","reduceOnly":false,"positionIdx":0"#,
        };
        let number = if is_limit { "price" } else { "qty" };
        format!(r#","side":"{side}","orderType":"{kind}","timeInForce":"{tif}"{rest},"{number}":""#)
    };
    // A sale waits for a fall (2), a purchase for a rise (1). What closes goes on past a quote of ours that is in its way.
    let stop = |idx: usize| {
        let (side, direction) = if idx % 2 == Side::Bid as usize { ("Buy", 1) } else { ("Sell", 2) };
        let by = if idx / 2 == 0 { "LastPrice" } else { "MarkPrice" };
        format!(
            r#","side":"{side}","orderType":"Market","timeInForce":"IOC","reduceOnly":true,"positionIdx":0,"smpType":"CancelMaker","triggerDirection":{direction},"triggerBy":"{by}","triggerPrice":""#
        )
    };
    std::array::from_fn(|idx| match idx {
        // On spot there is no position to be closed.
        STOP..=AMEND_STOP if is_spot => Template { start: 0, len: 0, body_at: 0, link_at: 0 },
        AMEND_STOP => add("amend", true, r#","triggerPrice":""#),
        STOP.. => add("create", true, &stop(idx - STOP)),
        AMEND => add("amend", true, r#","price":""#),
        CANCEL => add("cancel", true, ""),
        CANCEL_FOREIGN => add("cancel", false, r#","orderId":""#),
        idx => add("create", true, &create(idx)),
    })
}

impl OrderEncoder {
    /// Makes the encoder for the Bybit instruments of `table`. `run_id` tells our orders from those of earlier runs;
    /// `recv_window_ms` is how old a request may be when the venue gets it. Takes about 7 kB for each instrument.
    pub fn new(table: &InstrumentTable, run_id: u32, recv_window_ms: u32) -> Self {
        let mut texts = Vec::new();
        let mut templates = Vec::with_capacity(table.len() * VARIANTS);
        for (_, spec) in table.iter() {
            if spec.venue == VenueId::BYBIT {
                templates.extend(render(spec, run_id, recv_window_ms, &mut texts));
            } else {
                templates.extend([Template { start: 0, len: 0, body_at: 0, link_at: 0 }; VARIANTS]);
            }
        }
        Self {
            next_number: 0,
            time: TimeText { second: 0, text: [b'0'; TIME_LEN] },
            instruments: table.iter().map(|(_, spec)| Steps { tick: spec.tick, lot: spec.lot }).collect(),
            templates: templates.into_boxed_slice(),
            texts: texts.into_boxed_slice(),
        }
    }

    /// Writes the WebSocket request into `out`, which has room for [`ORDER_BYTES_MAX`] bytes, and returns its length.
    /// `time_ms` is the venue's time as well as we know it.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` may then hold half a message.
    ///
    /// # Cost
    /// A copy of about 300 bytes, six numbers; no allocation. See `benches/encode.rs`.
    #[inline]
    pub fn request(&mut self, command: &Command, time_ms: u64, out: &mut [u8]) -> Result<usize, EncodeError> {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        self.render(command, number, time_ms, out).map(|(_, len)| len)
    }

    /// Does what [`Self::request`] does but for the bytes' number, which is not used up: for keeping caches warm.
    ///
    /// # Errors
    /// [`EncodeError`].
    #[inline]
    pub fn rehearse(&mut self, command: &Command, time_ms: u64, out: &mut [u8]) -> Result<usize, EncodeError> {
        self.render(command, self.next_number, time_ms, out).map(|(_, len)| len)
    }

    /// Writes the body of the same order's REST request (`/v5/order/create`, `amend`, `cancel`) into `out`, which has room
    /// for [`ORDER_BYTES_MAX`] bytes, and returns its length.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn body(&mut self, command: &Command, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (body_at, len) = self.render(command, 0, 0, out)?;
        // All but the brackets that close the list of arguments and the message.
        let body = body_at..len - b"]}".len();
        let len = body.len();
        out.copy_within(body, 0);
        Ok(len)
    }

    /// Where the body begins, and the length of the whole.
    #[inline]
    fn render(
        &mut self,
        command: &Command,
        number: u32,
        time_ms: u64,
        out: &mut [u8],
    ) -> Result<(usize, usize), EncodeError> {
        let found = out.len();
        let out: &mut [u8; ORDER_BYTES_MAX] = out.first_chunk_mut().ok_or(EncodeError::NoRoom { found })?;
        let (op, variant) = variant(command).ok_or(EncodeError::NoSuchRequest)?;
        let unknown = EncodeError::UnknownInstrument { found: command.instrument.0 };
        let steps = self.instruments.get(command.instrument.idx()).ok_or(unknown)?;
        let template = self.templates.get(command.instrument.idx() * VARIANTS + variant).ok_or(unknown)?;
        let (start, len) = (template.start as usize, template.len as usize);
        let text = self.texts.get(start..start + len).filter(|text| !text.is_empty()).ok_or(unknown)?;
        let time = self.time.of(time_ms).ok_or(EncodeError::OutOfRange)?;
        out[..len].copy_from_slice(text);
        // Straight from registers to where they go: what is put together in memory first is slow to be read again. The first of
        // sixteen digits is in the way of the client id, which comes after it.
        let client_id = hex_16(command.client_id.0);
        put(out, REQ_ID_AT + ReqId::NUMBER_AT - 8, &hex_16(u64::from(command.request) << 32 | u64::from(number)));
        let at = put(out, REQ_ID_AT, &[op_letter(op)]);
        put(out, at, &client_id);
        put(out, TIME_AT, time);
        if template.link_at > 0 {
            put(out, usize::from(template.link_at) + LinkId::CLIENT_ID_AT, &client_id);
        }
        let end = match command.kind {
            CommandKind::New | CommandKind::NewStop | CommandKind::Amend => {
                let at = put_steps(out, len, command.px.get(), steps.tick)?;
                let at = put(out, at, b"\",\"qty\":\"");
                let at = put_steps(out, at, command.qty.get(), steps.lot)?;
                put(out, at, b"\"}]}")
            }
            CommandKind::NewMarket => {
                let at = put_steps(out, len, command.qty.get(), steps.lot)?;
                put(out, at, b"\"}]}")
            }
            CommandKind::CancelForeign => {
                let (id, id_len) = order_id_text(command.venue_order_id());
                out[len..len + id_len].copy_from_slice(&id[..id_len]);
                put(out, len + id_len, b"\"}]}")
            }
            _ => put(out, len, b"}]}"),
        };
        Ok((usize::from(template.body_at), end))
    }
}

/// Longest template in bytes: the longest words, symbol, receive window and what stands around them.
const TEMPLATE_BYTES_MAX: usize = 480;

/// Longest number in bytes: 20 digits and a dot, of which the quick way writes 33 with what lies behind it.
const NUMBER_BYTES_MAX: usize = 33;

const _: () = assert!(TEMPLATE_BYTES_MAX + 2 * NUMBER_BYTES_MAX + 32 <= ORDER_BYTES_MAX, "every request fits");

#[inline(always)]
fn put<const N: usize>(out: &mut [u8; ORDER_BYTES_MAX], at: usize, text: &[u8; N]) -> usize {
    out[at..at + N].copy_from_slice(text);
    at + N
}

/// Writes `count` steps at `at` as a decimal with the step's decimals, and returns where it ends. What lies up to 33 bytes
/// behind `at` is overwritten.
#[inline(always)]
fn put_steps(out: &mut [u8; ORDER_BYTES_MAX], at: usize, count: i64, step: Step) -> Result<usize, EncodeError> {
    let count = u64::try_from(count).ok().filter(|&count| count > 0).ok_or(EncodeError::OutOfRange)?;
    let value = count.checked_mul(u64::from(step.units())).ok_or(EncodeError::OutOfRange)?;
    let decimals = usize::from(step.decimals());
    // All digits in one register; where the number begins and where its dot goes is a matter of shifts. One digit at least
    // stands before the dot.
    if value < 100_000_000 && decimals < 8 {
        let digits = eight_digits(value);
        let leading_zeros = ((digits ^ ASCII_ZEROS as u64).trailing_zeros() / 8) as usize;
        let len = (8 - leading_zeros).max(decimals + 1);
        put(out, at, &(digits >> (8 * (8 - len))).to_le_bytes());
        if decimals == 0 {
            return Ok(at + len);
        }
        let dot = put_dot(out, at + len - decimals);
        put(out, dot, &(digits >> (8 * (8 - decimals))).to_le_bytes());
        return Ok(at + len + 1);
    }
    if value >= 10_000_000_000_000_000 {
        return put_long(out, at, value, decimals);
    }
    let digits = sixteen_digits(value);
    let leading_zeros = ((digits ^ ASCII_ZEROS).trailing_zeros() / 8) as usize;
    let len = (16 - leading_zeros).max(decimals + 1);
    put(out, at, &(digits >> (8 * (16 - len))).to_le_bytes());
    if decimals == 0 {
        return Ok(at + len);
    }
    let dot = put_dot(out, at + len - decimals);
    put(out, dot, &(digits >> (8 * (16 - decimals))).to_le_bytes());
    Ok(at + len + 1)
}

#[inline(always)]
fn put_dot(out: &mut [u8; ORDER_BYTES_MAX], at: usize) -> usize {
    put(out, at, b".")
}

/// As [`put_steps`], for values of more than sixteen digits.
#[cold]
fn put_long(out: &mut [u8; ORDER_BYTES_MAX], at: usize, value: u64, decimals: usize) -> Result<usize, EncodeError> {
    let mut digits = [b'0'; 20];
    let start = digits_before(value, &mut digits, 20);
    let (whole, fraction) = digits[start..].split_at(20 - start - decimals);
    let mut end = at + whole.len();
    out[at..end].copy_from_slice(whole);
    if decimals > 0 {
        out[end] = b'.';
        out[end + 1..end + 1 + decimals].copy_from_slice(fraction);
        end += 1 + decimals;
    }
    Ok(end)
}

const ASCII_ZEROS: u128 = u128::from_le_bytes([b'0'; 16]);

/// The sixteen decimal digits of a value below 10¹⁶, the most significant in the lowest byte.
#[inline(always)]
fn sixteen_digits(value: u64) -> u128 {
    let (high, low) = (value / 100_000_000, value % 100_000_000);
    u128::from(eight_digits(high)) | u128::from(eight_digits(low)) << 64
}

/// The eight decimal digits of a value below 10⁸, the most significant in the lowest byte: halves, then quarters, then digits are
/// divided side by side in one word.
#[inline(always)]
fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (twos - 10 * tens) << 8) | 0x3030_3030_3030_3030
}

/// Eight hexadecimal digits, the most significant first.
#[inline(always)]
pub(super) fn hex_8(value: u32) -> [u8; 8] {
    // One byte to each lane of 16 bits, then one half of it to each byte.
    let mut lanes = u64::from(value.swap_bytes());
    lanes = (lanes | lanes << 16) & 0x0000_ffff_0000_ffff;
    lanes = (lanes | lanes << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (lanes >> 4 | lanes << 8) & 0x0f0f_0f0f_0f0f_0f0f;
    // Nibbles above nine carry into the fifth bit when six is added.
    let letters = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
}

/// Sixteen hexadecimal digits, the most significant first.
#[inline(always)]
fn hex_16(value: u64) -> [u8; 16] {
    let [high, low] = [(value >> 32) as u32, value as u32].map(|half| u128::from(u64::from_le_bytes(hex_8(half))));
    (high | low << 64).to_le_bytes()
}

/// Writes `value` so that it ends before `end`, and returns where it begins.
fn digits_before(mut value: u64, out: &mut [u8], end: usize) -> usize {
    let mut at = end;
    loop {
        at -= 1;
        out[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return at;
        }
    }
}

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
            trigger: None,
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
            r#"{"reqId":"c000000000000001f000100000000","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-000000000000001f","side":"Buy","orderType":"Limit","timeInForce":"PostOnly","reduceOnly":false,"positionIdx":0,"price":"61659.7","qty":"0.012"}]}"#
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
            market.contains(r#""orderType":"Market","timeInForce":"IOC""#)
                && market.ends_with(r#""qty":"0.012"}]}"#)
                && !market.contains("price")
        );
        assert!(market.contains(r#""reduceOnly":true"#));
        let spot = Command { instrument: InstrumentId(1), side: Side::Ask, ..command(CommandKind::NewMarket) };
        let spot = request(&mut encoder, &spot);
        let mut out = [0; ORDER_BYTES_MAX];
        let stop = Command { instrument: InstrumentId(1), ..command(CommandKind::NewStop) };
        assert_eq!(encoder.request(&stop, 1, &mut out), Err(EncodeError::UnknownInstrument { found: 1 }));
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
    fn stop_orders_are_as_the_venue_documents_them() {
        let mut encoder = OrderEncoder::new(&table(), 42, 5000);
        let stop = |kind, side, by| Command { side, trigger: Some(by), ..command(kind) };
        assert_eq!(
            request(&mut encoder, &stop(CommandKind::NewStop, Side::Ask, TriggerBy::Last)),
            r#"{"reqId":"c000000000000001f000100000000","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-000000000000001f","side":"Sell","orderType":"Market","timeInForce":"IOC","reduceOnly":true,"positionIdx":0,"smpType":"CancelMaker","triggerDirection":2,"triggerBy":"LastPrice","triggerPrice":"61659.7","qty":"0.012"}]}"#
        );
        let bid = request(&mut encoder, &stop(CommandKind::NewStop, Side::Bid, TriggerBy::Mark));
        assert!(bid.contains(r#""side":"Buy""#) && bid.contains(r#""triggerDirection":1,"triggerBy":"MarkPrice""#));
        assert_eq!(
            request(&mut encoder, &stop(CommandKind::Amend, Side::Ask, TriggerBy::Last)),
            r#"{"reqId":"a000000000000001f000100000002","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"},"op":"order.amend","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-000000000000001f","triggerPrice":"61659.7","qty":"0.012"}]}"#
        );
    }

    #[test]
    fn the_longest_words_and_numbers_have_room() {
        let symbol = Symbol::new(&[b'X'; Symbol::LEN_MAX]).unwrap();
        for (product, decimals) in [(Product::Linear, 6), (Product::Spot, 0)] {
            let step = Step::new(1, decimals).unwrap();
            let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, product, step, step).unwrap();
            let table = InstrumentTable::new(vec![spec]).unwrap();
            let mut encoder = OrderEncoder::new(&table, u32::MAX, u32::MAX);
            assert_eq!(encoder.templates.len(), VARIANTS);
            for template in &encoder.templates {
                assert!(usize::from(template.len) <= TEMPLATE_BYTES_MAX, "{} bytes", template.len);
            }
            let long = Command { px: Ticks::new(i64::MAX), qty: Lots::new(i64::MAX), ..command(CommandKind::New) };
            let text = request(&mut encoder, &Command { reduce_only: true, ..long });
            assert!(text.contains(&format!(r#""price":"{}","qty":"{0}"}}]}}"#, step.text(i64::MAX))), "{text}");
        }
    }

    #[test]
    fn a_rehearsal_gives_the_bytes_of_the_next_request_and_uses_nothing_up() {
        let mut encoder = OrderEncoder::new(&table(), 42, 5000);
        let (mut out, mut rehearsed) = ([0; ORDER_BYTES_MAX], [0; ORDER_BYTES_MAX]);
        for kind in [CommandKind::New, CommandKind::Amend, CommandKind::Cancel] {
            let rehearsed_len = encoder.rehearse(&command(kind), 1_711_001_595_207, &mut rehearsed).unwrap();
            let len = encoder.request(&command(kind), 1_711_001_595_207, &mut out).unwrap();
            assert_eq!(rehearsed[..rehearsed_len], out[..len]);
        }
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
        for len in 0..ORDER_BYTES_MAX {
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
            let mut encoder = OrderEncoder::new(&table(), run_id, 5000);
            let mut out = [0; ORDER_BYTES_MAX];
            let ops = [(CommandKind::New, Op::Create), (CommandKind::Amend, Op::Amend), (CommandKind::Cancel, Op::Cancel)];
            for (kind, op) in ops {
                encoder.next_number = number;
                let command = Command { client_id: ClientOrderId(client_id), request, ..command(kind) };
                encoder.request(&command, 1_711_001_595_207, &mut out).unwrap();
                let id = ReqId { op, client_id: ClientOrderId(client_id), request, number };
                prop_assert_eq!(ReqId::parse(&out[REQ_ID_AT..REQ_ID_AT + ReqId::LEN]), Some(id));
            }
        }

        #[test]
        fn numbers_are_those_of_the_step(count in 1i64..=1_000_000_000_000, units in 1u32..1000, decimals in 0u8..=12) {
            let step = Step::new(units, decimals).unwrap();
            let mut out = [0; ORDER_BYTES_MAX];
            let end = put_steps(&mut out, 7, count, step).unwrap();
            prop_assert_eq!(std::str::from_utf8(&out[7..end]).unwrap(), step.text(count));
        }

        #[test]
        fn hexadecimal_is_that_of_the_formatter(value: u64) {
            let text = hex_16(value);
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), format!("{value:016x}"));
        }

        #[test]
        fn digits_are_those_of_the_formatter(value in 0u64..10_000_000_000_000_000) {
            let text = sixteen_digits(value).to_le_bytes();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap(), format!("{value:016}"));
        }

        #[test]
        fn foreign_ids_are_not_ours(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = LinkId::parse(&text);
            let _ = ReqId::parse(&text);
        }
    }
}
