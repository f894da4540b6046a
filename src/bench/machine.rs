//! On what a report was measured: figures without their machine mean nothing.

use std::fs;

use serde::Serialize;

use crate::doctor::Fingerprint;
use crate::ring::{Word, spsc};
use crate::runtime::Clock;

/// The machine and the build, as far as the system tells.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Short hash of what of the machine, its kernel and their settings moves latencies; see [`Fingerprint`].
    pub fingerprint: String,
    /// Model of the processor.
    pub cpu: String,
    /// Logical cores that this process may use.
    pub cores: usize,
    /// Whether two logical cores share a physical one.
    pub smt: String,
    /// Kernel release.
    pub kernel: String,
    /// Frequency governor of the first core.
    pub governor: String,
    /// Whether a hypervisor is below us.
    pub is_virtual: bool,
    /// Flags of the time-stamp counter.
    pub tsc_flags: Vec<String>,
    /// Settings of the kernel and the processor that move latencies, by name; those that the system does not tell are left out.
    pub settings: Vec<(&'static str, String)>,
    /// Cost of one clock stamp.
    pub stamp_ns: f64,
    /// Optimised or not.
    pub profile: &'static str,
    /// What the compiler was allowed to assume of the processor.
    pub target: String,
    /// Version of this program.
    pub version: &'static str,
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

impl Machine {
    /// Looks around.
    pub fn observe(clock: &Clock) -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let flags = field("flags").unwrap_or_default();
        let has = |flag: &str| flags.split(' ').any(|word| word == flag);
        let tsc_flags = ["constant_tsc", "nonstop_tsc", "tsc_known_freq", "rdtscp"];
        let siblings = read("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
        let smt = match siblings {
            Some(list) if list.contains([',', '-']) => format!("on (cpu 0 shares its core: {list})"),
            Some(_) => "off".to_owned(),
            None => "unknown".to_owned(),
        };
        let unknown = || "unknown".to_owned();
        Self {
            fingerprint: Fingerprint::observe().hash,
            cpu: field("model name").unwrap_or_else(unknown),
            cores: cores(),
            smt,
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").unwrap_or_else(unknown),
            is_virtual: has("hypervisor"),
            tsc_flags: tsc_flags.into_iter().filter(|flag| has(flag)).map(str::to_owned).collect(),
            settings: settings(),
            stamp_ns: clock.measure_cost_ns(),
            profile: if cfg!(debug_assertions) { "debug: NOT a measurement" } else { "release" },
            target: target(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Files of the system that say how it is set.
const SETTINGS: [(&str, &str); 10] = [
    ("isolated cpus", "/sys/devices/system/cpu/isolated"),
    ("nohz_full cpus", "/sys/devices/system/cpu/nohz_full"),
    ("idle driver", "/sys/devices/system/cpu/cpuidle/current_driver"),
    ("clock source", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("busy_poll", "/proc/sys/net/core/busy_poll"),
    ("busy_read", "/proc/sys/net/core/busy_read"),
    ("tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem"),
    ("tcp_wmem", "/proc/sys/net/ipv4/tcp_wmem"),
    ("congestion control", "/proc/sys/net/ipv4/tcp_congestion_control"),
];

/// Words of the kernel's command line that move latencies; the others are nobody's business.
const KERNEL_WORDS: [&str; 8] = [
    "mitigations=",
    "isolcpus=",
    "nohz_full=",
    "rcu_nocbs=",
    "irqaffinity=",
    "idle=",
    "intel_idle.max_cstate=",
    "processor.max_cstate=",
];

fn settings() -> Vec<(&'static str, String)> {
    let line = read("/proc/cmdline").unwrap_or_default();
    let is_known = |word: &&str| KERNEL_WORDS.iter().any(|known| word.starts_with(known));
    let words: Vec<&str> = line.split_whitespace().filter(is_known).collect();
    let of =
        |(name, path): (&'static str, &str)| Some((name, read(path)?.split_whitespace().collect::<Vec<_>>().join(" ")));
    let all = std::iter::once(("kernel command line", words.join(" "))).chain(SETTINGS.into_iter().filter_map(of));
    all.filter(|(_, value)| !value.is_empty()).collect()
}

/// Logical cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn target() -> String {
    let features: [(&str, bool); 5] = [
        ("sse4.2", cfg!(target_feature = "sse4.2")),
        ("avx2", cfg!(target_feature = "avx2")),
        ("bmi2", cfg!(target_feature = "bmi2")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("neon", cfg!(target_feature = "neon")),
    ];
    let on: Vec<&str> = features.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
    let assumed = if on.is_empty() { "portable, SIMD chosen at start-up".to_owned() } else { on.join(" ") };
    format!("{} ({assumed})", std::env::consts::ARCH)
}

/// The load averages over 1, 5 and 15 minutes, as text.
pub fn load_average() -> String {
    let text = read("/proc/loadavg").unwrap_or_default();
    let words: Vec<&str> = text.split(' ').take(3).collect();
    if words.len() == 3 { words.join(" ") } else { "unknown".to_owned() }
}

/// How often the system took a core away from a thread of this process that wanted to go on, summed over the threads that
/// live now. Counted from outside the measurement, so that rounds can be judged by it without looking at their latencies.
pub fn preemptions() -> u64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("nonvoluntary_ctxt_switches:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum()
}

/// How long threads of this process that live now were ready and had no core, in nanoseconds; 0 where the system does not
/// tell. It sees what [`preemptions`] does not: few losses that last long.
pub fn waited_ns() -> u64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let of = |task: fs::DirEntry| {
        fs::read_to_string(task.path().join("schedstat")).ok()?.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(of).sum()
}

/// What TCP has sent in this network namespace since it began; the difference of two readings belongs to whoever talked in
/// between. Read from the system's counters, because asking a single socket takes a call that has no safe form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Segments sent, retransmissions left out.
    pub segments: u64,
    /// Acknowledgements that carried no data, as they were received.
    pub pure_acks: u64,
    /// Acknowledgements that were held back and then sent alone.
    pub delayed_acks: u64,
}

impl TcpCounters {
    /// Reads them; zeros where the system does not tell.
    pub fn read() -> Self {
        let [snmp, netstat] =
            ["/proc/self/net/snmp", "/proc/self/net/netstat"].map(|path| read(path).unwrap_or_default());
        Self {
            segments: counter(&snmp, "Tcp:", "OutSegs"),
            pure_acks: counter(&netstat, "TcpExt:", "TCPPureAcks"),
            delayed_acks: counter(&netstat, "TcpExt:", "DelayedACKs"),
        }
    }

    /// What was added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            segments: self.segments.saturating_sub(earlier.segments),
            pure_acks: self.pure_acks.saturating_sub(earlier.pure_acks),
            delayed_acks: self.delayed_acks.saturating_sub(earlier.delayed_acks),
        }
    }
}

/// A value of a table whose rows come in pairs: names, then values, both after the same first word.
fn counter(text: &str, table: &str, name: &str) -> u64 {
    let mut rows = text.lines().filter_map(|line| line.strip_prefix(table));
    let (Some(names), Some(values)) = (rows.next(), rows.next()) else { return 0 };
    let found = names.split_whitespace().zip(values.split_whitespace()).find(|(found, _)| *found == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Round trips of a probe of the way between two cores.
const PROBE_TRIPS: usize = 2_000;

/// How far two cores are apart, in nanoseconds one way: half the median round trip. On virtual machines it changes while
/// they run, and explains much of what else does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Distance {
    /// One cache line that both write.
    pub line_one_way_ns: u64,
    /// A number through our ring.
    pub ring_one_way_ns: u64,
}

impl Distance {
    /// Probes both, pinned to these cores.
    pub fn probe(cpus: [Option<usize>; 2], clock: &Clock) -> Self {
        let there = Word::new(0);
        let back = there.clone();
        // The even numbers are ours, the odd ones the other core's, all in the one line.
        let line_one_way_ns = one_way_ns(
            cpus,
            clock,
            move |trip| {
                there.set(2 * trip + 1);
                wait_until(|| there.get() == 2 * trip + 2);
            },
            move || {
                let value = back.get();
                let is_mine = value % 2 == 1;
                if is_mine {
                    back.set(value + 1);
                }
                is_mine
            },
        );
        let (mut there, mut from_here) = spsc::<u64>(64);
        let (mut back, mut from_there) = spsc::<u64>(64);
        let ring_one_way_ns = one_way_ns(
            cpus,
            clock,
            move |trip| {
                // There is never more than one number under way.
                let _ = there.push(trip);
                wait_until(|| from_there.pop().is_some());
            },
            move || match from_here.pop() {
                Some(value) => back.push(value).is_ok(),
                None => false,
            },
        );
        Self { line_one_way_ns, ring_one_way_ns }
    }
}

/// Half the median time of `ask`, which returns when `answer`, called again and again on the other core, has done its part.
fn one_way_ns(
    [here, other]: [Option<usize>; 2],
    clock: &Clock,
    mut ask: impl FnMut(u64) + Send + 'static,
    mut answer: impl FnMut() -> bool + Send + 'static,
) -> u64 {
    let echo = std::thread::spawn(move || {
        super::pin(other);
        for _ in 0..PROBE_TRIPS {
            wait_until(&mut answer);
        }
    });
    let clock = clock.clone();
    let asked = std::thread::spawn(move || {
        super::pin(here);
        let mut trips = Vec::with_capacity(PROBE_TRIPS);
        for trip in 0..PROBE_TRIPS as u64 {
            let start = clock.now();
            ask(trip);
            trips.push(clock.now().saturating_since(start));
        }
        trips.sort_unstable();
        trips[PROBE_TRIPS / 2] / 2
    });
    // Neither can panic; a probe that failed all the same says nothing.
    let _ = echo.join();
    asked.join().unwrap_or(0)
}

/// Spins until it is so. Now and then it yields: both ends may share a core, where spinning keeps the other from its turn.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let mut spins = 0u32;
    while !is_so() {
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(4096) { std::thread::yield_now() } else { crate::ring::spin_hint() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "Ip: A B\nIp: 1 2\nTcp: InSegs OutSegs\nTcp: 30 40\nTcpExt: X\nTcpExt: 5";
        assert_eq!(counter(text, "Tcp:", "OutSegs"), 40);
        assert_eq!(counter(text, "TcpExt:", "X"), 5);
        assert_eq!(counter(text, "Tcp:", "Nothing"), 0);
        assert_eq!(counter("", "Tcp:", "OutSegs"), 0);
    }

    #[test]
    fn a_machine_has_cores_and_a_clock() {
        let clock = Clock::new();
        let machine = Machine::observe(&clock);
        assert!(machine.cores > 0 && machine.stamp_ns > 0.0);
        let distance = Distance::probe([None, None], &clock);
        assert!(distance.line_one_way_ns > 0 && distance.ring_one_way_ns > 0, "{distance:?}");
    }
}
