//! `tercel explain`: why an order was sent and what became of it, from a run's journal.
//!
//! The journal is replayed up to the order, with somebody watching: so what is told of book, signals, wish and checks is what
//! the engine had, not what was written down about it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::entry_report::{estimate_json, estimate_text};
use super::journal::{engine, find, link_text, open, table, time_text, write_json};
use super::latency::{STAGES, stamps_of};
use super::report::nanos_text;
use super::{Exit, Failure, Outcome};
use crate::engine::{Engine, Probe};
use crate::journal::{JournalHeader, JournalSteps, Step};
use crate::risk::{Answer, Bound, Check, Measure, RateBudget, Refusal, Request, Risk, Spend};
use crate::runtime::{StampedOrder, rerun};
use crate::strategy::{BuiltIn, View, Wish, Wishes};
use crate::types::{
    BookKind, ClientOrderId, Command, CommandKind, Event, InstrumentSpec, InstrumentTable, Level, Lots, Nanos,
    OrderStatus, Sent, Side, Symbol, Ticks,
};
use crate::venue::bybit::LinkId;
use crate::venue::bybit::codes::reason_text;

/// Arguments of `tercel explain`.
#[derive(Args)]
#[command(after_help = "\
ORDER is our number of the order, decimal (`1027`) or hex (`0x403`), or its id on the wire (`t6a1b2c3d-0000000000000403`).
Without it the orders are listed.

The journal is replayed up to the order: tick, book and signals as the engine had them, the strategy's wish, the answer of each
risk check with its measured value and its limit, the time of each stage, and what the venue said until the order's end.

Examples:
  tercel run --for 20s --journal DIR
  tercel explain --slowest 3 --journal DIR
  tercel explain 1027 --journal DIR")]
pub struct ExplainArgs {
    /// The order.
    order: Option<String>,
    /// Journal: a folder's newest, or one file.
    #[arg(long, value_name = "DIR")]
    journal: PathBuf,
    /// List all orders in the order in which they were sent.
    #[arg(long, conflicts_with_all = ["order", "slowest"])]
    list: bool,
    /// List the N orders that took longest from read to write.
    #[arg(long, value_name = "N", conflicts_with = "order")]
    slowest: Option<usize>,
    /// List what the strategy wanted and risk refused, each with the check that refused it; several times in a row once.
    #[arg(long, conflicts_with_all = ["order", "slowest", "list"])]
    refused: bool,
    /// Levels of each side of the book to show.
    #[arg(long, value_name = "N", default_value_t = 5)]
    levels: usize,
    /// Write it as JSON; `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> Outcome {
    let file = find(&args.journal)?;
    let reader = open(&file)?;
    let header = reader.header().clone();
    let table = table(&header)?;
    let mut steps = JournalSteps::new(reader);
    let told = match &args.order {
        None if args.refused => refused(&mut steps, &header, &table),
        None => list(&mut steps, &header, &table, args.slowest),
        Some(text) => explain(&mut steps, &header, &table, parse_order(text, &header)?, args.levels),
    }?;
    if let Some(json) = &args.json {
        write_json(json, &told)?;
    }
    Ok(Exit::Good)
}

fn parse_order(text: &str, header: &JournalHeader) -> Result<ClientOrderId, Failure> {
    if let Some(link) = LinkId::parse(text.as_bytes()) {
        if link.run_id != header.run_id {
            let (theirs, ours) = (link.run_id, header.run_id);
            return Err(Failure::usage(format!("{text} is of run {theirs:08x}; this journal is of run {ours:08x}")));
        }
        return Ok(link.client_id);
    }
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix('#'));
    let number = hex.map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16));
    number.map(ClientOrderId).map_err(|_| {
        Failure::usage(format!(
            "found `{text}`, allowed is a number like 1027 or 0x403, or an id like t6a1b2c3d-0…0403"
        ))
    })
}

