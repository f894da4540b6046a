//! The report for people.

use std::fmt::{self, Write};

use super::ReportContext;
use super::figures::{Beside, CaseFigures, ContenderFigures, Spread, WorstTick};
use crate::bench::{Contender, LATE_NS, Limits, PREEMPTIONS_PER_S_MAX, WAITED_PERCENT_MAX};

/// Characters of a slow tick's message that are shown; the JSON holds all of it.
const FRAME_CHARS: usize = 160;

pub(super) fn render(context: &ReportContext, cases: &[CaseFigures], throughput: &[Limits]) -> String {
    let mut out = String::with_capacity(16_384);
    // Writing to a String cannot fail.
    let _ = write(&mut out, context, cases, throughput);
    out
}

fn write(out: &mut String, c: &ReportContext, cases: &[CaseFigures], throughput: &[Limits]) -> fmt::Result {
    writeln!(out, "# {}, {}\n", c.name, c.date)?;
    write_question(out, c)?;
    if cases.len() > 1 {
        write_overview(out, cases)?;
    }
    for case in cases {
        writeln!(out, "## {} · `{}` · {}\n", case.carrier.name(), case.topology, case.load)?;
        write_figures(out, c, case)?;
        write_stages(out, c, case)?;
        if !c.in_memory {
            write_rounds(out, case)?;
        }
        write_worst(out, case)?;
        write_traffic(out, c, case)?;
    }
    if !throughput.is_empty() {
        write_throughput(out, throughput)?;
    }
    write_conduct(out, c)?;
    write_machine(out, c)
}

fn write_question(out: &mut String, c: &ReportContext) -> fmt::Result {
    if c.in_memory {
        writeln!(
            out,
            "How long does a tick take from the return of the read that completed its frame to the call of the write that\n\
             carries its order, without sockets? One thread, frame bytes to order bytes; the floor is what the stamps alone cost.\n"
        )?;
    } else {
        writeln!(
            out,
            "How long after a tick is due on the wire does its order arrive, and how much of that is the engine's?\n\n\
             - `floor` answers the same ticks over the same three connections with an engine that thinks nothing.\n\
             - `echo` answers them with as many bytes on one bare socket: no WebSocket, no second connection.\n\
             - `rival` does the engine's job with tokio, tokio-tungstenite, serde_json and BTreeMap, `rival-spin` without sleeping.\n"
        )?;
    }
    writeln!(out, "```\n{}\n```\n", c.command)?;
    for note in &c.notes {
        writeln!(out, "- Not measured: {note}")?;
    }
    if c.notes.is_empty() { Ok(()) } else { writeln!(out) }
}

/// One line for each case.
fn write_overview(out: &mut String, cases: &[CaseFigures]) -> fmt::Result {
    writeln!(out, "## All cases\n")?;
    let sides: Vec<Contender> =
        cases.first().map_or(Vec::new(), |case| case.contenders.iter().map(|figures| figures.contender).collect());
    write!(out, "| µs, p50 / p99 |")?;
    for side in &sides {
        write!(out, " {} |", side.name())?;
    }
    writeln!(out, " excess over floor | over echo |")?;
    writeln!(out, "|---|{}---:|---:|", "---:|".repeat(sides.len()))?;
    for case in cases {
        write!(out, "| {} · `{}` · {} |", case.carrier.name(), case.topology.replace('|', "\\|"), case.load)?;
        for side in &case.contenders {
            let [p50, p99, _] = side.latency_ns.map(|s| micros(s.median)).list();
            write!(out, " {p50} / {p99} |")?;
        }
        let engine = case.contenders.iter().find(|side| side.contender == Contender::Engine);
        let excess = |beside: Option<&Beside>| {
            beside.map_or(String::new(), |beside| {
                let [p50, p99, _] = beside.excess_ns.map(|s| signed(s.median)).list();
                format!("{p50} / {p99}")
            })
        };
        let (floor, echo) = (engine.map(|side| &side.to_floor), engine.and_then(|side| side.to_echo.as_ref()));
        writeln!(out, " {} | {} |", excess(floor), excess(echo))?;
    }
    writeln!(out)
}

