//! An order's bytes and a signature: ours beside what one would write with crates. Contenders take turns; all bytes are
//! compared, or parsed and compared, before anything is timed.
#![allow(missing_docs)] // A program, not a library.

#[path = "common/rounds.rs"]
mod rounds;

use std::fmt::Write;
use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use rounds::{Contender, compare};
use serde::Serialize;
use tercel::types::{
    ClientOrderId, Command, CommandKind, CommandStamps, InstrumentId, InstrumentSpec, InstrumentTable, Lots, Nanos,
    Product, Side, Step, Symbol, Ticks, TimeInForce, VenueId,
};
use tercel::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder, Secret, Signer};

/// Different orders in turn, so that nothing learns the one.
const ORDERS: usize = 512;

const RUN_ID: u32 = 42;
const TIME_MS: u64 = 1_711_001_595_207;

fn commands() -> Vec<Command> {
    (0..ORDERS as i64)
        .map(|n| Command {
            kind: CommandKind::New,
            side: if n % 3 == 0 { Side::Ask } else { Side::Bid },
            tif: if n % 2 == 0 { TimeInForce::PostOnly } else { TimeInForce::GoodTillCancel },
            reduce_only: false,
            trigger: None,
            instrument: InstrumentId(0),
            client_id: ClientOrderId(31 + n as u64 * 977),
            request: 1,
            px: Ticks::new(616_597 + n * 37 % 40_000),
            qty: Lots::new(1 + n * 131 % 9_000),
            at: Nanos::new(1),
            stamps: CommandStamps::default(),
        })
        .collect()
}

