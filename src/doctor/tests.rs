//! Findings over made-up trees: a good machine, a bad one, an empty one, and garbage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::runtime::RealTime;

/// A tree of files that is removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tercel-doctor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    fn with(self, files: &[(&str, &str)]) -> Self {
        for (path, text) in files {
            self.write(path, text.as_bytes());
        }
        self
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn host(&self, clock: Option<KernelClock>) -> Host {
        Host::at(&self.0, clock).with_card(PROMPT)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const LIMITS: &str =
    "Limit Soft Hard Units\nMax locked memory         unlimited unlimited bytes\nMax realtime priority     99 99\n";

/// Eight cores, of which 6 and 7 are isolated, and everything as it should be.
const GOOD: [(&str, &str); 40] = [
    ("/proc/cpuinfo", "model name\t: Fast 9000\nflags\t\t: fpu tsc constant_tsc nonstop_tsc\n"),
    ("/proc/cmdline", "quiet isolcpus=managed_irq,domain,6-7 nohz_full=6-7 rcu_nocbs=6-7 secret=hunter2"),
    ("/proc/self/status", "Name:\ttercel\nCpus_allowed_list:\t0-7\nCapEff:\t0000000000000000\n"),
    ("/proc/self/limits", LIMITS),
    ("/proc/self/cgroup", "0::/system.slice/tercel.service\n"),
    ("/proc/1/cgroup", "0::/init.scope\n"),
    ("/proc/1/comm", "systemd\n"),
    ("/proc/77/comm", "chronyd\n"),
    ("/proc/swaps", "Filename Type Size Used Priority\n"),
    ("/proc/net/route", "Iface Destination Gateway\neth0 00000000 0100000A\n"),
    ("/proc/irq/24/smp_affinity_list", "0-5\n"),
    ("/proc/irq/24/effective_affinity_list", "3\n"),
    ("/proc/irq/24/eth0-rx-0/x", ""),
    ("/proc/sys/kernel/osrelease", "6.12.0\n"),
    ("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"),
    ("/proc/sys/net/core/busy_poll", "50\n"),
    ("/proc/sys/net/core/busy_read", "50\n"),
    ("/proc/sys/net/core/rmem_max", "16777216\n"),
    ("/proc/sys/net/core/wmem_max", "16777216\n"),
    ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t16777216\n"),
    ("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "0\n"),
    ("/proc/sys/vm/nr_hugepages", "0\n"),
    ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "00\n"),
    ("/sys/class/net/eth0/queues/tx-0/xps_cpus", "ff\n"),
    ("/sys/class/net/eth0/gro_flush_timeout", "0\n"),
    ("/sys/class/net/eth0/napi_defer_hard_irqs", "0\n"),
    ("/sys/class/net/eth0/device/numa_node", "0\n"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("/sys/devices/system/cpu/online", "0-7\n"),
    ("/sys/devices/system/cpu/isolated", "6-7\n"),
    ("/sys/devices/system/cpu/nohz_full", "6-7\n"),
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
    ("/sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
    ("/sys/devices/system/node/node0/cpulist", "0-7\n"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("/sys/devices/system/cpu/cpu6/cpufreq/scaling_governor", "performance\n"),
    ("/sys/devices/system/cpu/cpu7/cpufreq/scaling_governor", "performance\n"),
    ("/sys/devices/system/cpu/cpu6/cpuidle/state0/latency", "0\n"),
    ("/sys/devices/system/cpu/cpu6/topology/thread_siblings_list", "6\n"),
    ("/sys/devices/system/cpu/cpu7/topology/thread_siblings_list", "7\n"),
];

/// What is different on a bad one; its cores are still eight.
const BAD: [(&str, &str); 27] = [
    ("/proc/cpuinfo", "model name\t: Slow 1\nflags\t\t: fpu tsc hypervisor\n"),
    ("/proc/cmdline", "quiet"),
    ("/proc/self/limits", "Max locked memory         65536 65536 bytes\nMax realtime priority     0 0\n"),
    ("/sys/fs/cgroup/system.slice/cpu.max", "150000 100000\n"),
    ("/sys/fs/cgroup/system.slice/tercel.service/cpu.max", "max 100000\n"),
    ("/proc/1/cgroup", "12:cpu:/docker/abc\n"),
    ("/proc/78/comm", "irqbalance\n"),
    ("/proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"),
    ("/proc/irq/24/effective_affinity_list", "6\n"),
    ("/proc/sys/net/core/busy_poll", "0\n"),
    ("/proc/sys/net/core/busy_read", "0\n"),
    ("/proc/sys/net/core/rmem_max", "212992\n"),
    ("/proc/sys/net/core/wmem_max", "212992\n"),
    ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t262144\n"),
    ("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n"),
    ("/sys/class/net/eth0/queues/rx-0/rps_cpus", "c0\n"),
    ("/sys/class/net/eth0/gro_flush_timeout", "20000\n"),
    ("/sys/class/net/eth0/napi_defer_hard_irqs", "2\n"),
    ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
    ("/sys/devices/system/cpu/isolated", "\n"),
    ("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
    ("/sys/devices/system/cpu/cpu6/cpufreq/scaling_governor", "powersave\n"),
    ("/sys/devices/system/cpu/cpu6/cpuidle/state0/latency", "133\n"),
    ("/sys/devices/system/cpu/cpu6/topology/thread_siblings_list", "6-7\n"),
    ("/sys/devices/system/cpu/cpu7/topology/thread_siblings_list", "6-7\n"),
    ("/sys/devices/system/node/node1/cpulist", "6\n"),
];

/// A card that holds nothing back.
const PROMPT: Card = Card {
    coalescing: Some(Coalescing { rx_us: 0, rx_frames: 1, is_adaptive: false }),
    lro: Some(false),
    gro: Some(true),
    tso: Some(true),
};

const SYNCHRONISED: KernelClock = KernelClock { is_synchronised: true, error_us: 12, error_us_max: 900 };
const ADRIFT: KernelClock = KernelClock { is_synchronised: false, error_us: 16_000_000, error_us_max: 16_000_000 };

fn intent() -> Intent {
    Intent { cpus: vec![6, 7], threads: 2, spins: true, ..Intent::default() }
}

fn rated(found: &Examination, rating: Rating) -> Vec<&'static str> {
    found.findings.iter().filter(|finding| finding.rating == rating).map(|finding| finding.name).collect()
}

#[test]
fn a_good_machine_has_nothing_to_change() {
    let tree = Tree::new().with(&GOOD);
    let found = Examination::of(&tree.host(Some(SYNCHRONISED)), &intent(), None);
    assert_eq!(rated(&found, Rating::Red), [""; 0]);
    assert_eq!(rated(&found, Rating::Yellow), [""; 0]);
    assert_eq!(rated(&found, Rating::Unknown), [""; 0]);
    assert!(found.findings.iter().all(|finding| finding.change.is_empty()));
}

#[test]
fn a_card_that_holds_packets_back_is_told_how_long() {
    let of = |card: Card| {
        let tree = Tree::new().with(&GOOD);
        let host = tree.host(Some(SYNCHRONISED)).with_card(card);
        let found = Examination::of(&host, &intent(), None);
        let script = Remedy::of(&host, &intent(), &found, "/usr/bin/tercel", "/etc/tercel.toml").to_string();
        let of = |name| found.findings.iter().find(|finding| finding.name == name).unwrap().clone();
        (of("interrupt coalescing"), of("offloads"), script)
    };
    let collecting = |rx_us, rx_frames, is_adaptive| Card {
        coalescing: Some(Coalescing { rx_us, rx_frames, is_adaptive }),
        ..PROMPT
    };
    let (waits, joins, script) = of(collecting(50, 0, false));
    assert_eq!((waits.rating, joins.rating), (Rating::Yellow, Rating::Green));
    assert!(waits.found.contains("50 µs") && waits.cost.contains("50 µs"), "{waits:?}");
    assert!(script.contains("ethtool -C eth0 adaptive-rx off rx-usecs 0") && !script.contains("lro"), "{script}");
    assert_eq!(of(collecting(0, 64, false)).0.rating, Rating::Green);
    assert_eq!(of(collecting(50, 1, false)).0.rating, Rating::Green, "the first packet is told at once");
    assert_eq!(of(collecting(0, 1, true)).0.rating, Rating::Yellow);
    assert_eq!(of(Card { coalescing: None, ..PROMPT }).0.rating, Rating::Green);
    let (_, joins, script) = of(Card { lro: Some(true), ..PROMPT });
    assert_eq!(joins.rating, Rating::Yellow);
    assert!(script.contains("ethtool -K eth0 lro off"), "{script}");
    let unknown = of(Card { lro: None, ..PROMPT }).1;
    assert!(unknown.rating == Rating::Green && unknown.found.contains("lro not told"), "{unknown:?}");
}

#[test]
fn a_bad_machine_is_told_what_each_thing_costs_and_how_to_change_it() {
    let tree = Tree::new().with(&GOOD).with(&BAD);
    let found = Examination::of(&tree.host(Some(ADRIFT)), &intent(), None);
    assert_eq!(rated(&found, Rating::Red), ["cpu quota", "governor", "time-stamp counter", "clock source"]);
    let yellow = rated(&found, Rating::Yellow);
    for name in [
        "isolated cores",
        "rcu_nocbs",
        "SMT siblings",
        "interrupts",
        "irqbalance",
        "NUMA",
        "turbo",
        "idle states",
        "hypervisor",
        "container",
        "clock discipline",
        "transparent huge pages",
        "memory lock limit",
        "swap",
        "busy polling",
        "rmem_max",
        "wmem_max",
        "tcp_rmem",
        "slow start after idle",
        "packet steering",
        "interrupt deferral",
    ] {
        assert!(yellow.contains(&name), "{name} is not yellow: {:?}", found.findings.iter().find(|f| f.name == name));
    }
    for finding in found.findings.iter().filter(|finding| finding.rating >= Rating::Yellow) {
        assert!(!finding.cost.is_empty() && !finding.source.is_empty() && !finding.change.is_empty(), "{finding:?}");
    }
    let quota = found.findings.iter().find(|finding| finding.name == "cpu quota").unwrap();
    assert!(quota.found.contains("150 %"), "{quota:?}");
}

/// The rating of a name, on a good machine with these files instead.
fn rating(files: &[(&str, &str)], intent: &Intent, name: &str) -> Rating {
    let tree = Tree::new().with(&GOOD).with(files);
    let found = Examination::of(&tree.host(Some(SYNCHRONISED)), intent, None);
    found.findings.iter().find(|finding| finding.name == name).unwrap().rating
}

#[test]
fn cores_that_cannot_be_had_are_red() {
    let of = |cpus: &[usize], threads: usize, spins: bool, name: &str| {
        let intent = Intent { cpus: cpus.to_vec(), threads, spins, ..Intent::default() };
        rating(&[], &intent, name)
    };
    assert_eq!(of(&[6, 7], 2, true, "pinned cores"), Rating::Green);
    assert_eq!(of(&[6, 8], 2, true, "pinned cores"), Rating::Red);
    assert_eq!(of(&[6, 6], 2, true, "pinned cores"), Rating::Red);
    assert_eq!(of(&[], 2, true, "pinned cores"), Rating::Yellow);
    assert_eq!(of(&[], 7, true, "enough cores"), Rating::Green);
    assert_eq!(of(&[], 8, true, "enough cores"), Rating::Yellow);
    assert_eq!(of(&[], 9, true, "enough cores"), Rating::Red);
    assert_eq!(of(&[], 9, false, "enough cores"), Rating::Yellow);
    let hidden = [("/sys/fs/cgroup/system.slice/cpuset.cpus.effective", "0-6\n")];
    assert_eq!(rating(&hidden, &intent(), "pinned cores"), Rating::Red);
    // An isolated core is given to nobody, and can be had all the same.
    let isolated = [("/proc/self/status", "Cpus_allowed_list:\t0-5\n")];
    assert_eq!(rating(&isolated, &intent(), "pinned cores"), Rating::Green);
}

#[test]
fn quotas_of_both_kinds_of_groups_count_if_they_can_bind() {
    let v2 =
        |text: &str| rating(&[("/sys/fs/cgroup/system.slice/tercel.service/cpu.max", text)], &intent(), "cpu quota");
    assert_eq!(v2("max 100000"), Rating::Green);
    assert_eq!(v2("50000 100000"), Rating::Red);
    assert_eq!(v2("300000 100000"), Rating::Yellow);
    assert_eq!(v2("800000 100000"), Rating::Green);
    assert_eq!(v2("1 0"), Rating::Green, "a period of nothing is no quota");
    let v1 = |quota: &str| {
        let files = [
            ("/proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/\n"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ];
        rating(&files, &intent(), "cpu quota")
    };
    assert_eq!(v1("-1"), Rating::Green);
    assert_eq!(v1("200000"), Rating::Red);
}

#[test]
fn memory_that_must_be_locked_and_cannot_be_is_red() {
    let small = "Max locked memory         65536 65536 bytes\n";
    let must = Intent { must_lock: true, ..intent() };
    assert_eq!(rating(&[("/proc/self/limits", small)], &intent(), "memory lock limit"), Rating::Yellow);
    assert_eq!(rating(&[("/proc/self/limits", small)], &must, "memory lock limit"), Rating::Red);
    let mighty = "Cpus_allowed_list:\t0-7\nCapEff:\t0000000000004000\n";
    let files = [("/proc/self/limits", small), ("/proc/self/status", mighty)];
    assert_eq!(rating(&files, &must, "memory lock limit"), Rating::Green);
}

#[test]
fn what_cannot_be_read_is_unknown_and_says_why() {
    let tree = Tree::new();
    let found = Examination::of(&tree.host(None), &intent(), None);
    assert_eq!(rated(&found, Rating::Red), [""; 0]);
    let unknown: Vec<&Finding> = found.findings.iter().filter(|finding| finding.rating == Rating::Unknown).collect();
    assert!(unknown.len() > 20, "{unknown:?}");
    assert!(unknown.iter().all(|finding| !finding.found.is_empty()));
    assert!(found.fingerprint.facts.is_empty());
}

#[test]
fn garbage_is_neither_believed_nor_fatal() {
    let garbage: [&[u8]; 6] =
        [b"", b"\xff\xfe\x00\x80", b"-1", b"99999999999999999999999", b"\n\n:::\n[[]][\n=,-,-\n", b"0-99999999"];
    let paths: Vec<&str> = GOOD.iter().chain(&BAD).map(|(path, _)| *path).collect();
    for bytes in garbage {
        // One file after the other, until all of them are.
        let all = Tree::new().with(&GOOD);
        for path in &paths {
            all.write(path, bytes);
            let host = all.host(Some(SYNCHRONISED));
            let found = Examination::of(&host, &intent(), None);
            assert!(!found.findings.is_empty());
            let _ = Remedy::of(&host, &intent(), &found, "/usr/bin/tercel", "/etc/tercel.toml").to_string();
        }
        let found = Examination::of(&all.host(None), &intent(), None);
        assert!(rated(&found, Rating::Green).len() < 20, "{bytes:?} was believed");
    }
    // A name of an interface is not a way out of the folder.
    let tree = Tree::new().with(&GOOD);
    let intent = Intent { iface: Some("../../../etc".to_owned()), ..intent() };
    assert!(rated(&Examination::of(&tree.host(None), &intent, None), Rating::Unknown).contains(&"network card"));
}

#[test]
fn the_fingerprint_is_of_the_settings_and_of_nothing_private() {
    let of = |files: &[(&str, &str)]| Fingerprint::of(&Tree::new().with(&GOOD).with(files).host(None));
    let good = of(&[]);
    assert_eq!(good.hash.len(), 12);
    assert_eq!(good, of(&[("/proc/swaps", "whatever changes by itself")]));
    assert_ne!(good.hash, of(&[("/sys/devices/system/cpu/isolated", "7\n")]).hash);
    assert_ne!(good.hash, of(&[("/proc/sys/kernel/osrelease", "6.13.0\n")]).hash);
    let text = serde_json::to_string(&good).unwrap();
    assert!(!text.contains("hunter2") && text.contains("isolcpus=managed_irq,domain,6-7"), "{text}");
    let this = fingerprint();
    assert_eq!(this, fingerprint(), "it is the same each time");
    assert!(
        this["hash"].as_str().is_some_and(|hash| hash.len() == 12) && this["facts"]["kernel"].is_string(),
        "{this}"
    );
}

fn remedy(files: &[(&str, &str)], intent: &Intent) -> Remedy {
    let tree = Tree::new().with(&GOOD).with(files);
    let host = tree.host(Some(SYNCHRONISED));
    let found = Examination::of(&host, intent, None);
    Remedy::of(&host, intent, &found, "/usr/bin/tercel", "/etc/tercel/tercel.toml")
}

#[test]
fn a_remedy_names_only_cores_that_are_there() {
    let chosen = remedy(&BAD, &Intent { cpus: vec![6, 9], ..intent() });
    assert_eq!((chosen.hot.to_string(), chosen.others.to_string()), ("6".into(), "0-5,7".into()));
    let proposed = remedy(&BAD, &Intent { cpus: Vec::new(), ..intent() });
    // 6 and 7 share a physical core.
    assert_eq!((proposed.hot.to_string(), proposed.others.to_string()), ("5,7".into(), "0-4,6".into()));
    assert!(proposed.kernel_words.contains("isolcpus=managed_irq,domain,5,7 "), "{}", proposed.kernel_words);
    for words in ["irqaffinity=0-4,6", "nohz_full=5,7"] {
        assert!(proposed.kernel_words.contains(words), "{}", proposed.kernel_words);
    }
    assert!(
        proposed.commands.contains("echo 0-4,6 >") && proposed.commands.contains("echo 0000005f >"),
        "{}",
        proposed.commands
    );
    assert!(!proposed.kernel_words.contains("max_cstate"), "a virtual machine does not decide that");
    let single = [
        ("/sys/devices/system/cpu/online", "0\n"),
        ("/sys/devices/system/cpu/isolated", ""),
        ("/proc/self/status", "Cpus_allowed_list:\t0\n"),
    ];
    for intent in [intent(), Intent { cpus: vec![0], ..intent() }] {
        let remedy = remedy(&single, &intent);
        assert!(remedy.hot.is_empty() && remedy.kernel_words.is_empty());
        assert!(remedy.to_string().contains("no core to spare"));
    }
}

#[test]
fn a_good_machine_needs_no_command() {
    assert_eq!(remedy(&[], &intent()).commands, "");
}

#[test]
fn what_is_to_be_pasted_is_a_script_that_a_shell_accepts() {
    let text = remedy(&BAD, &intent()).to_string();
    let dir = Tree::new();
    dir.write("script.sh", text.as_bytes());
    // -n reads the script and runs nothing of it.
    let output = std::process::Command::new("sh").arg("-n").arg(dir.0.join("script.sh")).output().unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_unit_is_one_that_systemd_accepts() {
    if std::process::Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: systemd-analyze is not installed, the unit was not verified");
        return;
    }
    // The program must be there, for it is looked for; a path with what systemd would expand must survive.
    let tree = Tree::new().with(&GOOD);
    let program = tree.0.join("tercel 100% $HOME");
    fs::copy("/bin/true", &program).unwrap();
    let host = tree.host(None);
    let found = Examination::of(&host, &intent(), None);
    let remedy = Remedy::of(&host, &intent(), &found, &program.to_string_lossy(), "/etc/tercel/my file.toml");
    let verify = |unit: &str| {
        tree.write("tercel.service", unit.as_bytes());
        let mut command = std::process::Command::new("systemd-analyze");
        let output = command.args(["verify", "--man=no"]).arg(tree.0.join("tercel.service")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let mentions = |text: &str| text.lines().any(|line| line.contains("tercel.service"));
    let (is_good, said) = verify(&remedy.unit);
    assert!(is_good && !mentions(&said), "{said}\n{}", remedy.unit);
    let (is_good, said) = verify(&remedy.unit.replace("RestartSec=10", "RestartSec=soon"));
    assert!(!is_good || mentions(&said), "a bad unit is noticed");
}

#[test]
fn this_host_can_be_examined() {
    let found = Examination::of(&Host::this(), &Intent { threads: 1, ..Intent::default() }, None);
    let names: std::collections::BTreeSet<&str> = found.findings.iter().map(|finding| finding.name).collect();
    assert_eq!(names.len(), found.findings.len(), "names are unique");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(found.findings.len()));
    assert!(Path::new("/proc/self/status").exists());
}

#[test]
fn real_time_priority_is_taken_where_it_does_no_harm() {
    let intent = Intent { cpus: vec![6, 7], threads: 2, spins: true, ..Intent::default() };
    let priorities = |tree: &Tree, wanted: RealTime, intent: &Intent| priorities(&tree.host(None), wanted, intent);
    let unthrottled = || Tree::new().with(&GOOD).with(&[("/proc/sys/kernel/sched_rt_runtime_us", "-1\n")]);

    let host = unthrottled();
    assert_eq!(priorities(&host, RealTime::Auto, &intent), Ok(vec![Some(AUTO_PRIORITY); 2]));
    assert_eq!(priorities(&host, RealTime::No, &intent), Ok(vec![None; 2]));
    assert_eq!(priorities(&host, RealTime::Priority(7), &intent), Ok(vec![Some(7); 2]));
    let half = Intent { cpus: vec![5, 7], ..intent.clone() };
    assert_eq!(priorities(&host, RealTime::Auto, &half), Ok(vec![None, Some(AUTO_PRIORITY)]), "5 is not isolated");

    // Whatever speaks against it: by itself it is left, demanded it is an error that says why.
    let throttled = Tree::new().with(&GOOD);
    let limited = unthrottled().with(&[("/proc/self/limits", "Max realtime priority     5 5\n")]);
    let small = unthrottled().with(&[("/sys/devices/system/cpu/online", "6-7\n")]);
    let unpinned = Intent { cpus: vec![6], ..intent.clone() };
    for (tree, intent, why) in [
        (&throttled, &intent, "sched_rt_runtime_us"),
        (&limited, &intent, "5 at the most"),
        (&small, &intent, "host of 2 cores"),
        (&host, &unpinned, "2 threads and 1 cores"),
    ] {
        assert_eq!(priorities(tree, RealTime::Auto, intent), Ok(vec![None; 2]), "{why}");
        let error = priorities(tree, RealTime::Priority(60), intent).unwrap_err();
        assert!(error.contains(why) && error.contains("threads.real-time"), "{error}");
    }
    // A thread that yields its core is not stopped for having it.
    let yields = Intent { spins: false, ..intent };
    assert_eq!(priorities(&throttled, RealTime::Auto, &yields), Ok(vec![Some(AUTO_PRIORITY); 2]));
}