/// What the engine thought, seen from within.
#[derive(Default)]
struct Watcher(RefCell<Seen>);

#[derive(Default)]
struct Seen {
    /// The event at hand, from 1.
    event: u64,
    /// The last wish for a side's quote, by instrument and side.
    quotes: BTreeMap<(u16, u8), SeenWish>,
    /// The last wish to take, by instrument.
    takes: BTreeMap<u16, SeenWish>,
    /// What risk looked at in the event at hand.
    checked: Vec<SeenChecks>,
}

#[derive(Clone, Copy)]
struct SeenWish {
    event: u64,
    at: Nanos,
    /// `None`: no order there.
    wanted: Option<(Ticks, Lots)>,
    position: Lots,
    working: [Lots; 2],
}

struct SeenChecks {
    symbol: Symbol,
    side: Side,
    px: Ticks,
    qty: Lots,
    is_new: bool,
    verdict: Option<Refusal>,
    checks: Vec<Check>,
    /// Whole requests that the rate budget held after this one was taken.
    budget_left: u64,
}

impl Watcher {
    fn next_event(&self) {
        let mut seen = self.0.borrow_mut();
        seen.event += 1;
        seen.checked.clear();
    }
}

impl Probe for Watcher {
    fn since(&mut self, _recv: Nanos) -> u32 {
        0
    }

    fn wished(&self, view: &View<'_>, wishes: &Wishes) {
        let mut seen = self.0.borrow_mut();
        let wish = |wanted| SeenWish {
            event: seen.event,
            at: view.now,
            wanted,
            position: view.position,
            working: view.working,
        };
        let quotes = wishes.quotes.map(|quote| match quote {
            Wish::Same => None,
            Wish::Nothing => Some(wish(None)),
            Wish::Quote { px, qty } => Some(wish(Some((px, qty)))),
        });
        let take = wishes.take.map(|take| wish(Some((take.px, take.qty))));
        for (side, wish) in quotes.into_iter().enumerate() {
            if let Some(wish) = wish {
                // The moment at which it was wanted first, not at which it was wanted still.
                let old = seen.quotes.entry((view.instrument.0, side as u8)).or_insert(wish);
                if old.wanted != wish.wanted {
                    *old = wish;
                }
            }
        }
        if let Some(take) = take {
            seen.takes.insert(view.instrument.0, take);
        }
    }

    fn checked(&self, risk: &Risk, budget: &RateBudget, request: &Request<'_>, verdict: Option<Refusal>) {
        let is_new = request.replaces.0.is_zero();
        self.0.borrow_mut().checked.push(SeenChecks {
            symbol: request.spec.symbol,
            side: request.side,
            px: request.px,
            qty: request.qty,
            is_new,
            verdict,
            checks: risk.checks(request),
            budget_left: budget.left(if is_new { Spend::Create } else { Spend::Amend }),
        });
    }
}

/// Says something to people and keeps it for JSON.
#[derive(Default)]
struct Telling {
    text: String,
    json: Map<String, Value>,
}

impl Telling {
    fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    fn keep(&mut self, name: &str, value: Value) {
        self.json.insert(name.to_owned(), value);
    }
}

