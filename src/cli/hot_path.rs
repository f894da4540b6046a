//! `tercel bench hot-path`.

use std::path::PathBuf;

use clap::Args;

use super::bench::{SEED, captured_loads};
use super::{Exit, Failure, Outcome};
use crate::bench::hot_path::{Proof, prove};
use crate::bench::{BenchError, BenchOptions, BenchTls, Carrier, Case, FRAME_BYTES, Traffic, cores};
use crate::ring::Flag;
use crate::runtime::{Idle, Provocation, Topology};

/// Ticks played before the witnesses arm.
const WARM_UP_NS: u64 = 1_000_000_000;

/// Arguments of `tercel bench hot-path`.
#[derive(Args)]
pub struct HotPathArgs {
    /// Ticks a second.
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Bytes of a tick's frame on average.
    #[arg(long, default_value_t = 296, value_name = "N",
          value_parser = clap::value_parser!(u32).range(FRAME_BYTES.0 as i64..=FRAME_BYTES.1 as i64))]
    tick_bytes: u32,
    /// Play a captured Bybit feed instead of generated ticks.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// How many times as fast as recorded it is played.
    #[arg(long, default_value_t = 1, value_name = "N", requires = "capture",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pace: u32,
    /// Time that is watched, after a second of warm-up.
    #[arg(long = "for", default_value = "5s", value_name = "TIME")]
    watched: crate::config::Duration,
    /// Duties by thread, like `feed+core | gateway`.
    #[arg(long, default_value = "feed+core+gateway", value_name = "TOPOLOGY")]
    topology: Topology,
    /// Core of the generator, then of each thread of the engine; pinned to 0, 1, 2, … where there are enough.
    #[arg(long, value_delimiter = ',', value_name = "N,N,…")]
    cpus: Vec<usize>,
    /// Over TLS: allocations of sealing and opening are counted and bounded instead of forbidden.
    #[arg(long)]
    tls: bool,
    /// Write what was found as JSON to standard output.
    #[arg(long)]
    json: bool,
    /// Do what must not be done, once, on every hot thread: the proof must then fail.
    #[arg(long, hide = true, value_enum)]
    provoke: Option<Provoke>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Provoke {
    Call,
    Allocation,
    Fault,
}

/// Runs the command. The process exits with its outcome: its hot threads cannot be ended.
pub fn run(args: &HotPathArgs) -> Outcome {
    let traffic = match &args.capture {
        Some(file) => captured_loads(file, &[args.pace])?
            .pop()
            .ok_or_else(|| Failure::usage(format!("{}: nothing to play", file.display())))?,
        None => Traffic::generated(args.rate, args.tick_bytes as usize, SEED),
    };
    let threads = args.topology.threads().len() + 1;
    if !args.cpus.is_empty() && args.cpus.len() != threads {
        return Err(Failure::usage(format!(
            "--cpus: found {} cores, needed are {threads}: the generator's, then one for each thread of `{}`",
            args.cpus.len(),
            args.topology
        )));
    }
    let cpus = match args.cpus.is_empty() {
        true if threads <= cores() => (0..threads).collect(),
        true => Vec::new(),
        false => args.cpus.clone(),
    };
    let case = Case {
        traffic,
        carrier: if args.tls { Carrier::Tls } else { Carrier::Plain },
        topology: args.topology.clone(),
        cpus,
        idle: Idle::Spin,
    };
    let options = BenchOptions {
        warm_up_ns: WARM_UP_NS,
        measure_ns: args.watched.0,
        rounds: 1,
        worst: 0,
        rival: None,
        // Ctrl-C ends the process, which leaves nothing behind.
        stop: Flag::new(),
    };
    let provocation = args.provoke.map(|provoke| match provoke {
        Provoke::Call => Provocation::Call,
        Provoke::Allocation => Provocation::Allocation,
        Provoke::Fault => Provocation::Fault,
    });
    eprintln!(
        "watching `{}` over {} for {} after a second of warm-up: {}",
        case.topology,
        case.carrier.name(),
        args.watched,
        case.traffic.description()
    );
    let proof = match prove(&case, &options, &BenchTls::generate()?, provocation) {
        Ok(proof) => proof,
        // Threads that were already watched cannot be ended, and one that ends makes forbidden calls.
        Err(error) => exit(Err(error), args.json),
    };
    exit(Ok(proof), args.json)
}

fn exit(outcome: Result<Proof, BenchError>, as_json: bool) -> ! {
    let code = match outcome {
        Ok(proof) => {
            let failures = proof.failures();
            if as_json {
                let failures = serde_json::json!({ "proof": proof, "failures": failures });
                println!("{failures:#}");
            } else {
                print(&proof);
            }
            for failure in &failures {
                eprintln!("NOT PROVEN: {failure}");
            }
            if failures.is_empty() { Exit::Good } else { Exit::Failed }
        }
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    };
    std::process::exit(code as i32)
}

fn print(proof: &Proof) {
    println!(
        "{} ticks, {} orders over {} on `{}`; memory {}",
        proof.ticks,
        proof.orders,
        proof.carrier.name(),
        proof.topology,
        if proof.is_memory_locked { "locked" } else { "not locked (no permission)" }
    );
    println!(
        "\n| hot thread | allocations, frees | page faults | voluntary switches | involuntary | system calls but the socket's own |"
    );
    println!("|---|---:|---:|---:|---:|---|");
    for thread in &proof.threads {
        println!(
            "| {} | {} | {} | {} | {} | {} |",
            thread.name,
            thread.allocations,
            thread.minor_faults + thread.major_faults,
            thread.voluntary_switches,
            thread.involuntary_switches,
            if thread.has_sockets { "none: the kernel kills for them" } else { "none, and none of sockets either" }
        );
    }
    if proof.carrier == Carrier::Tls {
        println!("\n{:.2} allocations and frees for each order, by TLS", proof.allocations_per_order());
    }
}
