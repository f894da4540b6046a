//! Sockets and the network card.

use super::card::{Card, Coalescing};
use super::cpu_list::CpuList;
use super::host::{Host, shortened};
use super::{Finding, Intent, KERNEL_DOC, MAGNITUDE, Rating};

/// Room that a burst of market data needs while its reader is away for some milliseconds.
const BUFFER_BYTES_MIN: i64 = 4 << 20;

pub(super) fn findings(host: &Host, intent: &Intent) -> Vec<Finding> {
    let mut all = vec![
        busy_poll(host),
        buffer(host, "rmem_max", "/proc/sys/net/core/rmem_max"),
        buffer(host, "wmem_max", "/proc/sys/net/core/wmem_max"),
        tcp_rmem(host),
        slow_start(host),
    ];
    match intent.iface.clone().or_else(|| host.default_iface()) {
        Some(iface) if is_name(&iface) => {
            all.push(steering(host, &iface, &intent.chosen()));
            all.push(deferral(host, &iface));
            all.extend(card(host, &iface));
        }
        found => {
            let why = found.map_or("no default route; name one with --iface".to_owned(), |name| {
                format!("`{}` is no interface", shortened(&name))
            });
            all.push(Finding::unknown("network card", why));
        }
    }
    all
}

/// Whether this can be the name of an interface, and not a path to elsewhere.
pub(super) fn is_name(iface: &str) -> bool {
    !iface.is_empty()
        && iface.len() <= 15
        && iface != "."
        && iface != ".."
        && !iface.contains(['/', '\0'])
        && iface.bytes().all(|b| b.is_ascii_graphic())
}

fn busy_poll(host: &Host) -> Finding {
    const NAME: &str = "busy polling";
    let [read, poll] = ["/proc/sys/net/core/busy_read", "/proc/sys/net/core/busy_poll"].map(|path| host.number(path));
    match (read, poll) {
        (Ok(read), Ok(poll)) => {
            let rating = if read > 0 { Rating::Green } else { Rating::Yellow };
            Finding::new(NAME, rating, format!("busy_read {read} µs, busy_poll {poll} µs"))
                .costs("a packet waits for its interrupt, 3 to 20 µs, where the card's driver can be polled", MAGNITUDE)
                .change("sysctl -w net.core.busy_read=50 net.core.busy_poll=50")
        }
        (Err(why), _) | (_, Err(why)) => Finding::unknown(NAME, why),
    }
}

fn buffer(host: &Host, name: &'static str, path: &str) -> Finding {
    let bytes = match host.number(path) {
        Ok(bytes) => bytes,
        Err(why) => return Finding::unknown(name, why),
    };
    let rating = if bytes >= BUFFER_BYTES_MIN { Rating::Green } else { Rating::Yellow };
    Finding::new(name, rating, format!("{bytes} bytes"))
        .costs("a burst beyond it closes the window: one round trip to the venue more", KERNEL_DOC)
        .change(format!("sysctl -w net.core.{name}={}", BUFFER_BYTES_MIN * 4))
}

fn tcp_rmem(host: &Host) -> Finding {
    const NAME: &str = "tcp_rmem";
    let text = match host.read("/proc/sys/net/ipv4/tcp_rmem") {
        Ok(text) => text,
        Err(why) => return Finding::unknown(NAME, why),
    };
    let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[_, _, most] = numbers.as_slice() else { return Finding::unknown(NAME, format!("`{}`", shortened(&text))) };
    let rating = if most >= BUFFER_BYTES_MIN { Rating::Green } else { Rating::Yellow };
    Finding::new(NAME, rating, format!("at most {most} bytes"))
        .costs("a burst beyond it closes the window: one round trip to the venue more", KERNEL_DOC)
        .change("sysctl -w net.ipv4.tcp_rmem='4096 131072 16777216'")
}

fn slow_start(host: &Host) -> Finding {
    const NAME: &str = "slow start after idle";
    let is_on = match host.number("/proc/sys/net/ipv4/tcp_slow_start_after_idle") {
        Ok(value) => value != 0,
        Err(why) => return Finding::unknown(NAME, why),
    };
    Finding::new(NAME, if is_on { Rating::Yellow } else { Rating::Green }, if is_on { "on" } else { "off" })
        .costs("after a rest, what is larger than ten segments (14 kB) takes another round trip; single orders are smaller", KERNEL_DOC)
        .change("sysctl -w net.ipv4.tcp_slow_start_after_idle=0")
}

