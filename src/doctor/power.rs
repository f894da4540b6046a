//! What the processor does to save power, and what is below and around the kernel.

use super::host::{Host, shortened};
use super::{Finding, Intent, MAGNITUDE, Rating};

const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn findings(host: &Host, intent: &Intent) -> Vec<Finding> {
    // Without chosen cores the first stands for all.
    let cpus = if intent.cpus.is_empty() { vec![0] } else { intent.cpus.clone() };
    vec![
        governor(host, &cpus),
        preference(host, &cpus),
        turbo(host),
        idle_states(host, &cpus),
        hypervisor(host),
        container(host),
        mitigations(host),
    ]
}

/// The different values of a file of these cores; an error if none has it.
fn values(host: &Host, cpus: &[usize], file: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for cpu in cpus {
        found.push(shortened(&host.read(&format!("{CPU}/cpu{cpu}/{file}"))?));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Frequencies are the hypervisor's business on a virtual machine: there the files are missing rightly.
fn hidden(host: &Host, name: &'static str, why: String) -> Finding {
    if host.is_virtual() {
        return Finding::new(name, Rating::NotApplicable, "a virtual machine: the host below decides");
    }
    Finding::unknown(name, why)
}

fn governor(host: &Host, cpus: &[usize]) -> Finding {
    const NAME: &str = "governor";
    let found = match values(host, cpus, "cpufreq/scaling_governor") {
        Ok(found) => found,
        Err(why) => return hidden(host, NAME, why),
    };
    let driver = values(host, cpus, "cpufreq/scaling_driver").unwrap_or_default().join(" ");
    // With these two `powersave` means that the processor chooses; with the others, the lowest frequency for ever.
    let chooses = driver.contains("pstate") || driver.contains("epp");
    let rating = if found.iter().all(|word| word == "performance") {
        Rating::Green
    } else if found.iter().any(|word| word == "powersave") && !chooses {
        Rating::Red
    } else {
        Rating::Yellow
    };
    Finding::new(NAME, rating, format!("{} ({driver})", found.join(" ")))
        .costs("a core that clocks up takes 10 µs to milliseconds; at the lowest frequency all code takes 2 to 4 times as long", MAGNITUDE)
        .change("echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
}

fn preference(host: &Host, cpus: &[usize]) -> Finding {
    const NAME: &str = "energy preference";
    let found = match values(host, cpus, "cpufreq/energy_performance_preference") {
        Ok(found) => found,
        Err(_) => return Finding::new(NAME, Rating::NotApplicable, "the frequency driver has none"),
    };
    let is_good = found.iter().all(|word| word == "performance" || word == "0");
    Finding::new(NAME, if is_good { Rating::Green } else { Rating::Yellow }, found.join(" "))
        .costs("slower clocking up, 10 to 100 µs", MAGNITUDE)
        .change("echo performance | tee /sys/devices/system/cpu/cpu*/cpufreq/energy_performance_preference")
}

fn turbo(host: &Host) -> Finding {
    const NAME: &str = "turbo";
    let found =
        match (host.number(&format!("{CPU}/intel_pstate/no_turbo")), host.number(&format!("{CPU}/cpufreq/boost"))) {
            (Ok(off), _) => Ok(off == 0),
            (_, Ok(on)) => Ok(on != 0),
            (Err(why), Err(_)) => Err(why),
        };
    match found {
        Ok(true) => Finding::new(NAME, Rating::Green, "on"),
        Ok(false) => Finding::new(NAME, Rating::Yellow, "off")
            .costs("all code takes 1.2 to 1.6 times as long; off it is steadier, which some prefer", MAGNITUDE)
            .change("echo 0 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 1 > /sys/devices/system/cpu/cpufreq/boost"),
        Err(why) => hidden(host, NAME, why),
    }
}

/// Waking from a state that takes longer than this many microseconds is felt.
const EXIT_US_MAX: i64 = 10;

fn idle_states(host: &Host, cpus: &[usize]) -> Finding {
    const NAME: &str = "idle states";
    let mut worst: Option<(i64, String)> = None;
    for cpu in cpus {
        let dir = format!("{CPU}/cpu{cpu}/cpuidle");
        for state in host.names(&dir) {
            let number = |file: &str| host.number(&format!("{dir}/{state}/{file}"));
            let Ok(exit_us) = number("latency") else { continue };
            let is_on = number("disable").unwrap_or(0) == 0;
            if is_on && worst.as_ref().is_none_or(|(most, _)| exit_us > *most) {
                let name = host.read(&format!("{dir}/{state}/name")).unwrap_or(state);
                worst = Some((exit_us, shortened(&name)));
            }
        }
    }
    let Some((exit_us, name)) = worst else {
        return hidden(host, NAME, format!("{CPU}/cpu{}/cpuidle has no states", cpus.first().unwrap_or(&0)));
    };
    let rating = if exit_us > EXIT_US_MAX { Rating::Yellow } else { Rating::Green };
    Finding::new(NAME, rating, format!("deepest that is on: {name}, {exit_us} µs to wake"))
        .costs(format!("{exit_us} µs at the first work after a rest; nothing while a thread spins"), "the kernel's table of this processor")
        .change("hold /dev/cpu_dma_latency open with 0 in it; kernel command line: processor.max_cstate=1 intel_idle.max_cstate=1")
}

fn hypervisor(host: &Host) -> Finding {
    const NAME: &str = "hypervisor";
    if let Err(why) = host.read("/proc/cpuinfo") {
        return Finding::unknown(NAME, why);
    }
    if !host.is_virtual() {
        return Finding::new(NAME, Rating::Green, "none");
    }
    Finding::new(NAME, Rating::Yellow, "a virtual machine")
        .costs("its cores may be taken away for milliseconds, and exits cost 1 to 20 µs; see the gaps below", MAGNITUDE)
        .change("a machine of your own, or a type with dedicated cores")
}

fn container(host: &Host) -> Finding {
    const NAME: &str = "container";
    let first = host.read("/proc/1/cgroup").unwrap_or_default();
    let is_inside = host.exists("/.dockerenv")
        || host.exists("/run/.containerenv")
        || ["docker", "kubepods", "containerd", "lxc"].iter().any(|word| first.contains(word));
    if is_inside {
        return Finding::new(NAME, Rating::Yellow, "inside one")
            .costs(
                "a bridge and its filters on the way of each packet: 1 to 10 µs; none with the host's network",
                MAGNITUDE,
            )
            .change("--network host --cpuset-cpus CORES --ulimit memlock=-1 --ulimit rtprio=99");
    }
    Finding::new(NAME, Rating::Green, "no sign of one")
}

fn mitigations(host: &Host) -> Finding {
    const NAME: &str = "mitigations";
    let dir = format!("{CPU}/vulnerabilities");
    let names = host.names(&dir);
    if names.is_empty() {
        return Finding::unknown(NAME, format!("{dir} is not there"));
    }
    let is_on = |name: &&String| host.read(&format!("{dir}/{name}")).is_ok_and(|text| text.starts_with("Mitigation"));
    let on: Vec<&str> = names.iter().filter(is_on).map(String::as_str).collect();
    if on.is_empty() {
        return Finding::new(NAME, Rating::Green, "none is active");
    }
    // The price is in the cost of a system call, which is measured; whether it is worth it is not for a program to say.
    Finding::new(NAME, Rating::Green, format!("active: {}", on.join(" ")))
        .costs("50 to 500 ns for each system call, and none in code of our own; see the system call below", MAGNITUDE)
}
