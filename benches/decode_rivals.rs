//! Decoders side by side: ours, in every way that the processor can, and the usual ones.
//!
//! Each table takes the messages of one family as captured and gives, for each contender, nanoseconds a message: the
//! median over interleaved rounds (A B C A B C …), and the median of its ratio to `simd-json` in the same round. Every
//! contender turns bytes into the same integers; the sums are compared before anything is timed. `memcpy` is the floor.
//! Captures come from `TERCEL_CAPTURES` (or `../shared/captures`); without them nothing is measured, and said so.
//!
//! `cargo bench --bench decode_rivals [-- FILTER]`; `RUSTFLAGS='-C target-cpu=native'` gives the rivals their best.

use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use simd_json::Node;
use simd_json::prelude::StaticNode;
use tercel::types::{Event, InstrumentSpec, InstrumentTable, Level, Product, Step, Symbol, TopCheck, VenueId};
use tercel::venue::fuzz::Quick;
use tercel::venue::{Arrival, FeedConfig, MarketFeed, Simd};

/// Rounds; the median over them is told.
const ROUNDS: usize = 9;

/// Most messages of a family.
const MESSAGES_MAX: usize = 1_000;

struct Family {
    name: &'static str,
    venue: VenueId,
    capture: &'static str,
    /// Symbol, tick, lot.
    instrument: (&'static str, &'static str, &'static str),
    /// What all of its messages hold.
    marks: &'static [&'static str],
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Lists `b` and `a` of rows, anywhere in the message.
    Levels,
    /// `b`, `B`, `a` and `A` are texts.
    Top,
    /// So are `p` and `q`.
    Trade,
    /// A list, in which `p` and `v` are.
    Trades,
    /// So are those of `bid1Price`, `bid1Size`, `ask1Price`, `ask1Size` and `lastPrice` that are there.
    Ticker,
}

const FAMILIES: [Family; 6] = [
    Family {
        name: "Bybit linear deltas, BTCUSDT, 200 levels",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["\"orderbook.200.BTCUSDT\"", "\"delta\""],
        shape: Shape::Levels,
    },
    Family {
        name: "Binance USD-M depth, BTCUSDT",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["\"depthUpdate\""],
        shape: Shape::Levels,
    },
    Family {
        name: "Binance USD-M bookTicker",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["@bookTicker\""],
        shape: Shape::Top,
    },
    Family {
        name: "Binance USD-M trade",
        venue: VenueId::BINANCE_USDM,
        capture: "binance-usdm/20240808-btcusdt",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["@trade\""],
        shape: Shape::Trade,
    },
    Family {
        name: "Bybit trades",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["\"publicTrade.BTCUSDT"],
        shape: Shape::Trades,
    },
    Family {
        name: "Bybit tickers",
        venue: VenueId::BYBIT,
        capture: "bybit/linear-20260809-4sym-ob200",
        instrument: ("BTCUSDT", "0.10", "0.001"),
        marks: &["\"tickers.BTCUSDT"],
        shape: Shape::Ticker,
    },
];

/// Tick and lot.
type Steps = (Step, Step);

/// The step of the number that a member is as a text, if it is one that is read.
fn step_of(shape: Shape, key: &str, (px, qty): Steps) -> Option<Step> {
    Some(match (shape, key) {
        (Shape::Top, "b" | "a") | (Shape::Trade | Shape::Trades, "p") => px,
        (Shape::Top, "B" | "A") | (Shape::Trade, "q") | (Shape::Trades, "v") => qty,
        (Shape::Ticker, "bid1Price" | "ask1Price" | "lastPrice") => px,
        (Shape::Ticker, "bid1Size" | "ask1Size") => qty,
        _ => return None,
    })
}

fn px_qty((px, qty): Steps, row: (&str, &str)) -> i64 {
    px.parse(row.0.as_bytes()).unwrap() + qty.parse(row.1.as_bytes()).unwrap()
}

/// Through serde, into structs with borrowed texts. The same for `serde_json` and `simd-json`.
mod typed {
    use super::*;

    /// Bybit's messages and Binance's wrapped ones both have the content in `data`.
    #[derive(Deserialize)]
    pub struct Wrapped<T> {
        pub data: T,
    }

