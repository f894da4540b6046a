//! The cores: whether they are there, whose they are, and what interrupts them.

use super::cpu_list::CpuList;
use super::host::{GROUP_DEPTH_MAX, Host};
use super::{Finding, Intent, MAGNITUDE, Rating};

const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn findings(host: &Host, intent: &Intent) -> Vec<Finding> {
    let chosen = intent.chosen();
    vec![
        chosen_cores(host, intent, &chosen),
        enough_cores(host, intent),
        quota(host, intent),
        isolation(host, &chosen),
        tickless(host, &chosen),
        callbacks(host, &chosen),
        siblings(host, &chosen),
        interrupts(host, &chosen),
        irqbalance(host, &chosen),
        nodes(host, intent, &chosen),
    ]
}

const NOT_PINNED: &str = "no thread is pinned to a core";

fn not_pinned(name: &'static str) -> Finding {
    Finding::new(name, Rating::NotApplicable, NOT_PINNED)
}

fn chosen_cores(host: &Host, intent: &Intent, chosen: &CpuList) -> Finding {
    const NAME: &str = "pinned cores";
    if chosen.is_empty() {
        return Finding::new(NAME, Rating::Yellow, NOT_PINNED)
            .costs("each move to another core costs tens of microseconds of cold caches", MAGNITUDE)
            .change("[threads] cpus = [..] in the configuration; `tercel doctor --apply` proposes which");
    }
    let allowed = match host.online().and_then(|online| Ok(online.and(&host.allowed()?))) {
        Ok(allowed) => allowed,
        Err(why) => return Finding::unknown(NAME, why),
    };
    let missing = chosen.without(&allowed);
    if !missing.is_empty() {
        return Finding::new(NAME, Rating::Red, format!("{missing}: not there, or not allowed; allowed are {allowed}"))
            .costs("their threads run wherever the system puts them, in each other's way", "the engine's own rule")
            .change("choose others in [threads] cpus; a cpuset or a unit's AllowedCPUs= may hide them");
    }
    if chosen.len() < intent.cpus.len() {
        return Finding::new(NAME, Rating::Red, format!("{chosen}: one core is named for two threads"))
            .costs("two pinned threads take turns of milliseconds", MAGNITUDE)
            .change("name each core once in [threads] cpus");
    }
    Finding::new(NAME, Rating::Green, chosen.to_string())
}

fn enough_cores(host: &Host, intent: &Intent) -> Finding {
    const NAME: &str = "enough cores";
    let cores = match host.allowed() {
        Ok(allowed) => allowed.len(),
        Err(why) => return Finding::unknown(NAME, why),
    };
    let found = format!("{} hot threads, {cores} cores allowed", intent.threads);
    let rating = match (intent.threads.cmp(&cores), intent.spins) {
        (std::cmp::Ordering::Less, _) => Rating::Green,
        (std::cmp::Ordering::Greater, true) => Rating::Red,
        _ => Rating::Yellow,
    };
    Finding::new(NAME, rating, found)
        .costs(
            "threads that share a core wait for the scheduler's slice, 1 to 10 ms where one of them spins",
            MAGNITUDE,
        )
        .change("join duties in [threads] topology, or idle = \"spin-yield\", or a machine with more cores")
}

/// The tightest quota of this process's control groups, in percent of one core.
fn quota_percent(host: &Host) -> Option<(u64, String)> {
    let groups = host.read("/proc/self/cgroup").ok()?;
    let mut found: Option<(u64, String)> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let is_v2 = controllers.is_empty();
        if !is_v2 && !controllers.split(',').any(|name| name == "cpu") {
            continue;
        }
        // A group's limit binds those below it; inside a container the path may be one of outside, then its root counts.
        let mut at = path.trim_end_matches('/');
        for _ in 0..GROUP_DEPTH_MAX {
            for base in if is_v2 {
                ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            } else {
                ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
            } {
                let dir = format!("{base}{at}");
                if let Some(percent) = quota_of(host, &dir, is_v2)
                    && found.as_ref().is_none_or(|(least, _)| percent < *least)
                {
                    found = Some((percent, dir));
                }
            }
            match at.rsplit_once('/') {
                Some((above, _)) => at = above,
                None => break,
            }
        }
    }
    found
}

fn quota_of(host: &Host, dir: &str, is_v2: bool) -> Option<u64> {
    let (quota, period) = if is_v2 {
        let text = host.read(&format!("{dir}/cpu.max")).ok()?;
        let (quota, period) = text.split_once(' ')?;
        (quota.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?)
    } else {
        let number = |file: &str| host.number(&format!("{dir}/{file}")).ok().and_then(|n| u64::try_from(n).ok());
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    };
    quota.saturating_mul(100).checked_div(period)
}

