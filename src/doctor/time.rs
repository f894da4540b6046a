//! The clocks: the counter that stamps, and the system's clock that it is anchored to.

use super::host::{Host, shortened};
use super::{Finding, MAGNITUDE, MEASURED, Measured, Rating};

pub(super) fn findings(host: &Host, measured: Option<&Measured>) -> Vec<Finding> {
    vec![counter(host), clock_source(host, measured), discipline(host)]
}

fn counter(host: &Host) -> Finding {
    const NAME: &str = "time-stamp counter";
    if let Err(why) = host.read("/proc/cpuinfo") {
        return Finding::unknown(NAME, why);
    }
    let Some(flags) = host.field("/proc/cpuinfo", "flags") else {
        return Finding::new(NAME, Rating::NotApplicable, "no x86 processor");
    };
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !has(flag)).collect();
    if missing.is_empty() {
        return Finding::new(NAME, Rating::Green, "invariant");
    }
    Finding::new(NAME, Rating::Red, format!("not invariant: {} missing", missing.join(" ")))
        .costs("stamps go wrong with the frequency, or each costs a system call, 0.1 to 1 µs", MAGNITUDE)
        .change("another machine; on a virtual one, let it see the host's counter (invtsc)")
}

fn clock_source(host: &Host, measured: Option<&Measured>) -> Finding {
    const NAME: &str = "clock source";
    let source = match host.read("/sys/devices/system/clocksource/clocksource0/current_clocksource") {
        Ok(source) => shortened(&source),
        Err(why) => return Finding::unknown(NAME, why),
    };
    let rating = match source.as_str() {
        "tsc" | "arch_sys_counter" => Rating::Green,
        "kvm-clock" | "hyperv_clocksource_tsc_page" => Rating::Yellow,
        _ => Rating::Red,
    };
    let (cost, from) = match measured {
        Some(measured) => (format!("{:.0} ns for each stamp", measured.stamp_ns), MEASURED),
        None => ("10 to 30 ns for each stamp by the counter, 1 µs and more by hpet or acpi_pm".to_owned(), MAGNITUDE),
    };
    Finding::new(NAME, rating, source)
        .costs(cost, from)
        .change("echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource; if it is not offered, see the kernel's log for why")
}

/// Estimated error in microseconds beyond which journals of two hosts do not fit together.
const ERROR_US_MAX: i64 = 1_000;

fn discipline(host: &Host) -> Finding {
    const NAME: &str = "clock discipline";
    let daemon = host.running(&["chronyd", "ntpd", "systemd-timesyn", "ptp4l", "phc2sys", "openntpd"]);
    let Some(clock) = host.clock else {
        return Finding::unknown(NAME, "the kernel does not tell (adjtimex)");
    };
    let by = daemon.map_or("no daemon found".to_owned(), |name| format!("{name} runs"));
    let (rating, found) = if !clock.is_synchronised {
        (Rating::Yellow, format!("not synchronised, {by}"))
    } else if clock.error_us > ERROR_US_MAX {
        (Rating::Yellow, format!("synchronised, {by}, estimated error {} µs", clock.error_us))
    } else {
        (Rating::Green, format!("synchronised, {by}, estimated error {} µs", clock.error_us))
    };
    // Requests carry the venue's time, which the engine compares with ours all the time: they are not refused.
    Finding::new(NAME, rating, found)
        .costs("one-way latencies and the stamps of journals are off by the clock's error, 10 to 100 µs a second of drift at worst", "tolerance of quartz oscillators, up to 100 ppm")
        .change("install and start chrony, on a virtual machine with the hypervisor's clock: refclock PHC /dev/ptp0 poll 2")
}