fn explain(
    steps: &mut JournalSteps,
    header: &JournalHeader,
    table: &InstrumentTable,
    id: ClientOrderId,
    levels: usize,
) -> Result<Value, Failure> {
    let watcher = Watcher::default();
    watcher.next_event();
    let mut engine = engine(header, table, watcher)?;
    let mut begun: Option<(Telling, Life)> = None;
    let found = rerun(&mut engine, steps, |step, engine| {
        let is_it = |command: &&Command| {
            command.client_id == id
                && matches!(command.kind, CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop)
        };
        if let Some(command) = step.commands.iter().map(|lived| &lived.command).find(is_it)
            && let Some(spec) = table.get(command.instrument)
        {
            let mut telling = Telling::default();
            tell_decision(&mut telling, header, spec, command, step, engine, levels);
            let mut life = Life::new(*command, *spec);
            for lived in step.commands {
                life.on_command(&lived.command, lived.is_taken);
            }
            begun = Some((telling, life));
            return ControlFlow::Break(());
        }
        engine.probe().next_event();
        ControlFlow::Continue(())
    })?;
    if let Some(difference) = found.difference {
        return Err(Failure::from(format!(
            "the replay differs from the journal at event {}, before this order: see tercel replay --journal",
            difference.event
        )));
    }
    let (mut telling, mut life) =
        begun.ok_or_else(|| Failure::usage(format!("no order {} in this journal; --list lists them", id.0)))?;
    while let Some(step) = steps.next_step()? {
        life.on_event(&step.event);
        for lived in step.commands {
            life.on_command(&lived.command, lived.is_taken);
        }
    }
    life.tell(&mut telling);
    print!("{}", telling.text);
    Ok(Value::Object(telling.json))
}

fn px_qty(spec: &InstrumentSpec, px: Ticks, qty: Lots) -> String {
    format!("{} at {}", spec.lot.text(qty.get()), spec.tick.text(px.get()))
}

/// Everything up to the moment at which the order left the core.
fn tell_decision(
    t: &mut Telling,
    header: &JournalHeader,
    spec: &InstrumentSpec,
    command: &Command,
    step: &Step<'_>,
    engine: &Engine<BuiltIn, Watcher>,
    levels: usize,
) {
    let seen = engine.probe().0.borrow();
    let link = link_text(header, command);
    let side = side_text(command.side);
    let reduces = if command.reduce_only { ", reduce-only" } else { "" };
    t.line(format!("order {} ({link})", command.client_id.0));
    let what = px_qty(spec, command.px, command.qty);
    let waits = command.trigger.map_or_else(String::new, |by| format!(", once the {} price is there", by.name()));
    t.line(format!("  {side} {what} {}, {:?}{reduces}{waits}", spec.symbol, command.tif));
    t.keep(
        "order",
        json!({
            "client_id": command.client_id.0, "link_id": link, "instrument": spec.symbol.as_str(), "side": side,
            "px": spec.tick.text(command.px.get()), "qty": spec.lot.text(command.qty.get()),
            "tif": format!("{:?}", command.tif), "reduce_only": command.reduce_only, "at": command.at.get(),
        }),
    );

    let meta = step.event.meta();
    let told = event_text(&step.event, spec);
    t.line(format!("cause: event {}, {told}", seen.event));
    let venue_ts = if meta.venue_ts == Nanos::ZERO { "not told".to_owned() } else { time_text(meta.venue_ts) };
    t.line(format!("  venue time {venue_ts}, received {}, sequence {}", time_text(meta.recv), meta.seq));
    t.keep(
        "cause",
        json!({
            "event": seen.event, "kind": step.event.kind_name(), "text": told, "venue_ts": meta.venue_ts.get(),
            "recv": meta.recv.get(), "seq": meta.seq,
        }),
    );

    if let Some(view) = engine.view(command.instrument) {
        tell_market(t, &view, levels);
    }

    let promise = engine.entry().promise(command.instrument, command.side).filter(|it| !it.qty.is_zero());
    if !command.reduce_only
        && let Some((promise, estimate)) = promise.and_then(|it| Some((it, it.estimate?)))
        && engine.entry().is_on()
    {
        t.line(format!("expected of {}: {}", spec.lot.text(promise.qty.get()), estimate_text(&estimate)));
        t.keep("expected", estimate_json(&estimate));
    }

    if command.trigger.is_some() {
        // No wish for a quote and no check of risk led to it.
        t.line("a stop order: it protects the position, for which nothing is checked and nothing reserved");
        return;
    }
    let quoted = seen.quotes.get(&(command.instrument.0, command.side as u8));
    let taken = seen.takes.get(&command.instrument.0).filter(|take| take.event == seen.event);
    let is_it = |wish: &&SeenWish| wish.wanted.is_some_and(|(px, _)| px == command.px);
    let wish = taken.filter(is_it).or(quoted);
    if let Some(wish) = wish {
        let wanted = wish.wanted.map_or("no order".to_owned(), |(px, qty)| px_qty(spec, px, qty));
        let verb = if taken.filter(is_it).is_some() { "take" } else { "quote" };
        let (position, working) = (wish.position, wish.working.map(|qty| spec.lot.text(qty.get())));
        let since = command.at.get().max(engine.now().get()).saturating_sub(wish.at.get());
        let when = if wish.event == seen.event { "now".to_owned() } else { format!("{} before", nanos_text(since)) };
        t.line(format!("wish ({when}): {verb} {side} {wanted}"));
        t.line(format!(
            "  position then {}, working {} bid and {} ask",
            spec.lot.text(position.get()),
            working[0],
            working[1]
        ));
        t.keep(
            "wish",
            json!({
                "kind": verb, "side": side, "event": wish.event, "before_ns": since,
                "px": wish.wanted.map(|(px, _)| spec.tick.text(px.get())),
                "qty": wish.wanted.map(|(_, qty)| spec.lot.text(qty.get())),
                "position": spec.lot.text(position.get()), "working": working,
            }),
        );
    }

    let checked = seen.checked.iter().find(|seen| {
        let is_same = (seen.symbol, seen.side, seen.px) == (spec.symbol, command.side, command.px);
        is_same && seen.is_new && seen.verdict.is_none()
    });
    if let Some(checked) = checked {
        tell_checks(t, spec, checked);
    }
}