fn quota(host: &Host, intent: &Intent) -> Finding {
    const NAME: &str = "cpu quota";
    if let Err(why) = host.read("/proc/self/cgroup") {
        return Finding::unknown(NAME, why);
    }
    match quota_percent(host) {
        None => Finding::new(NAME, Rating::Green, "none"),
        Some((percent, dir)) => {
            let cores = host.allowed().map_or(u64::MAX, |cpus| cpus.len() as u64);
            // Beside the hot threads, one core for all others of the process.
            let rating = match percent {
                _ if percent >= cores.saturating_mul(100) => Rating::Green,
                _ if percent >= (intent.threads as u64 + 1) * 100 => Rating::Yellow,
                _ => Rating::Red,
            };
            Finding::new(NAME, rating, format!("{percent} % of one core ({dir})"))
            .costs(
                "once the quota of a period (usually 100 ms) is used up, every thread stands still until the next: tens of milliseconds",
                "kernel documentation, sched-bwc",
            )
            .change("CPUQuota= (empty) in the unit, no --cpus for the container; give whole cores by AllowedCPUs= or --cpuset-cpus")
        }
    }
}

fn isolation(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "isolated cores";
    if chosen.is_empty() {
        return not_pinned(NAME);
    }
    let isolated = match host.cpus(&format!("{CPU}/isolated")) {
        Ok(isolated) => isolated,
        Err(why) => return Finding::unknown(NAME, why),
    };
    let open = chosen.without(&isolated);
    let (rating, found) = match open.is_empty() {
        true => (Rating::Green, isolated.to_string()),
        false => (Rating::Yellow, format!("the scheduler gives other work to {open}")),
    };
    Finding::new(NAME, rating, found)
        .costs("another thread on a hot core holds it for a slice, 1 to 4 ms", MAGNITUDE)
        .change(format!("kernel command line: isolcpus=managed_irq,domain,{chosen}"))
}

fn tickless(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "nohz_full";
    if chosen.is_empty() {
        return not_pinned(NAME);
    }
    // A kernel without the feature has no such file.
    let full = host.cpus(&format!("{CPU}/nohz_full")).unwrap_or_default();
    let ticking = chosen.without(&full);
    let (rating, found) = match ticking.is_empty() {
        true => (Rating::Green, full.to_string()),
        false => (Rating::Yellow, format!("the scheduler's tick interrupts {ticking}")),
    };
    Finding::new(NAME, rating, found)
        .costs("100 to 1000 interruptions a second of 1 to 10 µs each", MAGNITUDE)
        .change(format!("kernel command line: nohz_full={chosen} (a kernel with CONFIG_NO_HZ_FULL)"))
}

fn callbacks(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "rcu_nocbs";
    if chosen.is_empty() {
        return not_pinned(NAME);
    }
    if let Err(why) = host.read("/proc/cmdline") {
        return Finding::unknown(NAME, why);
    }
    let list = |name: &str| match host.kernel_word(name).as_deref() {
        Some("all") => Some(chosen.clone()),
        Some(text) => text.parse::<CpuList>().ok(),
        None => None,
    };
    // nohz_full takes the callbacks away, too.
    let free: CpuList = [list("rcu_nocbs"), list("nohz_full")].iter().flatten().flat_map(CpuList::iter).collect();
    let busy = chosen.without(&free);
    let (rating, found) = match busy.is_empty() {
        true => (Rating::Green, free.to_string()),
        false => (Rating::Yellow, format!("kernel callbacks run on {busy}")),
    };
    Finding::new(NAME, rating, found)
        .costs("batches of callbacks in soft interrupts, up to some hundred microseconds", MAGNITUDE)
        .change(format!("kernel command line: rcu_nocbs={chosen}"))
}

fn siblings(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "SMT siblings";
    let looked_at = if chosen.is_empty() { [0].into_iter().collect() } else { chosen.clone() };
    let mut shared = Vec::new();
    let mut is_own = false;
    for cpu in looked_at.iter() {
        let all = match host.cpus(&format!("{CPU}/cpu{cpu}/topology/thread_siblings_list")) {
            Ok(all) => all,
            Err(why) => return Finding::unknown(NAME, why),
        };
        if all.len() > 1 {
            shared.push(all.to_string());
            is_own |= all.and(chosen).len() > 1;
        }
    }
    shared.dedup();
    if shared.is_empty() {
        return Finding::new(NAME, Rating::Green, format!("{looked_at} have physical cores of their own"));
    }
    let who = if is_own { "two hot threads share one" } else { "other work may share one" };
    Finding::new(NAME, Rating::Yellow, format!("physical cores {}: {who}", shared.join(" and ")))
        .costs("a busy sibling takes 20 to 50 % of the core's speed", MAGNITUDE)
        .change("choose one core of each pair, and switch the other off: echo 0 > /sys/devices/system/cpu/cpuN/online, or nosmt on the kernel command line")
}