    #[derive(Deserialize)]
    pub struct Levels<'a> {
        #[serde(borrow)]
        pub b: Vec<(&'a str, &'a str)>,
        pub a: Vec<(&'a str, &'a str)>,
    }

    #[derive(Deserialize)]
    #[allow(non_snake_case)]
    pub struct Top<'a> {
        pub b: &'a str,
        pub B: &'a str,
        pub a: &'a str,
        pub A: &'a str,
    }

    #[derive(Deserialize)]
    pub struct Trade<'a> {
        pub p: &'a str,
        #[serde(alias = "v")]
        pub q: &'a str,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    pub struct Ticker<'a> {
        #[serde(borrow, rename = "bid1Price")]
        pub bid_px: Option<&'a str>,
        #[serde(rename = "bid1Size")]
        pub bid_qty: Option<&'a str>,
        #[serde(rename = "ask1Price")]
        pub ask_px: Option<&'a str>,
        #[serde(rename = "ask1Size")]
        pub ask_qty: Option<&'a str>,
        #[serde(rename = "lastPrice")]
        pub last_px: Option<&'a str>,
    }

    pub fn sum_trades(found: &[Trade<'_>], steps: Steps) -> i64 {
        found.iter().map(|trade| px_qty(steps, (trade.p, trade.q))).sum()
    }

    pub fn sum_ticker(found: &Ticker<'_>, (px, qty): Steps) -> i64 {
        let read = |text: Option<&str>, step: Step| text.map_or(0, |text| step.parse(text.as_bytes()).unwrap());
        let levels =
            read(found.bid_px, px) + read(found.bid_qty, qty) + read(found.ask_px, px) + read(found.ask_qty, qty);
        levels + read(found.last_px, px)
    }

    /// What `parse` makes of the message, in the type that its shape needs.
    macro_rules! sum {
        ($parse:expr, $shape:expr, $steps:expr) => {
            match $shape {
                Shape::Levels => typed::sum_levels(&$parse.unwrap(), $steps),
                Shape::Top => typed::sum_top(&$parse.unwrap(), $steps),
                Shape::Trade => typed::sum_trades(
                    &[{
                        let found: typed::Wrapped<typed::Trade<'_>> = $parse.unwrap();
                        found.data
                    }],
                    $steps,
                ),
                Shape::Trades => {
                    let found: typed::Wrapped<Vec<typed::Trade<'_>>> = $parse.unwrap();
                    typed::sum_trades(&found.data, $steps)
                }
                Shape::Ticker => {
                    let found: typed::Wrapped<typed::Ticker<'_>> = $parse.unwrap();
                    typed::sum_ticker(&found.data, $steps)
                }
            }
        };
    }
    pub(crate) use sum;

    pub fn sum_levels(found: &Wrapped<Levels<'_>>, steps: Steps) -> i64 {
        found.data.b.iter().chain(&found.data.a).map(|&row| px_qty(steps, row)).sum()
    }

    pub fn sum_top(found: &Wrapped<Top<'_>>, steps: Steps) -> i64 {
        px_qty(steps, (found.data.b, found.data.B)) + px_qty(steps, (found.data.a, found.data.A))
    }
}

/// Through serde, each number converted in its visitor: no lists of texts are made. With what `sonic-rs` does best.
mod visitor {
    use std::cell::Cell;

    use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

    use super::*;

    /// Where the numbers go.
    #[derive(Clone, Copy)]
    pub struct Sum<'s> {
        pub steps: Steps,
        pub total: &'s Cell<i64>,
    }

    /// The whole message, then `data`.
    struct Object<'s>(Sum<'s>, bool);
    struct Rows<'s>(Sum<'s>);
    struct Row<'s>(Sum<'s>);
    struct Number<'s>(Sum<'s>, Step);

    macro_rules! seed {
        ($name:ident, $method:ident) => {
            impl<'de> DeserializeSeed<'de> for $name<'_> {
                type Value = ();
                fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                    deserializer.$method(self)
                }
            }
        };
    }
    seed!(Object, deserialize_map);
    seed!(Rows, deserialize_seq);
    seed!(Row, deserialize_seq);
    seed!(Number, deserialize_str);

    impl<'de> Visitor<'de> for Object<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<&str>()? {
                match key {
                    "data" if !self.1 => map.next_value_seed(Object(self.0, true))?,
                    "b" | "a" if self.1 => map.next_value_seed(Rows(self.0))?,
                    _ => map.next_value::<IgnoredAny>().map(|_| ())?,
                }
            }
            Ok(())
        }
    }

    impl<'de> Visitor<'de> for Rows<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("rows")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
            while rows.next_element_seed(Row(self.0))?.is_some() {}
            Ok(())
        }
    }

    impl<'de> Visitor<'de> for Row<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a row")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
            row.next_element_seed(Number(self.0, self.0.steps.0))?;
            row.next_element_seed(Number(self.0, self.0.steps.1))?;
            row.next_element::<IgnoredAny>().map(|_| ())
        }
    }

    impl<'de> Visitor<'de> for Number<'_> {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a decimal")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
            self.0.total.set(self.0.total.get() + self.1.parse(text.as_bytes()).unwrap());
            Ok(())
        }
    }

    pub fn sonic(message: &[u8], steps: Steps) -> i64 {
        let total = Cell::new(0);
        let mut deserializer = sonic_rs::Deserializer::from_slice(message);
        Object(Sum { steps, total: &total }, false).deserialize(&mut deserializer).unwrap();
        total.get()
    }
}