fn tell_market(t: &mut Telling, view: &View<'_>, levels: usize) {
    let spec = view.spec;
    let depth = |side: Side| -> Vec<Level> {
        let mut out = vec![Level::default(); levels];
        let count = view.book.depth(side, &mut out);
        out.truncate(count);
        out
    };
    let (bids, asks) = (depth(Side::Bid), depth(Side::Ask));
    let level = |level: Option<&Level>| {
        level.map_or_else(
            || ["-".to_owned(), "-".to_owned()],
            |l| [spec.lot.text(l.qty.get()), spec.tick.text(l.px.get())],
        )
    };
    t.line("book at the decision");
    for idx in 0..bids.len().max(asks.len()) {
        let ([bid_qty, bid_px], [ask_qty, ask_px]) = (level(bids.get(idx)), level(asks.get(idx)));
        t.line(format!("  {bid_qty:>14} {bid_px:>14} | {ask_px:<14} {ask_qty:<14}"));
    }
    let list = |levels: &[Level]| -> Vec<[String; 2]> {
        levels.iter().map(|l| [spec.tick.text(l.px.get()), spec.lot.text(l.qty.get())]).collect()
    };
    t.keep("book", json!({ "bids": list(&bids), "asks": list(&asks) }));
    let touch = [view.touch.bid, view.touch.ask].map(|side| side.map(|l| px_qty(spec, l.px, l.qty)));
    let [bid, ask] = touch.clone().map(|side| side.unwrap_or_else(|| "-".to_owned()));
    t.line(format!("  newest touch, of book and top stream: bid {bid}, ask {ask}"));
    let s = view.signals;
    let signals = [
        ("mid_ticks", s.mid()),
        ("microprice_ticks", s.microprice()),
        ("imbalance", s.imbalance()),
        ("imbalance_smooth", s.imbalance_smooth()),
        ("variance_ticks2_per_s", s.variance_per_s(view.now)),
        ("flow_per_s", s.flow_per_s(view.now)),
        ("traded_per_s", s.traded_per_s(view.now)),
    ];
    let texts: Vec<String> = signals.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    t.line("signals");
    for three in texts.chunks(4) {
        t.line(format!("  {}", three.join("   ")));
    }
    t.keep("touch", json!({ "bid": touch[0], "ask": touch[1] }));
    let signals: Map<String, Value> =
        signals.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    t.keep("signals", Value::Object(signals));
}

