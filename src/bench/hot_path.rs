//! Proves of the hot threads what the README says of them, over the ticks and orders of a bench: no allocation and no free, no system call but
//! the sockets' own, no page fault, no voluntary context switch after warm-up.
//!
//! Calls are not counted but forbidden, by a filter in the kernel (see [`runtime::WitnessPlan`](crate::runtime::WitnessPlan)).
//! Faults and switches are the kernel's own counts of each thread. The threads cannot be ended any more, so the process must be.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::generator::{Orders, SETTLE_NS};
use super::{BenchError, BenchOptions, BenchTls, Carrier, Case, Peer, check, engine, start_generator, wait_for};
use crate::ring::Flag;
use crate::runtime::{Clock, Idle, Live, Provocation, WitnessPlan, alloc};

/// Allocations and frees that TLS may make for one order and what belongs to it: the tick, the order, its answer and its end are four
/// records, each of which rustls seals or opens with an allocation and a free.
pub const TLS_ALLOCATIONS_PER_ORDER_MAX: f64 = 12.0;

/// How long witnesses may take to arm.
const ARM_WITHIN: Duration = Duration::from_secs(10);

/// What one hot thread did between warm-up and the end.
#[derive(Clone, Debug, Serialize)]
pub struct HotThread {
    /// Its duties.
    pub name: String,
    /// Allocations and frees.
    pub allocations: u64,
    /// Page faults that needed no disk.
    pub minor_faults: u64,
    /// Page faults that needed one.
    pub major_faults: u64,
    /// Times that it gave its core away.
    pub voluntary_switches: u64,
    /// Times that the system took its core.
    pub involuntary_switches: u64,
    /// Whether the socket's calls were allowed to it; all others were not.
    pub has_sockets: bool,
}

/// What was proven.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// What carried the bytes.
    pub carrier: Carrier,
    /// Threads of the engine.
    pub topology: String,
    /// What was played.
    pub traffic: String,
    /// Whether memory was locked, so that pages cannot be taken away.
    pub is_memory_locked: bool,
    /// Whether allocations were counted.
    pub counts_allocations: bool,
    /// The hot threads.
    pub threads: Vec<HotThread>,
    /// Ticks played while it was watched.
    pub ticks: u64,
    /// Orders that came of them.
    pub orders: u64,
}

impl Proof {
    /// Allocations and frees of all threads for each order.
    pub fn allocations_per_order(&self) -> f64 {
        let all: u64 = self.threads.iter().map(|thread| thread.allocations).sum();
        all as f64 / self.orders.max(1) as f64
    }

    /// What does not hold, in words; empty if all of it does.
    pub fn failures(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !self.counts_allocations {
            out.push("allocations are not counted in this build".to_owned());
        }
        if self.orders == 0 {
            out.push("no order was sent while it was watched".to_owned());
        }
        for thread in &self.threads {
            let mut expect_none = |count: u64, what: &str| {
                if count > 0 {
                    out.push(format!("thread {}: {count} {what}", thread.name));
                }
            };
            if self.carrier == Carrier::Plain || !thread.has_sockets {
                expect_none(thread.allocations, "allocations and frees");
            }
            expect_none(thread.minor_faults + thread.major_faults, "page faults");
            expect_none(thread.voluntary_switches, "voluntary context switches");
        }
        if self.carrier == Carrier::Tls && self.allocations_per_order() > TLS_ALLOCATIONS_PER_ORDER_MAX {
            out.push(format!(
                "{:.1} allocations and frees for each order, over TLS {TLS_ALLOCATIONS_PER_ORDER_MAX} are allowed",
                self.allocations_per_order()
            ));
        }
        out
    }
}

/// The kernel's counts of one thread.
#[derive(Clone, Copy)]
struct Counts {
    minor: u64,
    major: u64,
    voluntary: u64,
    involuntary: u64,
}