/// A pull parser.
mod pull {
    use jiter::{Jiter, NumberInt, Peek};

    use super::*;

    fn rows(jiter: &mut Jiter<'_>, steps: Steps) -> i64 {
        let mut total = 0;
        let mut more = jiter.next_array().unwrap();
        while more.is_some() {
            jiter.next_array().unwrap().unwrap();
            total += steps.0.parse(jiter.known_str().unwrap().as_bytes()).unwrap();
            jiter.array_step().unwrap().unwrap();
            total += steps.1.parse(jiter.known_str().unwrap().as_bytes()).unwrap();
            assert!(jiter.array_step().unwrap().is_none());
            more = jiter.array_step().unwrap();
        }
        total
    }

    fn data(jiter: &mut Jiter<'_>, shape: Shape, steps: Steps) -> i64 {
        let mut total = 0;
        let mut key = jiter.next_object().unwrap();
        while let Some(name) = key {
            match (name, shape) {
                ("b" | "a", Shape::Levels) => total += rows(jiter, steps),
                _ => match step_of(shape, name, steps) {
                    Some(step) => total += step.parse(jiter.next_str().unwrap().as_bytes()).unwrap(),
                    None => skip(jiter),
                },
            }
            key = jiter.next_key().unwrap();
        }
        total
    }

    fn skip(jiter: &mut Jiter<'_>) {
        let peek = jiter.peek().unwrap();
        if peek == Peek::String {
            black_box(jiter.known_str().unwrap());
        } else if peek.is_num() {
            let NumberInt::Int(found) = jiter.known_int(peek).unwrap() else { panic!("a big number") };
            black_box(found);
        } else {
            jiter.known_skip(peek).unwrap();
        }
    }

    pub fn sum(message: &[u8], shape: Shape, steps: Steps) -> i64 {
        let mut jiter = Jiter::new(message);
        let mut total = 0;
        let mut key = jiter.next_object().unwrap();
        while let Some(name) = key {
            if name == "data" && shape == Shape::Trades {
                let mut more = jiter.next_array().unwrap();
                while more.is_some() {
                    total += data(&mut jiter, shape, steps);
                    more = jiter.array_step().unwrap();
                }
            } else if name == "data" {
                total += data(&mut jiter, shape, steps)
            } else {
                skip(&mut jiter)
            }
            key = jiter.next_key().unwrap();
        }
        jiter.finish().unwrap();
        total
    }
}

/// `simd-json`, its buffers and tape reused.
struct Tape {
    text: Vec<u8>,
    buffers: simd_json::Buffers,
    tape: simd_json::Tape<'static>,
}

impl Tape {
    fn new() -> Self {
        let room = 1 << 16;
        let tape = simd_json::Tape(Vec::with_capacity(room));
        Self { text: Vec::with_capacity(room), buffers: simd_json::Buffers::new(room), tape }
    }

