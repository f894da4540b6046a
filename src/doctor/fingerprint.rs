//! What of a host a latency depends on, small enough to stand in every report.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::host::Host;

/// Machine, kernel and the settings that move latencies. Two reports with the same hash came from hosts that were set alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fingerprint {
    /// The first twelve hexadecimal digits of the SHA-256 of `facts` as JSON.
    pub hash: String,
    /// By name; what the host does not tell is left out. Nothing here names its owner, and nothing changes by itself.
    pub facts: BTreeMap<&'static str, String>,
}

/// Files that hold one of the facts each.
const FILES: [(&str, &str); 15] = [
    ("kernel", "/proc/sys/kernel/osrelease"),
    ("cores online", "/sys/devices/system/cpu/online"),
    ("isolated cores", "/sys/devices/system/cpu/isolated"),
    ("nohz_full", "/sys/devices/system/cpu/nohz_full"),
    ("smt", "/sys/devices/system/cpu/smt/control"),
    ("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    ("energy preference", "/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference"),
    ("no_turbo", "/sys/devices/system/cpu/intel_pstate/no_turbo"),
    ("boost", "/sys/devices/system/cpu/cpufreq/boost"),
    ("idle driver", "/sys/devices/system/cpu/cpuidle/current_driver"),
    ("clock source", "/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("busy_poll", "/proc/sys/net/core/busy_poll"),
    ("busy_read", "/proc/sys/net/core/busy_read"),
    ("congestion control", "/proc/sys/net/ipv4/tcp_congestion_control"),
];

/// Words of the kernel's command line that move latencies; the others are nobody's business.
const KERNEL_WORDS: [&str; 9] = [
    "mitigations",
    "isolcpus",
    "nohz_full",
    "rcu_nocbs",
    "irqaffinity",
    "idle",
    "intel_idle.max_cstate",
    "processor.max_cstate",
    "nosmt",
];

/// Letters of a fact that are kept.
const FACT_CHARS_MAX: usize = 120;

impl Fingerprint {
    /// Of a host.
    pub fn of(host: &Host) -> Self {
        let mut facts: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut add = |name: &'static str, value: Option<String>| {
            let value = value.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                facts.insert(name, value.chars().take(FACT_CHARS_MAX).collect());
            }
        };
        for (name, path) in FILES {
            add(name, host.read(path).ok());
        }
        add("processor", host.field("/proc/cpuinfo", "model name"));
        add(
            "virtual",
            host.read("/proc/cpuinfo").ok().map(|_| if host.is_virtual() { "yes" } else { "no" }.to_owned()),
        );
        add("cores allowed", host.allowed().ok().map(|cpus| cpus.to_string()));
        let words = KERNEL_WORDS.iter().filter_map(|word| Some(format!("{word}={}", host.kernel_word(word)?)));
        add("kernel command line", Some(words.collect::<Vec<_>>().join(" ")));
        let text = serde_json::to_string(&facts).unwrap_or_default();
        let hash = Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { hash, facts }
    }

    /// Of the host that this runs on.
    pub fn observe() -> Self {
        Self::of(&Host::this())
    }
}

/// The fingerprint of this host as JSON: `{"hash": "…", "facts": {…}}`.
pub fn fingerprint() -> serde_json::Value {
    serde_json::to_value(Fingerprint::observe()).unwrap_or_default()
}