fn write_figures(out: &mut String, c: &ReportContext, case: &CaseFigures) -> fmt::Result {
    writeln!(out, "| µs, median of {} rounds (smallest – largest) | p50 | p99 | p99.9 | max |", case.rounds)?;
    writeln!(out, "|---|---:|---:|---:|---:|")?;
    for side in &case.contenders {
        let us = |s: Spread<u64>| format!("{} ({} – {})", micros(s.median), micros(s.min), micros(s.max));
        let [a, b, d] = side.latency_ns.map(us).list();
        writeln!(out, "| {} | {a} | {b} | {d} | {} |", side_name(side, c.in_memory), micros(side.max_ns))?;
    }
    writeln!(out)?;
    write_beside(out, case, "floor", Contender::Floor, |side| Some(&side.to_floor))?;
    write_beside(out, case, "echo", Contender::Echo, |side| side.to_echo.as_ref())?;
    writeln!(
        out,
        "Differences and ratios are medians over the rounds of each round's own pair (smallest – largest in brackets).\n"
    )
}

fn side_name(side: &ContenderFigures, in_memory: bool) -> String {
    match side.contender {
        Contender::Engine if in_memory => "**engine, read to write**".to_owned(),
        Contender::Engine => "**engine**".to_owned(),
        other => other.name().to_owned(),
    }
}

/// Every other side's difference from one of them, and their ratio.
fn write_beside<'a>(
    out: &mut String,
    case: &'a CaseFigures,
    name: &str,
    base: Contender,
    beside: impl Fn(&'a ContenderFigures) -> Option<&'a Beside>,
) -> fmt::Result {
    let others: Vec<(&ContenderFigures, &Beside)> = case
        .contenders
        .iter()
        .filter(|side| side.contender != base)
        .filter_map(|side| Some((side, beside(side)?)))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    writeln!(out, "| beside the {name} | excess p50 µs | excess p99 µs | ratio p50 | ratio p99 |")?;
    writeln!(out, "|---|---:|---:|---:|---:|")?;
    for (side, beside) in others {
        let us = |s: Spread<i64>| format!("{} ({} – {})", signed(s.median), signed(s.min), signed(s.max));
        let times = |s: Spread<f64>| format!("{:.2} ({:.2} – {:.2})", s.median, s.min, s.max);
        let ([e50, e99, _], [r50, r99, _]) = (beside.excess_ns.map(us).list(), beside.ratio.map(times).list());
        writeln!(out, "| {} | {e50} | {e99} | {r50} | {r99} |", side_name(side, false))?;
    }
    writeln!(out)
}

fn write_stages(out: &mut String, c: &ReportContext, case: &CaseFigures) -> fmt::Result {
    writeln!(
        out,
        "Inside the engine: its own stamps, order by order, from the return of the read to the call of the write. A stage holds\n\
         about one stamp ({:.0} ns) of its own. Over sockets they include the warm-up.\n",
        c.machine.stamp_ns
    )?;
    writeln!(out, "| ns | p50 | p99 | p99.9 | max | orders |\n|---|---:|---:|---:|---:|---:|")?;
    let s = &case.latency_ns.stages;
    let rows = [
        ("frame: read returned → frame cut out", &s.frame),
        ("decode: → decoded and sequenced", &s.decode),
        ("queue to core: → taken by the core", &s.queue_core),
        ("decide: → book, signals, strategy, risk", &s.decide),
        ("queue to gateway: → taken by the gateway", &s.queue_gateway),
        ("encode: → order bytes rendered", &s.encode),
        ("send: → write called", &s.send),
        ("**tick to order**", &s.tick_to_order),
    ];
    for (name, p) in rows {
        writeln!(out, "| {name} | {} | {} | {} | {} | {} |", p.p50, p.p99, p.p999, p.max, p.count)?;
    }
    match case.hot_allocations {
        Some(count) => writeln!(out, "\nAllocations on hot duties after warm-up: {count}.\n"),
        None => writeln!(out, "\nAllocations were not counted.\n"),
    }
}