fn measure_text(measure: &Measure, spec: &InstrumentSpec) -> String {
    match measure {
        Measure::Money(money) => money.to_string(),
        Measure::Qty(qty) => spec.lot.text(qty.get()),
        Measure::Px(px) => spec.tick.text(px.get()),
        Measure::Count(count) => count.to_string(),
        Measure::Nanos(ns) => nanos_text(*ns),
        Measure::Is(yes) => (if *yes { "yes" } else { "no" }).to_owned(),
    }
}

fn bound_text(bound: &Bound, spec: &InstrumentSpec) -> String {
    let text = |measure: &Measure| measure_text(measure, spec);
    match bound {
        Bound::Is(yes) => format!("must be {}", if *yes { "yes" } else { "no" }),
        Bound::Below(most) => format!("below {}", text(most)),
        Bound::AtMost(most) => format!("at most {}", text(most)),
        Bound::AtLeast(least) => format!("at least {}", text(least)),
        Bound::Within(least, most) => format!("{} to {}", text(least), text(most)),
        Bound::BelowPx(px) => format!("below our own ask at {}", spec.tick.text(px.get())),
        Bound::Above(px) => format!("above our own bid at {}", spec.tick.text(px.get())),
        Bound::Free => "no order of ours on the other side".to_owned(),
    }
}

fn tell_checks(t: &mut Telling, spec: &InstrumentSpec, checked: &SeenChecks) {
    t.line("risk checks");
    let mut kept = Vec::new();
    for check in &checked.checks {
        let answer = match check.answer {
            Answer::Passed => "passed",
            Answer::Refused => "REFUSED",
            Answer::Waived => "waived",
            Answer::Unknown => "unknown",
        };
        let measured = check.measured.map_or_else(|| "-".to_owned(), |measure| measure_text(&measure, spec));
        let bound = bound_text(&check.bound, spec);
        t.line(format!("  {answer:<8} {:<17} {measured:>18}  {bound}", check.check.name()));
        kept.push(json!({ "check": check.check.name(), "answer": answer, "measured": measured, "limit": bound }));
    }
    let (name, left) = (Refusal::OrderRate.name(), checked.budget_left);
    t.line(format!("  {:<8} {name:<17} {left:>18}  requests left in the rate budget after this one", "passed"));
    kept.push(json!({ "check": name, "answer": "passed", "measured": left.to_string(), "limit": "at least 0" }));
    t.keep("checks", kept.into());
}

const fn side_text(side: Side) -> &'static str {
    match side {
        Side::Bid => "buy",
        Side::Ask => "sell",
    }
}