fn steering(host: &Host, iface: &str, chosen: &CpuList) -> Finding {
    const NAME: &str = "packet steering";
    let dir = format!("/sys/class/net/{iface}/queues");
    let queues = host.names(&dir);
    if queues.is_empty() {
        return Finding::unknown(NAME, format!("{dir} is not there"));
    }
    let mut hot = Vec::new();
    for queue in &queues {
        let file = if queue.starts_with("rx-") { "rps_cpus" } else { "xps_cpus" };
        // A queue without the file (one of one, or a driver without) steers nothing.
        let Ok(text) = host.read(&format!("{dir}/{queue}/{file}")) else { continue };
        let Some(cpus) = CpuList::from_mask(&text) else {
            return Finding::unknown(NAME, format!("{dir}/{queue}/{file}: `{}`", shortened(&text)));
        };
        // Sending from the core that decided is as it should be; receiving work there is not.
        if file == "rps_cpus" && !cpus.and(chosen).is_empty() {
            hot.push(queue.as_str());
        }
    }
    if hot.is_empty() {
        return Finding::new(
            NAME,
            Rating::Green,
            format!("{iface}: {} queues, none steered to a hot core", queues.len()),
        );
    }
    Finding::new(NAME, Rating::Yellow, format!("{iface}: {} on hot cores", hot.join(" ")))
        .costs("other connections' packets are worked on by a hot core, 2 to 20 µs each", MAGNITUDE)
        .change(format!("echo MASK > {dir}/rx-N/rps_cpus with the cores that are not hot; 0 switches it off"))
}

fn deferral(host: &Host, iface: &str) -> Finding {
    const NAME: &str = "interrupt deferral";
    let number = |file: &str| host.number(&format!("/sys/class/net/{iface}/{file}"));
    match (number("gro_flush_timeout"), number("napi_defer_hard_irqs")) {
        (Ok(0), Ok(_)) | (Ok(_), Ok(0)) => Finding::new(NAME, Rating::Green, format!("{iface}: none")),
        (Ok(ns), Ok(count)) => Finding::new(NAME, Rating::Yellow, format!("{iface}: up to {count} times {ns} ns"))
            .costs(format!("a packet waits up to {ns} ns for its interrupt, unless its reader polls"), KERNEL_DOC)
            .change(format!("echo 0 > /sys/class/net/{iface}/napi_defer_hard_irqs, unless sockets are busy-polled")),
        (Err(why), _) | (_, Err(why)) => Finding::unknown(NAME, why),
    }
}

/// What the card collects before it tells, and what it joins.
fn card(host: &Host, iface: &str) -> [Finding; 2] {
    const NAMES: [&str; 2] = ["interrupt coalescing", "offloads"];
    if !host.exists(&format!("/sys/class/net/{iface}/device")) {
        return NAMES.map(|name| Finding::new(name, Rating::NotApplicable, format!("{iface} is no device")));
    }
    match host.card(iface) {
        Ok(card) => [coalescing(NAMES[0], iface, &card), offloads(NAMES[1], iface, &card)],
        Err(why) => NAMES.map(|name| Finding::unknown(name, why.clone())),
    }
}

fn coalescing(name: &'static str, iface: &str, card: &Card) -> Finding {
    let Some(Coalescing { rx_us, rx_frames, is_adaptive }) = card.coalescing else {
        return Finding::new(name, Rating::Green, format!("{iface}: the driver has none to set"));
    };
    let by_load = if is_adaptive { ", changed by the load" } else { "" };
    let found = format!("{iface}: an interrupt after {rx_us} µs or {rx_frames} packets{by_load}");
    // One packet is never held back, whatever the time says.
    let holds = is_adaptive || (rx_us > 0 && rx_frames != 1);
    let cost = match (is_adaptive, rx_us) {
        (false, us) => format!("a packet waits up to {us} µs for its interrupt, unless its reader polls"),
        (true, _) => "a packet waits for its interrupt as long as the driver likes, often 10 to 100 µs".to_owned(),
    };
    Finding::new(name, if holds { Rating::Yellow } else { Rating::Green }, found)
        .costs(cost, KERNEL_DOC)
        .change(format!("ethtool -C {iface} adaptive-rx off rx-usecs 0"))
}

fn offloads(name: &'static str, iface: &str, card: &Card) -> Finding {
    let said = |is_on: Option<bool>| is_on.map_or("not told", |is_on| if is_on { "on" } else { "off" });
    let found = format!("{iface}: lro {}, gro {}, tso {}", said(card.lro), said(card.gro), said(card.tso));
    // gro joins what one poll yields and tso cuts what is longer than a segment: neither holds a packet back.
    Finding::new(name, if card.lro == Some(true) { Rating::Yellow } else { Rating::Green }, found)
        .costs("with lro the card holds a packet back to join it with the next", KERNEL_DOC)
        .change(format!("ethtool -K {iface} lro off"))
}