impl Counts {
    fn of(tid: u64) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/self/task/{tid}/status"))?;
        let unreadable = || io::Error::other(format!("/proc/self/task/{tid} is not as expected"));
        // The name may hold anything; behind its bracket come numbered fields, the third first (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse().ok()).ok_or_else(unreadable);
        let line = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).ok_or_else(unreadable)?;
            line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).ok_or_else(unreadable)
        };
        Ok(Self {
            minor: field(10)?,
            major: field(12)?,
            voluntary: line("voluntary_ctxt_switches:")?,
            involuntary: line("nonvoluntary_ctxt_switches:")?,
        })
    }
}

/// Watches a run. Afterwards the process must exit: its hot threads spin and cannot be ended.
///
/// # Errors
/// [`BenchError`]. A forbidden system call ends the process.
pub fn prove(
    case: &Case,
    options: &BenchOptions,
    tls: &BenchTls,
    provocation: Option<Provocation>,
) -> Result<Proof, BenchError> {
    let case = Case { idle: Idle::Spin, ..case.clone() };
    let clock = Clock::new();
    let plan = WitnessPlan { go: Flag::new(), over: Flag::new(), provocation };
    let generator = start_generator(&case, options, Orders::NameTheirTick, tls, &clock)?;
    let peer = Peer::new(generator.addr(), &case, tls);
    let mut live = engine::start_watched(&peer, &case, plan.clone())?;
    // After all rings and buffers are made, and before anything of theirs is used: their pages are there from now on.
    let is_memory_locked = provocation != Some(Provocation::Fault) && lock_memory();
    let is_armed = engine::arm(&mut live, || generator.is_finished() || options.stop.is_set());
    std::thread::sleep(Duration::from_nanos(SETTLE_NS + options.warm_up_ns));
    plan.go.set();
    let before = testimonies(&live)?;
    wait_for(&generator, || false);
    let after = testimonies(&live)?;
    plan.over.set();
    // Before the generator closes its connections: a duty that saw that would close its own.
    while live.witnessed().iter().any(|thread| thread.testimony().is_none_or(|testimony| !testimony.is_parked)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let report = check(generator.join()?, "engine", format!("; armed: {is_armed}"))?;
    let threads = live
        .witnessed()
        .iter()
        .zip(before.iter().zip(&after))
        .map(|(thread, (before, after))| HotThread {
            name: thread.name.clone(),
            allocations: after.0 - before.0,
            minor_faults: after.1.minor - before.1.minor,
            major_faults: after.1.major - before.1.major,
            voluntary_switches: after.1.voluntary - before.1.voluntary,
            involuntary_switches: after.1.involuntary - before.1.involuntary,
            has_sockets: thread.has_sockets,
        })
        .collect();
    let proof = Proof {
        carrier: case.carrier,
        topology: case.topology.to_string(),
        traffic: case.traffic.description(),
        is_memory_locked,
        counts_allocations: alloc::is_installed(),
        threads,
        ticks: report.ticks,
        orders: report.answered,
    };
    // Its threads cannot be joined.
    std::mem::forget(live);
    Ok(proof)
}

/// Allocations and the kernel's counts of every hot thread, once all witnesses have armed.
fn testimonies(live: &Live) -> Result<Vec<(u64, Counts)>, BenchError> {
    let began = Instant::now();
    live.witnessed()
        .iter()
        .map(|thread| {
            loop {
                if let Some(testimony) = thread.testimony() {
                    return Ok((testimony.allocations, Counts::of(testimony.tid)?));
                }
                if began.elapsed() > ARM_WITHIN {
                    return Err(io::Error::other(format!("the witness of thread {} did not arm", thread.name)).into());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        })
        .collect()
}

fn lock_memory() -> bool {
    rustix::mm::mlockall(rustix::mm::MlockAllFlags::CURRENT | rustix::mm::MlockAllFlags::FUTURE).is_ok()
}
