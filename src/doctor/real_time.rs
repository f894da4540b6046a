//! Which hot threads may take real-time priority on a host without harm.

use super::Intent;
use super::host::Host;
use crate::runtime::RealTime;

/// Priority that is taken where none is named: above the kernel's own threaded interrupts, which have 50.
pub const AUTO_PRIORITY: u8 = 60;

/// The number of the capability that allows any priority.
pub(super) const CAP_SYS_NICE: u32 = 23;

/// Decides the priority of each hot thread, in their order; `None` leaves it with the ordinary scheduler.
///
/// A thread that spins at real-time priority starves everything else on its core, the kernel's own threads too. So it is given
/// by itself only on cores that the kernel keeps free of others; and never where the kernel would stop such a thread for the
/// rest of each second (`sched_rt_runtime_us`), which is worse than any ordinary interruption.
///
/// # Errors
/// A priority was named and cannot be had, or would do harm: what was found, and what is wanted.
pub fn priorities(host: &Host, wanted: RealTime, intent: &Intent) -> Result<Vec<Option<u8>>, String> {
    let none = vec![None; intent.threads];
    let priority = match wanted {
        RealTime::No => return Ok(none),
        RealTime::Auto => AUTO_PRIORITY,
        RealTime::Priority(priority) => priority,
    };
    let refusal = refusal(host, priority, intent);
    match wanted {
        RealTime::Priority(_) => match refusal {
            Some(why) => Err(format!("threads.real-time = \"{priority}\": {why}")),
            None => Ok(vec![Some(priority); intent.threads]),
        },
        _ if refusal.is_some() => Ok(none),
        _ => {
            let isolated = host.cpus("/sys/devices/system/cpu/isolated").unwrap_or_default();
            Ok(intent.cpus.iter().map(|&cpu| isolated.contains(cpu).then_some(priority)).collect())
        }
    }
}

fn refusal(host: &Host, priority: u8, intent: &Intent) -> Option<String> {
    if intent.cpus.len() < intent.threads {
        return Some(format!(
            "{} threads and {} cores for them; each needs a core of its own (threads.cpus)",
            intent.threads,
            intent.cpus.len()
        ));
    }
    let online = host.online().map_or(0, |online| online.len());
    if intent.threads >= online {
        return Some(format!(
            "{} threads on a host of {online} cores: one must stay for everything else",
            intent.threads
        ));
    }
    let limit = match host.limit("Max realtime priority") {
        _ if host.has_capability(CAP_SYS_NICE) => u64::MAX,
        Ok(limit) => limit.unwrap_or(u64::MAX),
        Err(why) => return Some(why),
    };
    if limit < u64::from(priority) {
        return Some(format!("this process may take {limit} at the most (LimitRTPRIO=99, ulimit -r 99)"));
    }
    match host.number("/proc/sys/kernel/sched_rt_runtime_us") {
        Ok(us) if us >= 0 && intent.spins => Some(format!(
            "the kernel stops a real-time thread that spins after {us} µs of each period (sysctl kernel.sched_rt_runtime_us=-1)"
        )),
        Ok(_) => None,
        Err(why) => Some(why),
    }
}