/// An event in words, as far as it concerns `spec`.
fn event_text(event: &Event<'_>, spec: &InstrumentSpec) -> String {
    let level = |l: &Level| match l.qty {
        Lots::ZERO => format!("none at {}", spec.tick.text(l.px.get())),
        qty => px_qty(spec, l.px, qty),
    };
    match event {
        Event::Book(book) => {
            let sides = [("bid", book.bids), ("ask", book.asks)];
            let all = sides.iter().flat_map(|(name, levels)| levels.iter().map(move |l| (name, l)));
            let mut texts: Vec<String> = all.take(4).map(|(name, l)| format!("{name} {}", level(l))).collect();
            let count = book.bids.len() + book.asks.len();
            if count > texts.len() {
                texts.push(format!("{} more", count - texts.len()));
            }
            let kind = if book.kind == BookKind::Snapshot { "snapshot" } else { "change" };
            format!("{kind} of the book of {}: {}", spec.symbol, texts.join(", "))
        }
        Event::Top(top) => {
            let text = |side: Option<Level>| side.map_or_else(|| "-".to_owned(), |l| level(&l));
            format!("top of {}: bid {}, ask {}", spec.symbol, text(top.bid), text(top.ask))
        }
        Event::Trade(e) => {
            format!("trade of {}: somebody {}s {}", spec.symbol, side_text(e.taker), px_qty(spec, e.px, e.qty))
        }
        Event::Ack(e) => format!("acknowledged: {:?}, request {}", e.op, e.request),
        Event::Reject(e) => format!("refused: {:?}, request {}, {:?}, code {}", e.op, e.request, e.kind, e.code),
        Event::Order(e) => {
            let reason = if e.reason == 0 { "" } else { reason_text(e.reason) };
            let by = if e.asked_at == Nanos::ZERO { "" } else { ", when asked" };
            let filled = spec.lot.text(e.filled.get());
            let what = px_qty(spec, e.px, e.qty);
            format!("{}: {what}, filled {filled} {reason}{by}", status_text(e.status)).trim_end().to_owned()
        }
        Event::Fill(e) => {
            let role = if e.is_maker { "maker" } else { "taker" };
            let fee = if e.is_fee_final { "" } else { " (estimate)" };
            let by = if e.is_query { ", when asked" } else { "" };
            format!("filled as {role}: {}, fee {}{fee}{by}", px_qty(spec, e.px, e.qty), e.fee)
        }
        Event::Absent(_) => "the venue, asked, knows no such order".to_owned(),
        Event::Timer(_) => "the timer".to_owned(),
        Event::Control(_, control) => format!("told to {control:?}"),
        Event::Sent(e) => format!("written: request {}", e.request),
        other => other.kind_name().to_owned(),
    }
}

const fn status_text(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::New => "resting",
        OrderStatus::PartiallyFilled => "partly filled",
        OrderStatus::Filled => "wholly filled",
        OrderStatus::Cancelled => "cancelled",
        OrderStatus::Rejected => "rejected",
        OrderStatus::Untriggered => "waits for its trigger",
    }
}

/// The order an event is about, if it is about one of ours.
fn about(event: &Event<'_>) -> Option<ClientOrderId> {
    match event {
        Event::Ack(e) => Some(e.client_id),
        Event::Reject(e) => Some(e.client_id),
        Event::Order(e) => Some(e.client_id),
        Event::Fill(e) => Some(e.client_id),
        Event::Absent(e) => Some(e.client_id),
        Event::Sent(e) => Some(e.client_id),
        _ => None,
    }
}

/// What became of an order after the decision.
struct Life {
    command: Command,
    spec: InstrumentSpec,
    sent: Option<Sent>,
    answered: Option<Nanos>,
    end: Option<OrderStatus>,
    lines: Vec<(Nanos, String)>,
}

impl Life {
    fn new(command: Command, spec: InstrumentSpec) -> Self {
        Self { command, spec, sent: None, answered: None, end: None, lines: Vec::new() }
    }

    fn on_command(&mut self, command: &Command, is_taken: bool) {
        if command.client_id != self.command.client_id {
            return;
        }
        let what = match command.kind {
            CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop => "we place it".to_owned(),
            CommandKind::Amend => format!("we amend it to {}", px_qty(&self.spec, command.px, command.qty)),
            CommandKind::Cancel | CommandKind::CancelForeign => "we cancel it".to_owned(),
            other => format!("we ask: {other:?}"),
        };
        let taken = if is_taken { "" } else { "; no room, it did not leave" };
        let moment = command.at.saturating_add(u64::from(command.stamps.decided_ns));
        self.lines.push((moment, format!("{what} (request {}){taken}", command.request)));
    }

    fn on_event(&mut self, event: &Event<'_>) {
        if about(event) != Some(self.command.client_id) {
            return;
        }
        let at = event.meta().recv;
        match event {
            Event::Sent(sent) if sent.request == self.command.request => self.sent = self.sent.or(Some(*sent)),
            Event::Ack(ack) if ack.request == self.command.request => self.answered = self.answered.or(Some(at)),
            Event::Reject(reject) if reject.request == self.command.request => {
                self.answered = self.answered.or(Some(at));
            }
            Event::Order(update) => {
                let ends = [OrderStatus::Filled, OrderStatus::Cancelled, OrderStatus::Rejected];
                self.end = self.end.or(Some(update.status).filter(|status| ends.contains(status)));
            }
            _ => {}
        }
        self.lines.push((at, event_text(event, &self.spec)));
    }

