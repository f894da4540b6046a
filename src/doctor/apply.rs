//! What to change on a host, ready to paste: commands, a unit, a kernel command line. Nothing here runs any of it.

use std::fmt::{self, Write as _};

use super::cpu_list::CpuList;
use super::host::Host;
use super::{Examination, Intent, Rating};

/// How to make a host better, with its own core numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Cores for the hot threads: the chosen ones that are there, or a proposal. Empty where there is none to spare.
    pub hot: CpuList,
    /// The other cores, for everything else.
    pub others: CpuList,
    /// Shell commands for root, lost at the next boot.
    pub commands: String,
    /// A systemd unit for `tercel run`.
    pub unit: String,
    /// Words to add to the kernel's command line; empty where there is nothing to isolate.
    pub kernel_words: String,
}

impl Remedy {
    /// For an examined host; `program` and `config` are absolute paths for the unit.
    pub fn of(host: &Host, intent: &Intent, found: &Examination, program: &str, config: &str) -> Self {
        let online = host.online().and_then(|online| Ok(online.and(&host.allowed()?))).unwrap_or_default();
        let hot = match intent.chosen().and(&online) {
            chosen if !chosen.is_empty() => chosen,
            _ => proposal(host, &online, intent.threads),
        };
        let others = online.without(&hot);
        // Somebody must do the rest of the work.
        let hot = if others.is_empty() { CpuList::default() } else { hot };
        let others = online.without(&hot);
        Self {
            commands: commands(host, intent, found, &others, &hot),
            unit: unit(program, config, &others),
            kernel_words: kernel_words(host, &hot, &others),
            hot,
            others,
        }
    }
}

