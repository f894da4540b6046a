//! Scripts from seeds.

use super::{Act, Channel, CutAt, Fault, FaultScript, MessageFault, Request, RequestFault, Topic};
use crate::sim::Rng;

impl FaultScript {
    /// Composes the script that belongs to a seed, for a run of `duration_ns`. Faults begin after [`CALM_NS`], and the last
    /// one, with all that it holds back, is over [`HEAL_NS`] before the end; a run shorter than both has none.
    pub fn generate(seed: u64, duration_ns: u64) -> Self {
        // Apart from the market's seed, so that neighbours have nothing in common.
        let mut rng = Rng::new(seed ^ 0x6661_756c_7473);
        let mut script = Self { seed: Some(seed), faults: Vec::new() };
        let Some(room_ns) = duration_ns.checked_sub(CALM_NS + HEAL_NS).filter(|room| *room >= SECOND_NS) else {
            return script;
        };
        // Quiet days, ordinary ones, and days on which everything goes wrong; on average a fault in eight seconds.
        let mean = (room_ns / (8 * SECOND_NS)).max(1);
        let count = match rng.below(4) {
            0 => 1 + rng.below(mean.div_ceil(2)),
            1 | 2 => 1 + mean / 2 + rng.below(mean),
            _ => 1 + mean + rng.below(2 * mean),
        };
        for _ in 0..count {
            let act = draw(&mut rng);
            // Whole tenths of a second: easy to read, and no loss.
            let tenths = |rng: &mut Rng, low: i64, high: i64| rng.between(low, high) as u64 * SECOND_NS / 10;
            let for_ns = match act {
                _ if act.is_instant() => None,
                Act::Freeze => Some(tenths(&mut rng, 5, 60)),
                Act::Stall(_) | Act::Silence(_) => Some(tenths(&mut rng, 5, 120)),
                Act::HalfOpen(_) => Some(tenths(&mut rng, 20, 200)),
                Act::Ban | Act::RestartTrade => Some(tenths(&mut rng, 10, 80)),
                Act::Clock { .. } => Some(tenths(&mut rng, 10, 150)),
                // Counted ones sometimes last, and then hit whatever comes.
                _ if rng.one_in(4) => Some(tenths(&mut rng, 2, 40)),
                _ => None,
            };
            let is_counted = act.is_counted() && (for_ns.is_none() || rng.one_in(2));
            let count = is_counted.then(|| 1 + rng.below(4) as u32);
            let lasts_ns = Fault { at_ns: 0, for_ns, act, count }.end_ns() + held_ns(&act);
            let Some(latest_ns) = room_ns.checked_sub(lasts_ns) else { continue };
            let at_ns = CALM_NS + rng.below(latest_ns / MILLI_NS + 1) * MILLI_NS;
            if let Act::Message { channel, topic: Some(Topic::Login), .. } = act {
                // Logins happen after a break, so there is one.
                script.faults.push(Fault { at_ns, for_ns: None, act: Act::Cut(channel, CutAt::Now), count: None });
            }
            script.faults.push(Fault { at_ns, for_ns, act, count });
        }
        script.faults.sort_by_key(|fault| fault.at_ns);
        script
    }
}

/// How long after its end a fault's effect may still arrive.
fn held_ns(act: &Act) -> u64 {
    match *act {
        Act::Message { how: MessageFault::Delay(ns) | MessageFault::Duplicate(ns), .. } => ns,
        Act::Message { how: MessageFault::Reorder, .. } => SECOND_NS,
        Act::Request(RequestFault::Hold(ns), _) => ns,
        _ => 0,
    }
}

fn pick<T: Copy>(rng: &mut Rng, list: &[T]) -> Option<T> {
    list.get(rng.below(list.len() as u64) as usize).copied()
}