fn write_rounds(out: &mut String, case: &CaseFigures) -> fmt::Result {
    write!(out, "| round |")?;
    for side in &case.contenders {
        write!(out, " {} |", side.contender.name())?;
    }
    writeln!(out, " inside ns | line ns | ring ns | preempted | waited ms |")?;
    writeln!(out, "|---:|{}---:|---:|---:|---:|---:|", "---:|".repeat(case.contenders.len()))?;
    for (idx, round) in case.by_round.iter().enumerate() {
        write!(out, "| {} |", idx + 1)?;
        for side in &round.latency_ns {
            write!(out, " {} |", side.map(micros).list().join(" / "))?;
        }
        let inside = round.tick_to_order_ns.map(|ns| ns.to_string()).list().join(" / ");
        let preempted: Vec<String> = round.preemptions.iter().map(u64::to_string).collect();
        let waited: Vec<String> = round.waited_ns.iter().map(|ns| (ns / 1_000_000).to_string()).collect();
        let distance = round.distance;
        writeln!(
            out,
            " {inside} | {} | {} | {} | {} |",
            distance.line_one_way_ns,
            distance.ring_one_way_ns,
            preempted.join(" / "),
            waited.join(" / ")
        )?;
    }
    writeln!(
        out,
        "\np50 / p99 / p99.9, µs unless said otherwise. Line and ring: one way between the generator's core and the engine's,\n\
         probed before each round. Preempted: how often the system took a core from a thread; waited: how long\n\
         threads were ready without one; both in the order of the sides.\n"
    )
}

fn write_worst(out: &mut String, case: &CaseFigures) -> fmt::Result {
    if case.worst.is_empty() {
        return Ok(());
    }
    writeln!(out, "The slowest ticks, by what the wire shows; each order names its tick.\n")?;
    writeln!(
        out,
        "| µs | round | tick | sent late µs | inside ns | frame / decode / queue / decide / queue / encode / send ns | message |"
    )?;
    writeln!(out, "|---:|---:|---:|---:|---:|---:|---|")?;
    for tick in &case.worst {
        let (inside, stages) = match &tick.inside_ns {
            Some(s) => {
                let stages = [s.frame, s.decode, s.queue_core, s.decide, s.queue_gateway, s.encode, s.send];
                (s.tick_to_order.to_string(), stages.map(|ns| ns.to_string()).join(" / "))
            }
            None => (format!("≤ {}", tick.inside_ns_max), "not among the slowest inside".to_owned()),
        };
        let WorstTick { round, tick: number, latency_ns, late_ns, frame, .. } = tick;
        let (latency, late) = (micros(*latency_ns), micros(*late_ns));
        let message: String = frame.chars().take(FRAME_CHARS).collect();
        let more = if message.len() < frame.len() { "…" } else { "" };
        writeln!(out, "| {latency} | {round} | {number} | {late} | {inside} | {stages} | `{message}{more}` |")?;
    }
    writeln!(
        out,
        "\nWhat is neither lateness nor inside is the sockets', the system's, and waiting for the engine to read.\n"
    )
}

fn write_traffic(out: &mut String, c: &ReportContext, case: &CaseFigures) -> fmt::Result {
    writeln!(out, "- Traffic: {}.", case.traffic)?;
    if c.in_memory {
        return writeln!(out);
    }
    let pinned = match case.cpus.split_first() {
        Some((generator, engine)) => {
            format!("generator on cpu {generator}, engine on {engine:?}, every other side on the first of these")
        }
        None => "not pinned".to_owned(),
    };
    writeln!(out, "- Threads {}; {pinned}.", case.idle)?;
    writeln!(
        out,
        "- A tick's frame has {} bytes on average, an order's text {}. Answered: {:.0} orders a second.",
        case.tick_frame_bytes, case.order_bytes, case.orders_per_s
    )?;
    writeln!(
        out,
        "- Rounds repeated because other work took a core: {}; counted although it did: {}.\n",
        case.rounds_repeated, case.rounds_disturbed
    )?;
    writeln!(
        out,
        "| counts | ticks | asked | answered | unanswered | unmatched | wrong price | sent > {} µs late | lateness p50 / p99 µs | segments a tick | pure acks | delayed acks |",
        LATE_NS / 1000
    )?;
    writeln!(out, "|---|{}", "---:|".repeat(11))?;
    for side in &case.contenders {
        let n = &side.counts;
        let [late50, late99, _] = side.lateness_ns.map(micros).list();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {late50} / {late99} | {:.2} | {:.2} | {:.2} |",
            side.contender.name(),
            n.ticks,
            n.asked,
            n.answered,
            n.unanswered,
            n.unmatched,
            n.wrong_px,
            n.late,
            side.segments_per_tick,
            side.pure_acks_per_tick,
            side.delayed_acks_per_tick
        )?;
    }
    writeln!(out)
}

