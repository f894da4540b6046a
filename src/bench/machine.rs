//! On what a report was measured: figures without their machine mean nothing.

use std::fs;

use serde::Serialize;

use crate::ring::spsc;
use crate::runtime::Clock;

/// The machine and the build, as far as the system tells.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
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
            cpu: field("model name").unwrap_or_else(unknown),
            cores: cores(),
            smt,
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_else(unknown),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").unwrap_or_else(unknown),
            is_virtual: has("hypervisor"),
            tsc_flags: tsc_flags.into_iter().filter(|flag| has(flag)).map(str::to_owned).collect(),
            stamp_ns: clock.measure_cost_ns(),
            profile: if cfg!(debug_assertions) { "debug: NOT a measurement" } else { "release" },
            target: target(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
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

/// Round trips of the probe of the way between two cores.
const PROBE_TRIPS: usize = 2_000;

/// What a number takes through a ring from one of these cores to the other, one way, in nanoseconds: half the median round
/// trip. On virtual machines it changes while they run, and explains much of what else does.
pub fn ring_one_way_ns(cpus: [Option<usize>; 2], clock: &Clock) -> u64 {
    let (mut there, mut from_here) = spsc::<u64>(64);
    let (mut back, mut from_there) = spsc::<u64>(64);
    let [here, other] = cpus;
    let echo = std::thread::spawn(move || {
        super::pin(other);
        let mut echoed = 0;
        while echoed < PROBE_TRIPS {
            match from_here.pop() {
                Some(value) => {
                    // There is never more than one number under way.
                    let _ = back.push(value);
                    echoed += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
    let clock = clock.clone();
    let asked = std::thread::spawn(move || {
        super::pin(here);
        let mut trips = Vec::with_capacity(PROBE_TRIPS);
        for number in 0..PROBE_TRIPS as u64 {
            let start = clock.now();
            let _ = there.push(number);
            while from_there.pop().is_none() {
                crate::ring::spin_hint();
            }
            trips.push(clock.now().saturating_since(start));
        }
        trips.sort_unstable();
        trips[PROBE_TRIPS / 2] / 2
    });
    // Neither can panic; a probe that failed all the same says nothing.
    let _ = echo.join();
    asked.join().unwrap_or(0)
}

/// The date as `YYYY-MM-DD`, UTC.
pub fn date(unix_s: u64) -> String {
    // Days to a civil date, by eras of 400 years that start in March (Howard Hinnant's derivation).
    let days = (unix_s / 86_400) as i64 + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_709_251_199), "2024-02-29");
        assert_eq!(date(1_709_251_200), "2024-03-01");
        assert_eq!(date(4_102_444_799), "2099-12-31");
    }

    #[test]
    fn a_machine_has_cores_and_a_clock() {
        let clock = Clock::new();
        let machine = Machine::observe(&clock);
        assert!(machine.cores > 0 && machine.stamp_ns > 0.0);
        assert!(ring_one_way_ns([None, None], &clock) > 0);
    }
}