#[derive(Serialize)]
struct Header {
    #[serde(rename = "X-BAPI-TIMESTAMP")]
    timestamp: String,
    #[serde(rename = "X-BAPI-RECV-WINDOW")]
    recv_window: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Args {
    category: String,
    symbol: String,
    order_link_id: String,
    side: String,
    order_type: String,
    time_in_force: String,
    reduce_only: bool,
    position_idx: u8,
    price: String,
    qty: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    req_id: String,
    header: Header,
    op: String,
    args: [Args; 1],
}

fn words(command: &Command) -> (&'static str, &'static str) {
    let side = if command.side == Side::Bid { "Buy" } else { "Sell" };
    (side, if command.tif == TimeInForce::PostOnly { "PostOnly" } else { "GTC" })
}

fn by_serde(command: &Command, number: u32) -> Vec<u8> {
    let (side, tif) = words(command);
    let (px, qty) = (command.px.get(), command.qty.get());
    serde_json::to_vec(&Request {
        req_id: format!("c{:016x}{:04x}{number:08x}", command.client_id.0, command.request),
        header: Header { timestamp: TIME_MS.to_string(), recv_window: "5000".to_owned() },
        op: "order.create".to_owned(),
        args: [Args {
            category: "linear".to_owned(),
            symbol: "BTCUSDT".to_owned(),
            order_link_id: format!("t{RUN_ID:08x}-{:016x}", command.client_id.0),
            side: side.to_owned(),
            order_type: "Limit".to_owned(),
            time_in_force: tif.to_owned(),
            reduce_only: false,
            position_idx: 0,
            price: format!("{}.{}", px / 10, px % 10),
            qty: format!("{}.{:03}", qty / 1000, qty % 1000),
        }],
    })
    .unwrap()
}

fn by_format(command: &Command, number: u32, out: &mut String) {
    let (side, tif) = words(command);
    let (px, qty, id) = (command.px.get(), command.qty.get(), command.client_id.0);
    out.clear();
    write!(
        out,
        r#"{{"reqId":"c{id:016x}{:04x}{number:08x}","header":{{"X-BAPI-TIMESTAMP":"{TIME_MS}","X-BAPI-RECV-WINDOW":"5000"}},"op":"order.create","args":[{{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t{RUN_ID:08x}-{id:016x}","side":"{side}","orderType":"Limit","timeInForce":"{tif}","reduceOnly":false,"positionIdx":0,"price":"{}.{}","qty":"{}.{:03}"}}]}}"#,
        command.request,
        px / 10,
        px % 10,
        qty / 1000,
        qty % 1000
    )
    .unwrap();
}

/// Fixed pieces, and numbers by `itoa`: what a careful client does.
fn by_itoa(command: &Command, number: u32, out: &mut Vec<u8>) {
    let (side, tif) = words(command);
    let (px, qty, id) = (command.px.get(), command.qty.get(), command.client_id.0);
    let mut digits = itoa::Buffer::new();
    let mut hex = [0; 16];
    let hex_of = |value: u64, out: &mut [u8]| {
        let len = out.len();
        for (idx, byte) in out.iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(value >> (4 * (len - 1 - idx)) & 15) as usize];
        }
    };
    out.clear();
    out.extend_from_slice(br#"{"reqId":"c"#);
    hex_of(id, &mut hex);
    out.extend_from_slice(&hex);
    let mut short = [0; 4];
    hex_of(u64::from(command.request), &mut short);
    out.extend_from_slice(&short);
    let mut eight = [0; 8];
    hex_of(u64::from(number), &mut eight);
    out.extend_from_slice(&eight);
    out.extend_from_slice(br#"","header":{"X-BAPI-TIMESTAMP":""#);
    out.extend_from_slice(digits.format(TIME_MS).as_bytes());
    out.extend_from_slice(
        br#"","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"t0000002a-"#,
    );
    out.extend_from_slice(&hex);
    out.extend_from_slice(br#"","side":""#);
    out.extend_from_slice(side.as_bytes());
    out.extend_from_slice(br#"","orderType":"Limit","timeInForce":""#);
    out.extend_from_slice(tif.as_bytes());
    out.extend_from_slice(br#"","reduceOnly":false,"positionIdx":0,"price":""#);
    out.extend_from_slice(digits.format(px / 10).as_bytes());
    out.push(b'.');
    out.push(b'0' + (px % 10) as u8);
    out.extend_from_slice(br#"","qty":""#);
    out.extend_from_slice(digits.format(qty / 1000).as_bytes());
    out.push(b'.');
    let fraction = qty % 1000;
    out.extend_from_slice(&[
        b'0' + (fraction / 100) as u8,
        b'0' + (fraction / 10 % 10) as u8,
        b'0' + (fraction % 10) as u8,
    ]);
    out.extend_from_slice(br#""}]}"#);
}

fn encode() {
    let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
    let symbol = Symbol::new(b"BTCUSDT").unwrap();
    let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step("0.1"), step("0.001")).unwrap();
    let table = InstrumentTable::new(vec![spec]).unwrap();
    let commands = commands();
    let mut ours = OrderEncoder::new(&table, RUN_ID, 5000);
    let mut out = [0; ORDER_BYTES_MAX];
    let (mut text, mut bytes) = (String::with_capacity(1024), Vec::with_capacity(1024));
    for (number, command) in commands.iter().enumerate() {
        let number = number as u32;
        let len = ours.request(command, TIME_MS, &mut out).unwrap();
        by_format(command, number, &mut text);
        by_itoa(command, number, &mut bytes);
        let want = std::str::from_utf8(&out[..len]).unwrap();
        assert_eq!(text, want);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), want);
        assert_eq!(std::str::from_utf8(&by_serde(command, number)).unwrap(), want);
    }
    let template: Vec<u8> = text.clone().into_bytes();
    let turn = |idx: usize| &commands[idx % ORDERS];
    let mut copy = [0u8; ORDER_BYTES_MAX];
    compare(
        &format!("encode a limit order, {} bytes", template.len()),
        "order",
        &mut [
            Contender::new("serde_json, owned fields", |count| {
                (0..count).fold(0, |sum, idx| sum ^ by_serde(turn(idx), idx as u32).len() as u64)
            }),
            Contender::new("write! into a reused String", |count| {
                (0..count).fold(0, |sum, idx| {
                    by_format(turn(idx), idx as u32, &mut text);
                    sum ^ black_box(&text).len() as u64
                })
            }),
            Contender::new("pieces, itoa, reused Vec", |count| {
                (0..count).fold(0, |sum, idx| {
                    by_itoa(turn(idx), idx as u32, &mut bytes);
                    sum ^ black_box(&bytes).len() as u64
                })
            }),
            Contender::new("ours: patched template", |count| {
                (0..count).fold(0, |sum, idx| {
                    let len = ours.request(turn(idx), TIME_MS + idx as u64 / 16, &mut out).unwrap();
                    black_box(&out);
                    sum ^ len as u64
                })
            }),
            Contender::new("floor: copy of as many bytes", |count| {
                (0..count).fold(0, |sum, _| {
                    copy[..template.len()].copy_from_slice(black_box(&template));
                    sum ^ u64::from(black_box(&copy)[0])
                })
            }),
        ],
    );
}

fn hex(bytes: &[u8], out: &mut [u8; 64]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[(byte >> 4) as usize];
        pair[1] = b"0123456789abcdef"[(byte & 15) as usize];
    }
}

fn sign() {
    let secret = "t7T0YlFnYXk0Fx3JswQsDrViLg1Gh3DUU5Mr";
    // As long as what a REST order signs at least: 120 bytes.
    let texts: Vec<Vec<u8>> = (0..ORDERS)
        .map(|n| format!("{}testkey5000{n:096}", TIME_MS + n as u64).into_bytes())
        .inspect(|text| assert_eq!(text.len(), 120))
        .collect();
    let ours = Signer::new(&Secret::new(secret));
    let by_ring = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let by_hmac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let with_ring = |text: &[u8]| {
        let mut out = [0; 64];
        hex(ring::hmac::sign(&by_ring, text).as_ref(), &mut out);
        out
    };
    let with_hmac = |text: &[u8]| {
        let mut mac = by_hmac.clone();
        mac.update(text);
        let mut out = [0; 64];
        hex(&mac.finalize().into_bytes(), &mut out);
        out
    };
    for text in &texts {
        assert_eq!(ours.sign(&[text]), with_ring(text));
        assert_eq!(ours.sign(&[text]), with_hmac(text));
    }
    let turn = |idx: usize| texts[idx % ORDERS].as_slice();
    let first = |out: [u8; 64]| u64::from(black_box(out)[0]);
    compare(
        "sign 120 bytes with HMAC-SHA256, lower-case hex",
        "signature",
        &mut [
            Contender::new("ring", |count| (0..count).fold(0, |sum, idx| sum ^ first(with_ring(turn(idx))))),
            Contender::new("hmac + sha2, key kept", |count| {
                (0..count).fold(0, |sum, idx| sum ^ first(with_hmac(turn(idx))))
            }),
            Contender::new("ours", |count| (0..count).fold(0, |sum, idx| sum ^ first(ours.sign(&[turn(idx)])))),
            Contender::new("floor: the four blocks of SHA-256 that this is", |count| {
                let mut state = [1u32; 8];
                for idx in 0..count {
                    let blocks = [*turn(idx).first_chunk().unwrap(); 3];
                    sha2::block_api::compress256(&mut state, &blocks);
                    sha2::block_api::compress256(&mut state, &blocks[..1]);
                }
                u64::from(state[0])
            }),
        ],
    );
}

fn main() {
    // `cargo test` builds and starts benches with this flag.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    encode();
    sign();
}