    /// Parses and, if the family has them, walks to its numbers.
    fn sum(&mut self, message: &[u8], shape: Shape, steps: Steps) -> i64 {
        self.text.clear();
        // The parser writes into its input.
        self.text.extend_from_slice(message);
        let mut tape = std::mem::replace(&mut self.tape, simd_json::Tape(Vec::new())).reset();
        simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape).unwrap();
        let total = Self::walk(&tape.0, shape, steps);
        self.tape = tape.reset();
        total
    }

    /// The index behind the value at `at`.
    fn after(nodes: &[Node<'_>], at: usize) -> usize {
        match nodes[at] {
            Node::Object { count, .. } | Node::Array { count, .. } => at + 1 + count,
            Node::String(_) | Node::Static(_) => at + 1,
        }
    }

    fn text<'a>(nodes: &[Node<'a>], at: usize) -> &'a str {
        match nodes[at] {
            Node::String(text) => text,
            _ => panic!("not a text"),
        }
    }

    fn walk(nodes: &[Node<'_>], shape: Shape, steps: Steps) -> i64 {
        let mut total = 0;
        let Node::Object { len, .. } = nodes[0] else { panic!("not an object") };
        let mut at = 1;
        for _ in 0..len {
            let key = Self::text(nodes, at);
            at += 1;
            let (objects, start) = match (nodes[at], key) {
                (Node::Object { .. }, "data") => (1, at),
                (Node::Array { len, .. }, "data") => (len, at + 1),
                _ => (0, at),
            };
            let mut member_at = start;
            for _ in 0..objects {
                let Node::Object { len, .. } = nodes[member_at] else { panic!("not an object") };
                let mut at = member_at + 1;
                member_at = Self::after(nodes, member_at);
                for _ in 0..len {
                    let key = Self::text(nodes, at);
                    at += 1;
                    match (key, shape) {
                        ("b" | "a", Shape::Levels) => {
                            let Node::Array { len, .. } = nodes[at] else { panic!("not an array") };
                            for row in 0..len {
                                let row = at + 1 + 3 * row;
                                total += px_qty(steps, (Self::text(nodes, row + 1), Self::text(nodes, row + 2)));
                            }
                        }
                        _ => match (step_of(shape, key, steps), nodes[at]) {
                            (Some(step), _) => total += step.parse(Self::text(nodes, at).as_bytes()).unwrap(),
                            (None, Node::Static(StaticNode::U64(number))) => {
                                black_box(number);
                            }
                            _ => {}
                        },
                    }
                    at = Self::after(nodes, at);
                }
            }
            at = Self::after(nodes, at);
        }
        total
    }
}

/// `simd-json` through serde.
fn simd_json_typed(
    text: &mut Vec<u8>,
    buffers: &mut simd_json::Buffers,
    message: &[u8],
    shape: Shape,
    steps: Steps,
) -> i64 {
    text.clear();
    text.extend_from_slice(message);
    typed::sum!(simd_json::serde::from_slice_with_buffers(text, buffers), shape, steps)
}

/// A contender: a sum for each message.
type Contender<'c> = (String, Box<dyn FnMut(&[u8]) -> i64 + 'c>);

fn sum_of(levels: &[Level]) -> i64 {
    levels.iter().map(|level| level.px.get() + level.qty.get()).sum()
}

fn sum_event(event: &Event<'_>) -> i64 {
    match event {
        Event::Book(book) => sum_of(book.bids) + sum_of(book.asks),
        Event::Top(top) if top.check == TopCheck::AtOrBefore => {
            top.bid.map_or(0, |level| sum_of(&[level])) + top.ask.map_or(0, |level| sum_of(&[level]))
        }
        Event::Trade(trade) => trade.px.get() + trade.qty.get(),
        Event::Ticker(ticker) => ticker.last_px.get(),
        _ => 0,
    }
}

fn contenders<'c>(family: &'c Family, table: &'c InstrumentTable, steps: Steps) -> Vec<Contender<'c>> {
    let shape = family.shape;
    let mut tape = Tape::new();
    let mut out: Vec<Contender<'c>> =
        vec![("simd-json, tape and walk".into(), Box::new(move |message: &[u8]| tape.sum(message, shape, steps)))];
    let mut buffers = simd_json::Buffers::new(1 << 16);
    let mut text = Vec::new();
    out.push((
        "simd-json, typed".into(),
        Box::new(move |message: &[u8]| simd_json_typed(&mut text, &mut buffers, message, shape, steps)),
    ));
    out.push((
        "serde_json, typed".into(),
        Box::new(move |message: &[u8]| typed::sum!(serde_json::from_slice(message), shape, steps)),
    ));
    if shape == Shape::Levels {
        out.push(("sonic-rs, visitor".into(), Box::new(move |message: &[u8]| visitor::sonic(message, steps))));
    }
    out.push(("jiter, pull".into(), Box::new(move |message: &[u8]| pull::sum(message, shape, steps))));
    for simd in Simd::all() {
        let mut quick = Quick::new(family.venue, table, simd);
        out.push((
            format!("ours, {}", simd.name()),
            Box::new(move |message: &[u8]| quick.sum(message).expect("the scanner takes it")),
        ));
    }
    let config = FeedConfig { assume_empty: true, ..FeedConfig::default() };
    let mut feed = MarketFeed::new(family.venue, table, config).unwrap();
    out.push((
        format!("ours, with the feed's rules ({})", Simd::detect().name()),
        Box::new(move |message: &[u8]| {
            let mut total = 0;
            let mut sink = |event: &Event<'_>| total += sum_event(black_box(event));
            let _ = black_box(feed.on_frame(message, Arrival::default(), || 0, &mut sink));
            total
        }),
    ));
    let mut copy = vec![0; 1 << 20];
    out.push((
        "memcpy".into(),
        Box::new(move |message: &[u8]| {
            copy[..message.len()].copy_from_slice(message);
            i64::from(black_box(&copy)[0])
        }),
    ));
    out
}

