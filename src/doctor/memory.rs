//! Memory and what the process may do: pages, locking, swap, real-time priority.

use super::host::{Host, shortened};
use super::real_time::CAP_SYS_NICE;
use super::{Finding, Intent, KERNEL_DOC, MAGNITUDE, Rating};

/// Numbers of capabilities in the kernel's `capability.h`.
const CAP_IPC_LOCK: u32 = 14;

pub(super) fn findings(host: &Host, intent: &Intent) -> Vec<Finding> {
    vec![huge_pages(host), reserved_pages(host), lock_limit(host, intent), swap(host), priority(host), throttle(host)]
}

fn huge_pages(host: &Host) -> Finding {
    const NAME: &str = "transparent huge pages";
    let text = match host.read("/sys/kernel/mm/transparent_hugepage/enabled") {
        Ok(text) => text,
        Err(why) => return Finding::unknown(NAME, why),
    };
    let mode = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    let rating = match mode {
        Some("madvise" | "never") => Rating::Green,
        Some("always") => Rating::Yellow,
        _ => return Finding::unknown(NAME, format!("`{}`", shortened(&text))),
    };
    Finding::new(NAME, rating, mode.unwrap_or_default())
        .costs("the kernel joins and moves pages behind the engine: faults of 10 µs to milliseconds", MAGNITUDE)
        .change("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled; kernel command line: transparent_hugepage=madvise")
}

fn reserved_pages(host: &Host) -> Finding {
    const NAME: &str = "reserved huge pages";
    match host.number("/proc/sys/vm/nr_hugepages") {
        Ok(count) => Finding::new(NAME, Rating::NotApplicable, format!("{count}; the engine asks for none")),
        Err(why) => Finding::unknown(NAME, why),
    }
}

fn lock_limit(host: &Host, intent: &Intent) -> Finding {
    const NAME: &str = "memory lock limit";
    let (is_free, found) = match host.limit("Max locked memory") {
        Ok(None) => (true, "unlimited".to_owned()),
        Ok(Some(bytes)) if host.has_capability(CAP_IPC_LOCK) => {
            (true, format!("{} KiB, and the right to exceed it", bytes >> 10))
        }
        Ok(Some(bytes)) => (false, format!("{} KiB", bytes >> 10)),
        Err(why) => return Finding::unknown(NAME, why),
    };
    let rating = match (is_free, intent.must_lock) {
        (true, _) => Rating::Green,
        (false, true) => Rating::Red,
        (false, false) => Rating::Yellow,
    };
    Finding::new(NAME, rating, found)
        .costs(
            "a page that was taken away or never touched costs 0.5 to 2 µs, one that was swapped out milliseconds",
            MAGNITUDE,
        )
        .change("LimitMEMLOCK=infinity in the unit; `* - memlock unlimited` in /etc/security/limits.d/tercel.conf")
}

fn swap(host: &Host) -> Finding {
    const NAME: &str = "swap";
    let text = match host.read("/proc/swaps") {
        Ok(text) => text,
        Err(why) => return Finding::unknown(NAME, why),
    };
    let devices: Vec<String> =
        text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(shortened).collect();
    if devices.is_empty() {
        return Finding::new(NAME, Rating::Green, "none");
    }
    Finding::new(NAME, Rating::Yellow, devices.join(" "))
        .costs("a page that must be fetched back: 0.1 to 10 ms; nothing for memory that is locked", MAGNITUDE)
        .change("swapoff -a, and take it out of /etc/fstab; or vm.swappiness=0 and locked memory")
}

fn priority(host: &Host) -> Finding {
    const NAME: &str = "real-time limit";
    let allowed = match host.limit("Max realtime priority") {
        Ok(_) if host.has_capability(CAP_SYS_NICE) => 99,
        Ok(limit) => limit.unwrap_or(99),
        Err(why) => return Finding::unknown(NAME, why),
    };
    Finding::new(NAME, Rating::NotApplicable, format!("{allowed}; taken as threads.real-time says"))
}

fn throttle(host: &Host) -> Finding {
    const NAME: &str = "real-time throttling";
    match host.number("/proc/sys/kernel/sched_rt_runtime_us") {
        Ok(-1) => Finding::new(NAME, Rating::NotApplicable, "off"),
        Ok(us) => Finding::new(
            NAME,
            Rating::NotApplicable,
            format!("{us} µs of each period: hot threads that spin take no real-time priority"),
        )
        .costs(
            "a real-time thread that spins would stand still for the rest of each second, usually 50 ms",
            KERNEL_DOC,
        ),
        Err(why) => Finding::unknown(NAME, why),
    }
}