/// Draws what goes wrong.
fn draw(rng: &mut Rng) -> Act {
    let streams = [Channel::Public, Channel::Private, Channel::Trade];
    let stream = |rng: &mut Rng| pick(rng, &streams).unwrap_or(Channel::Private);
    let request = |rng: &mut Rng| {
        use Request::{Amend, Cancel, Order, Rest};
        pick(rng, &[Order, Order, Order, Amend, Amend, Cancel, Cancel, Rest, Rest]).unwrap_or(Order)
    };
    match rng.below(100) {
        0..30 => message(rng),
        30..34 => Act::Silence(stream(rng)),
        34..38 => Act::Stall(
            pick(rng, &[Channel::Public, Channel::Private, Channel::Trade, Channel::Rest]).unwrap_or(Channel::Rest),
        ),
        38..41 => Act::HalfOpen(stream(rng)),
        41..46 => Act::Cut(stream(rng), CutAt::Now),
        46..50 => {
            let all = [Channel::Public, Channel::Private, Channel::Trade, Channel::Rest];
            Act::Cut(pick(rng, &all).unwrap_or(Channel::Trade), CutAt::MidFrame)
        }
        50..56 => {
            let request = request(rng);
            let at = if rng.one_in(2) { CutAt::Mid(request) } else { CutAt::After(request) };
            Act::Cut(request.channel(), at)
        }
        56..58 => Act::Kick(stream(rng)),
        58..62 => Act::Request(RequestFault::Lose, request(rng)),
        62..66 => {
            // Some beyond the ordinary window of five seconds.
            let ns = rng.between(1, 60) as u64 * SECOND_NS / 10;
            Act::Request(RequestFault::Hold(ns), request(rng))
        }
        66..74 => {
            let request = request(rng);
            Act::Request(RequestFault::Refuse(pick(rng, refusals(request)).unwrap_or(10_006)), request)
        }
        74..79 => {
            let code = pick(rng, &[10_000, 10_016, 10_429, 500_000]).unwrap_or(10_000);
            let request = pick(rng, &[Request::Order, Request::Order, Request::Amend, Request::Cancel]);
            Act::Request(RequestFault::Doubt(code), request.unwrap_or(Request::Order))
        }
        79..82 => Act::Http(pick(rng, &[403, 429, 500, 503]).unwrap_or(503)),
        82..83 => Act::Ban,
        83..84 => Act::RestartTrade,
        84..86 => Act::RestartVenue,
        86..88 => Act::Snapshot { is_restart: rng.one_in(2) },
        88..90 => Act::Reprice { ticks: 1 + rng.below(5) as u32 },
        90..95 => Act::Race { is_told_twice: rng.one_in(2) },
        95..97 => {
            let ns = rng.between(2, 25) * 100_000_000;
            Act::Clock { ahead_ns: if rng.one_in(2) { ns } else { -ns } }
        }
        _ => Act::Freeze,
    }
}

/// Codes with which the venue refuses and does nothing.
fn refusals(request: Request) -> &'static [i32] {
    match request {
        Request::Order => &[10_002, 10_006, 10_000, 10_016, 10_429, 10_019, 110_003, 110_007, 110_094],
        Request::Amend => &[10_002, 10_006, 10_000, 10_016, 110_001, 110_079],
        Request::Cancel => &[10_002, 10_006, 10_000, 10_016, 110_001, 110_079],
        Request::Rest => &[10_002, 10_006, 10_000, 10_016],
    }
}

fn message(rng: &mut Rng) -> Act {
    use Channel::{Private, Public, Rest, Trade};
    let targets: [(Channel, Option<Topic>); 18] = [
        (Public, Some(Topic::Orderbook)),
        (Public, Some(Topic::Orderbook)),
        (Public, Some(Topic::Trades)),
        (Public, Some(Topic::Tickers)),
        (Public, Some(Topic::Login)),
        (Private, None),
        (Private, Some(Topic::Order)),
        (Private, Some(Topic::Order)),
        (Private, Some(Topic::Execution)),
        (Private, Some(Topic::Execution)),
        (Private, Some(Topic::Position)),
        (Private, Some(Topic::Wallet)),
        (Private, Some(Topic::Login)),
        (Trade, Some(Topic::Order)),
        (Trade, Some(Topic::Amend)),
        (Trade, Some(Topic::Cancel)),
        (Trade, None),
        (Rest, None),
    ];
    let (channel, topic) = pick(rng, &targets).unwrap_or((Private, None));
    let late_ns = rng.between(1, 30) as u64 * SECOND_NS / 10;
    let how = match rng.below(10) {
        0..4 => MessageFault::Drop,
        // One HTTP answer belongs to one request: a second one would be a protocol error, not a fault of the venue.
        4..6 if channel != Rest => MessageFault::Duplicate(if rng.one_in(2) { 0 } else { late_ns }),
        6..7 if channel != Rest => MessageFault::Reorder,
        7..8 => MessageFault::Corrupt,
        _ => MessageFault::Delay(late_ns),
    };
    Act::Message { how, channel, topic }
}

/// Calm at the beginning of a generated script: the engine has orders by then.
pub const CALM_NS: u64 = 3 * SECOND_NS;

/// Calm at its end, in which everything must heal.
pub const HEAL_NS: u64 = 20 * SECOND_NS;

const SECOND_NS: u64 = 1_000_000_000;
const MILLI_NS: u64 = 1_000_000;