    fn tell(self, t: &mut Telling) {
        let Self { command, sent, answered, end, lines, .. } = self;
        let since = |at: Nanos| at.saturating_since(command.at);
        t.line("stages, since the read of the cause returned");
        let s = command.stamps;
        let gateway = sent.map(|sent| stamps_of(&command, &sent));
        let stamps = [
            ("framed", Some(u64::from(s.framed_ns))),
            ("decoded", Some(u64::from(s.decoded_ns))),
            ("dequeued", Some(u64::from(s.dequeued_ns))),
            ("decided", Some(u64::from(s.decided_ns))),
            ("taken", gateway.map(|g| g.taken_ns)),
            ("encoded", gateway.map(|g| g.encoded_ns)),
            ("written", gateway.map(|g| g.written_ns)),
            ("acknowledged", answered.map(since)),
        ];
        let mut before = 0;
        let mut kept = Map::new();
        for (name, ns) in stamps {
            kept.insert(name.to_owned(), ns.into());
            let Some(ns) = ns else {
                t.line(format!("  {name:<13} not recorded"));
                continue;
            };
            t.line(format!("  {name:<13}{:>11}  (+{})", nanos_text(ns), nanos_text(ns.saturating_sub(before))));
            before = ns;
        }
        t.keep("stages_ns", kept.into());
        if let Some(gateway) = gateway {
            let parts = StampedOrder { number: 0, stamps: s, gateway }.stages();
            let parts: Map<String, Value> =
                STAGES.iter().zip(parts).map(|((name, _), ns)| ((*name).to_owned(), ns.into())).collect();
            t.keep("spans_ns", parts.into());
        }
        t.line("life");
        let mut kept = Vec::new();
        for (at, text) in lines {
            let ms = since(at) as f64 / 1e6;
            t.line(format!("  {} {ms:>+13.6} ms  {text}", time_text(at)));
            kept.push(json!({ "at": at.get(), "since_ns": since(at), "text": text }));
        }
        let end = end.map(status_text);
        if end.is_none() {
            t.line("  its end is not in the journal");
        }
        t.keep("life", kept.into());
        t.keep("end", end.into());
    }
}

/// What risk refused.
fn refused(steps: &mut JournalSteps, header: &JournalHeader, table: &InstrumentTable) -> Result<Value, Failure> {
    let watcher = Watcher::default();
    watcher.next_event();
    let mut engine = engine(header, table, watcher)?;
    let mut kept = Vec::new();
    let mut last = BTreeMap::new();
    let found = rerun(&mut engine, steps, |step, engine| {
        let seen = engine.probe().0.borrow();
        for checked in &seen.checked {
            let key = (checked.symbol.as_str().to_owned(), checked.side);
            let what = checked.verdict.map(|verdict| (verdict, checked.px, checked.qty));
            let spec = table.iter().map(|(_, spec)| spec).find(|spec| spec.symbol == checked.symbol);
            if last.insert(key, what) != Some(what)
                && let (Some(spec), Some((verdict, px, qty))) = (spec, what)
                && let Some(check) = checked.checks.iter().find(|check| check.check == verdict)
            {
                let side = side_text(checked.side);
                let measured = check.measured.map_or_else(|| "-".to_owned(), |measure| measure_text(&measure, spec));
                let bound = bound_text(&check.bound, spec);
                let kind = if checked.is_new { "new" } else { "amend" };
                println!(
                    "  {} event {:>8}  {kind:<5} {side:<4} {} {}: {} {measured}, {bound}",
                    time_text(step.event.meta().recv),
                    seen.event,
                    px_qty(spec, px, qty),
                    spec.symbol,
                    verdict.name(),
                );
                kept.push(json!({
                    "event": seen.event, "at": step.event.meta().recv.get(), "kind": kind, "side": side,
                    "instrument": spec.symbol.as_str(), "px": spec.tick.text(px.get()),
                    "qty": spec.lot.text(qty.get()), "check": verdict.name(), "measured": measured, "limit": bound,
                }));
            }
        }
        drop(seen);
        engine.probe().next_event();
        ControlFlow::Continue(())
    })?;
    if found.difference.is_some() {
        return Err(Failure::from("the replay differs from the journal: see tercel replay --journal"));
    }
    println!("{} refusals by risk's checks", kept.len());
    Ok(json!({ "run_id": header.run_id, "refused": kept }))
}