fn write_throughput(out: &mut String, throughput: &[Limits]) -> fmt::Result {
    writeln!(out, "## Where a queue starts to grow\n")?;
    writeln!(
        out,
        "| load | side | highest rate kept, a second | p50 there µs | lowest rate that grew | generator late there |"
    )?;
    writeln!(out, "|---|---|---:|---:|---:|---|")?;
    for limits in throughput {
        for side in &limits.sides {
            let grew = side.grew_per_s.map_or("none tried".to_owned(), |rate| rate.to_string());
            writeln!(
                out,
                "| {} · `{}` · {} B | {} | {} | {} | {grew} | {} |",
                limits.carrier.name(),
                limits.topology.replace('|', "\\|"),
                limits.tick_frame_bytes,
                side.contender.name(),
                side.kept_per_s,
                micros(side.latency_ns_p50),
                if side.is_generator_late { "yes" } else { "no" }
            )?;
        }
    }
    writeln!(
        out,
        "\nHalf a second a rate, twice where a queue seemed to grow. A rate is kept if every order came and the median of the second\n\
         half is not above that of the first by more than half and 20 µs, and below 1 ms. Where the generator itself was late, the\n\
         limit may be the generator's, who sends two messages for each order and reads one: it is then a lower bound.\n"
    )
}

fn write_conduct(out: &mut String, c: &ReportContext) -> fmt::Result {
    writeln!(out, "## How it was measured\n")?;
    if c.in_memory {
        return writeln!(
            out,
            "- Closed loop: the next tick arrives when the last order is written. There is no waiting to be counted.\n"
        );
    }
    writeln!(
        out,
        "- Waiting: open loop. Ticks are sent when they are due, {} s a side after {} s of warm-up, and latency counts from the\n  \
         moment at which a tick was due, not from when it left, to the return of the read that brought its order.",
        c.measured_s, c.warm_up_s
    )?;
    writeln!(
        out,
        "- Sides take turns within each round: the same ticks, schedule and cores for all.\n\
         - Sockets: loopback TCP, TCP_NODELAY, three connections (market data, order entry, private); the floor has the same three\n  \
         with the same history and reads the same answers. On one thread market data is read each time, the other two in turns. TLS is rustls with a certificate made for this run.\n\
         - Segments are those of the whole network namespace while a side ran, introductions and warm-up included, both directions.\n\
         - A round in which the system took a core from one of the threads more than {PREEMPTIONS_PER_S_MAX} times a second, or let them wait for\n  \
         one for more than {WAITED_PERCENT_MAX} % of the time, on any side, is repeated, whatever its latencies, at most once for each round that is wanted.\n\
         - Every order names its tick; floor and echo know no price, the others' prices are compared with the book's.\n"
    )
}

fn write_machine(out: &mut String, c: &ReportContext) -> fmt::Result {
    let m = &c.machine;
    writeln!(out, "## Machine and build\n")?;
    let virtual_word = if m.is_virtual { ", a virtual machine" } else { "" };
    writeln!(out, "- {} · {} cores · SMT {}{virtual_word} · Linux {}", m.cpu, m.cores, m.smt, m.kernel)?;
    writeln!(out, "- Fingerprint (`tercel doctor --json`): {}", m.fingerprint)?;
    writeln!(out, "- Governor: {} · TSC: {} · a stamp costs {:.1} ns", m.governor, m.tsc_flags.join(" "), m.stamp_ns)?;
    for (name, value) in &m.settings {
        writeln!(out, "- {name}: {value}")?;
    }
    writeln!(out, "- Build: {} {} for {}", m.version, m.profile, m.target)?;
    if let Some(commit) = &c.commit {
        writeln!(out, "- Commit: {commit}")?;
    }
    let [start, end] = &c.load_average;
    writeln!(
        out,
        "- Load average (1, 5, 15 minutes): {start} at the start, {end} at the end. Spinning threads count into it; what is\n  \
         beyond them is other work that took turns on the same cores."
    )
}

/// Nanoseconds as microseconds, with as many decimals as mean something.
fn micros(ns: u64) -> String {
    let us = ns as f64 / 1000.0;
    if ns < 100_000 { format!("{us:.2}") } else { format!("{us:.0}") }
}

fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "−" } else { "" }, micros(ns.unsigned_abs()))
}