/// Interrupts that arrive on these cores, as `24 virtio0-config`.
fn interrupts_on(host: &Host, chosen: &CpuList) -> Vec<String> {
    let is_number = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    let of = |irq: String| {
        let dir = format!("/proc/irq/{irq}");
        // Who asked for it has a folder beside the files; without one nothing arrives.
        const FILES: [&str; 8] = [
            "affinity_hint",
            "effective_affinity",
            "effective_affinity_list",
            "node",
            "smp_affinity",
            "smp_affinity_list",
            "spurious",
            "",
        ];
        let owner = host.names(&dir).into_iter().find(|name| !FILES.contains(&name.as_str()))?;
        let effective = host.cpus(&format!("{dir}/effective_affinity_list")).ok().filter(|cpus| !cpus.is_empty());
        let cpus = effective.or_else(|| host.cpus(&format!("{dir}/smp_affinity_list")).ok())?;
        (!cpus.and(chosen).is_empty()).then(|| format!("{irq} {owner}"))
    };
    host.names("/proc/irq").into_iter().filter(is_number).filter_map(of).collect()
}

fn interrupts(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "interrupts";
    if chosen.is_empty() {
        return not_pinned(NAME);
    }
    if !host.exists("/proc/irq") {
        return Finding::unknown(NAME, "/proc/irq is not there");
    }
    let found = interrupts_on(host, chosen);
    if found.is_empty() {
        return Finding::new(NAME, Rating::Green, format!("no device interrupts {chosen}"));
    }
    let more = if found.len() > 3 { format!(" and {} more", found.len() - 3) } else { String::new() };
    Finding::new(NAME, Rating::Yellow, format!("on {chosen}: {}{more}", found[..found.len().min(3)].join(", ")))
        .costs("each interruption takes 2 to 20 µs, with the packets that it brings more", MAGNITUDE)
        .change("echo CORES > /proc/irq/N/smp_affinity_list with the cores that are not hot; kernel command line: irqaffinity=CORES")
}

fn irqbalance(host: &Host, chosen: &CpuList) -> Finding {
    const NAME: &str = "irqbalance";
    if !host.exists("/proc/self/status") {
        return Finding::unknown(NAME, "/proc is not there");
    }
    match host.running(&["irqbalance"]) {
        None => Finding::new(NAME, Rating::Green, "does not run"),
        Some(_) if chosen.is_empty() => Finding::new(NAME, Rating::Green, format!("runs, and {NOT_PINNED}")),
        Some(_) => Finding::new(
            NAME,
            Rating::Yellow,
            "runs: it moves interrupts back to hot cores that are not isolated",
        )
        .costs("as for interrupts, from some moment on", MAGNITUDE)
        .change(format!(
            "systemctl disable --now irqbalance, or IRQBALANCE_BANNED_CPULIST={chosen} in /etc/default/irqbalance"
        )),
    }
}

fn nodes(host: &Host, intent: &Intent, chosen: &CpuList) -> Finding {
    const NAME: &str = "NUMA";
    let is_node = |name: &String| name.strip_prefix("node").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let all: Vec<String> = host.names("/sys/devices/system/node").into_iter().filter(is_node).collect();
    match all.len() {
        0 => return Finding::unknown(NAME, "/sys/devices/system/node has no nodes"),
        1 => return Finding::new(NAME, Rating::Green, "one node"),
        _ => {}
    }
    let holds = |node: &&String| {
        let cpus = host.cpus(&format!("/sys/devices/system/node/{node}/cpulist"));
        cpus.is_ok_and(|cpus| !cpus.and(chosen).is_empty())
    };
    let mut used: Vec<&str> = all.iter().filter(holds).map(String::as_str).collect();
    let iface = intent.iface.clone().or_else(|| host.default_iface()).unwrap_or_default();
    let card = host.number(&format!("/sys/class/net/{iface}/device/numa_node")).ok().filter(|&node| node >= 0);
    let card = card.map(|node| format!("node{node}"));
    if chosen.is_empty() {
        return Finding::new(NAME, Rating::Yellow, format!("{} nodes, and {NOT_PINNED}", all.len()))
            .costs(
                "memory of another node takes 50 to 100 ns more, a cache line between nodes 200 ns and more",
                MAGNITUDE,
            )
            .change("[threads] cpus = [..] of one node, that of the network card");
    }
    if let Some(card) = &card
        && !used.contains(&card.as_str())
    {
        used.push(card);
    }
    let rating = if used.len() > 1 { Rating::Yellow } else { Rating::Green };
    let of_card = card.as_deref().unwrap_or("unknown");
    Finding::new(NAME, rating, format!("hot cores and network card ({iface}: {of_card}) on {}", used.join(" and ")))
        .costs("memory of another node takes 50 to 100 ns more, a cache line between nodes 200 ns and more", MAGNITUDE)
        .change("choose cores of one node, that of the network card, in [threads] cpus")
}