/// One order of a list.
struct Line {
    life: Life,
    filled: Lots,
}

fn list(
    steps: &mut JournalSteps,
    header: &JournalHeader,
    table: &InstrumentTable,
    slowest: Option<usize>,
) -> Result<Value, Failure> {
    let mut orders: Vec<Line> = Vec::new();
    let mut at: BTreeMap<u64, usize> = BTreeMap::new();
    while let Some(step) = steps.next_step()? {
        if let Some(line) = about(&step.event).and_then(|id| orders.get_mut(*at.get(&id.0)?)) {
            line.life.on_event(&step.event);
            line.life.lines.clear();
            if let Event::Order(update) = &step.event {
                line.filled = line.filled.max(update.filled);
            }
        }
        for command in step.commands.iter().filter(|lived| lived.is_taken).map(|lived| lived.command) {
            let is_new = matches!(command.kind, CommandKind::New | CommandKind::NewMarket | CommandKind::NewStop);
            if let Some(spec) = table.get(command.instrument).filter(|_| is_new) {
                at.insert(command.client_id.0, orders.len());
                orders.push(Line { life: Life::new(command, *spec), filled: Lots::ZERO });
            }
        }
    }
    let written = |line: &Line| line.life.sent.map(|sent| stamps_of(&line.life.command, &sent).written_ns);
    // What no market message caused has no tick to count from.
    let latency = |line: &Line| written(line).filter(|_| line.life.command.stamps.decoded_ns > 0);
    let count = orders.len();
    if let Some(most) = slowest {
        orders.sort_by_key(|line| std::cmp::Reverse(latency(line)));
        orders.truncate(most);
    }
    println!("{count} orders; read to write where a market message was the cause");
    println!(
        "  {:>8} {:<27} {:<18} {:<14} {:<5} {:<28} {:>10} {:>10}  end",
        "order", "id on the wire", "decided", "instrument", "", "quantity and price", "filled", "to write"
    );
    let mut kept = Vec::new();
    for line in &orders {
        let Life { command, spec, end, .. } = &line.life;
        let end = end.map_or("-", status_text);
        let (link, filled) = (link_text(header, command), spec.lot.text(line.filled.get()));
        println!(
            "  {:>8} {link:<27} {:<18} {:<14} {:<5} {:<28} {filled:>10} {:>10}  {end}",
            command.client_id.0,
            time_text(command.at),
            spec.symbol.as_str(),
            side_text(command.side),
            px_qty(spec, command.px, command.qty),
            latency(line).map_or_else(|| "-".to_owned(), nanos_text),
        );
        kept.push(json!({
            "client_id": command.client_id.0, "link_id": link, "at": command.at.get(),
            "instrument": spec.symbol.as_str(), "side": side_text(command.side),
            "px": spec.tick.text(command.px.get()), "qty": spec.lot.text(command.qty.get()), "filled": filled,
            "tick_to_order_ns": latency(line), "end": end,
        }));
    }
    Ok(json!({ "run_id": header.run_id, "count": count, "orders": kept }))
}