/// The last cores, each with a physical core of its own, and never the first, on which the system lives.
fn proposal(host: &Host, online: &CpuList, threads: usize) -> CpuList {
    let siblings = |cpu: usize| {
        let all = host.cpus(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
        all.ok().filter(|all| !all.is_empty()).unwrap_or_else(|| [cpu].into_iter().collect())
    };
    let mut taken: CpuList =
        online.iter().take(1).flat_map(|first| siblings(first).iter().collect::<Vec<_>>()).collect();
    let mut chosen = Vec::new();
    for cpu in online.iter().rev() {
        if chosen.len() < threads && !taken.contains(cpu) {
            chosen.push(cpu);
            taken = taken.iter().chain(siblings(cpu).iter()).collect();
        }
    }
    chosen.into_iter().collect()
}

fn commands(host: &Host, intent: &Intent, found: &Examination, others: &CpuList, hot: &CpuList) -> String {
    let is_open = |name: &str| {
        let of = |rating| matches!(rating, Rating::Yellow | Rating::Red);
        found.findings.iter().any(|finding| finding.name == name && of(finding.rating))
    };
    let mut out = String::new();
    let mut add = |name: &str, why: &str, command: &str| {
        if is_open(name) {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# {why}\n{command}");
        }
    };
    add(
        "governor",
        "Keep the frequency up.",
        "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    );
    add(
        "energy preference",
        "The same, for processors that choose themselves.",
        "echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference",
    );
    add(
        "clock source",
        "Stamp by the counter; refused where the kernel does not trust it.",
        "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
    );
    add(
        "transparent huge pages",
        "Huge pages only where a program asks.",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    );
    add("swap", "Nothing is fetched back from disk. Take it out of /etc/fstab, too.", "swapoff -a");
    add("busy polling", "Let reading sockets poll the card.", "sysctl -w net.core.busy_read=50 net.core.busy_poll=50");
    add("rmem_max", "Room for bursts.", "sysctl -w net.core.rmem_max=16777216");
    add("wmem_max", "The same, for sending.", "sysctl -w net.core.wmem_max=16777216");
    add("tcp_rmem", "The same, for TCP's own sizing.", "sysctl -w net.ipv4.tcp_rmem='4096 131072 16777216'");
    add("slow start after idle", "Full speed after a rest.", "sysctl -w net.ipv4.tcp_slow_start_after_idle=0");
    let iface = intent.iface.clone().or_else(|| host.default_iface()).filter(|iface| super::network::is_name(iface));
    if let Some(iface) = &iface {
        let collect = format!("ethtool -C {iface} adaptive-rx off rx-usecs 0");
        add("interrupt coalescing", "The card tells of each packet at once.", &collect);
        add("offloads", "The card joins no packets.", &format!("ethtool -K {iface} lro off"));
    }
    if hot.is_empty() {
        return out;
    }
    // Without chosen cores these were not looked at: the proposal needs them all the same.
    let is_proposed = intent.cpus.is_empty();
    let mut add = |name: &str, why: &str, command: String| {
        if is_proposed || is_open(name) {
            let _ = writeln!(out, "# {why}\n{command}");
        }
    };
    if host.running(&["irqbalance"]).is_some() {
        add("irqbalance", "Nobody moves interrupts back.", "systemctl disable --now irqbalance".to_owned());
    }
    add(
        "interrupts",
        &format!("Interrupts go to {others}; some refuse, which is no harm."),
        format!("for irq in /proc/irq/[0-9]*; do echo {others} > \"$irq/smp_affinity_list\" 2>/dev/null || true; done"),
    );
    if let Some(iface) = iface {
        add(
            "packet steering",
            &format!("Packets of {iface} are worked on by {others}."),
            format!(
                "for queue in /sys/class/net/{iface}/queues/rx-*; do echo {} > \"$queue/rps_cpus\"; done",
                others.mask()
            ),
        );
    }
    out
}

fn kernel_words(host: &Host, hot: &CpuList, others: &CpuList) -> String {
    if hot.is_empty() {
        return String::new();
    }
    let mut words = vec![
        format!("isolcpus=managed_irq,domain,{hot}"),
        format!("nohz_full={hot}"),
        format!("rcu_nocbs={hot}"),
        format!("irqaffinity={others}"),
        "transparent_hugepage=madvise".to_owned(),
    ];
    if !host.is_virtual() {
        // On a virtual machine the host below decides over sleep.
        words.extend(["processor.max_cstate=1", "intel_idle.max_cstate=1"].map(str::to_owned));
    }
    words.join(" ")
}

/// A word of a unit's command: systemd expands `%`, and splits at spaces; `$` it expands in arguments, and not in the program.
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if escaped.chars().all(|c| c.is_ascii_alphanumeric() || "/._-=+:@%$".contains(c)) {
        escaped
    } else {
        format!("\"{escaped}\"")
    }
}

fn unit(program: &str, config: &str, begin: &CpuList) -> String {
    format!(
        "\
# /etc/systemd/system/tercel.service
[Unit]
Description=Tercel trading engine
Wants=network-online.target
After=network-online.target time-sync.target
# A run that fails three times in five minutes needs a person.
StartLimitIntervalSec=300
StartLimitBurst=3

[Service]
Type=exec
ExecStart={program} run --live --config {config}
# The key: TERCEL_API_KEY=... and TERCEL_API_SECRET=..., mode 600. Or venue.secret-file in the configuration.
EnvironmentFile=-/etc/tercel/key
# Beginning anew is safe: a run first cancels or adopts what is open, and reconciles. Not after a wrong configuration (2),
# after orders that were left open (3), or when the guard acted (4): these need a person.
Restart=on-failure
RestartPreventExitStatus=2 3 4
RestartSec=10
# A run that is told to end cancels its orders first, and may take 20 s.
KillSignal=SIGTERM
TimeoutStopSec=60
# Where every thread begins. The engine then pins its hot ones to [threads] cpus itself, which this does not forbid, as
# AllowedCPUs= would.
CPUAffinity={begin}
CPUQuota=
LimitMEMLOCK=infinity
LimitNOFILE=65536
# No CPUSchedulingPolicy=fifo: it would hold for every thread, and one that spins would starve the kernel's own on its core.
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
",
        program = quoted(program),
        config = quoted(&config.replace('$', "$$")),
        begin = begin.to_string().replace(',', " "),
    )
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Nothing of this was run. Read it, then paste what you want, as root.\n")?;
        if self.hot.is_empty() {
            writeln!(f, "# There is no core to spare for a hot thread: nothing is isolated.\n")?;
        } else {
            let cpus: Vec<String> = self.hot.iter().map(|cpu| cpu.to_string()).collect();
            writeln!(
                f,
                "# Hot threads on {}, everything else on {}. In the configuration:\n#   [threads]\n#   cpus = [{}]\n",
                self.hot,
                self.others,
                cpus.join(", ")
            )?;
        }
        writeln!(f, "# --- 1. Commands: at once, and lost at the next boot")?;
        writeln!(f, "{}", if self.commands.is_empty() { "# none\n" } else { &self.commands })?;
        if !self.kernel_words.is_empty() {
            writeln!(
                f,
                "# --- 2. Kernel command line: to GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub, and boot"
            )?;
            writeln!(f, "# {}\n", self.kernel_words)?;
        }
        writeln!(f, "# --- 3. Unit: then systemctl daemon-reload && systemctl enable --now tercel")?;
        writeln!(f, "cat > /etc/systemd/system/tercel.service <<'UNIT'\n{}UNIT", self.unit)
    }
}