fn load(family: &Family) -> Option<Vec<Vec<u8>>> {
    let folder = std::env::var_os("TERCEL_CAPTURES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).into());
    let file = std::fs::File::open(folder.join(format!("{}.jsonl.gz", family.capture))).ok()?;
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).ok()?;
    let holds = |line: &[u8], mark: &str| line.windows(mark.len()).any(|window| window == mark.as_bytes());
    let lines = text.split(|&byte| byte == b'\n').filter(|line| family.marks.iter().all(|mark| holds(line, mark)));
    // Time, tab, message.
    let message = |line: &[u8]| line.iter().position(|&byte| byte == b'\t').map(|tab| line[tab + 1..].to_vec());
    Some(lines.filter_map(message).take(MESSAGES_MAX).collect())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("best of this processor: {}; {ROUNDS} rounds", Simd::detect().name());
    for family in FAMILIES.iter().filter(|family| family.name.contains(&filter)) {
        let Some(messages) = load(family) else {
            println!("\nSKIPPED {}: no capture {}", family.name, family.capture);
            continue;
        };
        let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
        let (symbol, tick, lot) = family.instrument;
        let steps = (step(tick), step(lot));
        let symbol = Symbol::new(symbol.as_bytes()).unwrap();
        let spec = InstrumentSpec::new(family.venue, symbol, Product::Linear, steps.0, steps.1).unwrap();
        let table = InstrumentTable::new(vec![spec]).unwrap();
        let mut contenders = contenders(family, &table, steps);
        let bytes: usize = messages.iter().map(Vec::len).sum();
        let mut levels = 0;
        let mut quick = Quick::new(family.venue, &table, Simd::detect());
        for (idx, message) in messages.iter().enumerate() {
            let found = quick.levels(message).expect("the scanner takes it");
            levels += found.0.len() + found.1.len();
            let want = contenders[0].1(message);
            for (name, sum) in &mut contenders[1..] {
                // The feed may rightly withhold what does not continue a book.
                let is_ours_alone = name == "memcpy" || name.contains("rules");
                assert!(is_ours_alone || sum(message) == want, "{}: {name}, message {idx}", family.name);
            }
        }
        let mean = |sum: usize| sum as f64 / messages.len() as f64;
        println!(
            "\n### {}: {} messages, mean {:.0} B, {:.1} levels\n",
            family.name,
            messages.len(),
            mean(bytes),
            mean(levels)
        );
        let mut rounds = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for ((_, sum), rounds) in contenders.iter_mut().zip(&mut rounds) {
                let repeats = (2_000_000 / bytes).max(3);
                let start = Instant::now();
                for _ in 0..repeats {
                    for message in &messages {
                        black_box(sum(black_box(message)));
                    }
                }
                rounds.push(start.elapsed().as_secs_f64() * 1e9 / (repeats * messages.len()) as f64);
            }
        }
        println!("| contender | median ns/message | min | max | of {} |\n|---|---:|---:|---:|---:|", contenders[0].0);
        for ((name, _), times) in contenders.iter().zip(&rounds) {
            let mut ratios: Vec<f64> = times.iter().zip(&rounds[0]).map(|(a, b)| a / b).collect();
            let mut times = times.clone();
            let (median_ns, ratio) = (median(&mut times), median(&mut ratios));
            println!("| {name} | {median_ns:.1} | {:.1} | {:.1} | {ratio:.3} |", times[0], times[times.len() - 1]);
        }
    }
}
