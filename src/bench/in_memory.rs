//! The way of a tick without sockets: bytes of a frame in, bytes of an order out, on one thread.
//!
//! It runs the engine's own parts in the order in which a thread `feed+core+gateway` runs them, and stamps as they do. The
//! floor is what the stamps themselves cost, taken in the same turns.

use super::engine::{balance, engine_config};
use super::strategy::OrderPerTick;
use super::traffic::Traffic;
use super::{BenchError, Contender, Distance, Round, Side, TcpCounters};
use crate::engine::Engine;
use crate::net::{Message, Role, WsCodec, WsLimits};
use crate::ring::{Consumer, Flag, Producer, spsc};
use crate::runtime::profile::cancelled;
use crate::runtime::{
    COMMAND_RING_SLOTS, Clock, ClockProbe, CoreDuty, Duty, GatewayStamps, LatencyStages, MARKET_RING_SLOTS, histogram,
    stamp_between,
};
use crate::types::{Command, Control, Event, Meta, Nanos, Record, VenueId};
use crate::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};
use crate::venue::{Arrival, FeedConfig, MarketFeed};

/// Ticks before the measurement: every table and branch has been used.
pub(super) const WARM_UP_TICKS: u64 = 2_000;

/// Stamps between the read's return and the write's call.
const STAMPS: usize = 7;

/// The engine's parts, joined without sockets.
struct Path {
    server: WsCodec,
    client: WsCodec,
    feed: MarketFeed,
    to_core: Producer<Record>,
    news: Producer<Record>,
    core: CoreDuty<OrderPerTick, ClockProbe>,
    commands: Consumer<Record>,
    encoder: OrderEncoder,
    clock: Clock,
}

impl Path {
    fn new(traffic: &Traffic, clock: &Clock) -> Result<Self, BenchError> {
        let table = traffic.table();
        let feed_config = FeedConfig { book_depth: Some(traffic.book_depth()), assume_empty: false };
        let (to_core, market) = spsc(MARKET_RING_SLOTS);
        let (mut news, from_venue) = spsc(MARKET_RING_SLOTS);
        let (to_gateway, commands) = spsc(COMMAND_RING_SLOTS);
        let strategy = OrderPerTick::new(table.len());
        let engine = Engine::with_probe(table, engine_config(), strategy, ClockProbe(clock.clone()));
        let (core, _status) = CoreDuty::new(engine, vec![from_venue, market], to_gateway, None, false, Flag::new());
        let meta = Meta { recv: clock.now(), ..Meta::default() };
        Event::Balance(balance(meta)).publish(&mut news);
        Event::Control(meta, Control::Arm).publish(&mut news);
        Ok(Self {
            server: WsCodec::new(Role::Server, WsLimits::default(), 1),
            client: WsCodec::new(Role::Client, WsLimits::default(), 2),
            feed: MarketFeed::new(VenueId::BYBIT, table, feed_config).ok_or(BenchError::NoInstrument)?,
            to_core,
            news,
            core,
            commands,
            encoder: OrderEncoder::new(table, 1, 5000),
            clock: clock.clone(),
        })
    }

    /// Brings a message to where the return of a read would have left it.
    fn arrive(&mut self, payload: &[u8]) {
        // The buffers are larger than any message and empty at this point.
        let _ = self.server.send_text(payload);
        let len = self.client.push(self.server.pending());
        debug_assert_eq!(len, self.server.pending().len(), "a frame fits the receive buffer");
        self.server.sent(len);
    }

    /// From the return of the read to the call of the write; returns the order if there was one.
    #[inline]
    fn step(&mut self) -> Option<(Command, GatewayStamps)> {
        let Self { client, feed, to_core, core, commands, encoder, clock, .. } = self;
        let recv = clock.now();
        while let Ok(Some(message)) = client.next_message() {
            let Message::Text(frame) = message else { continue };
            let arrival = Arrival { recv, framed_ns: stamp_between(recv, clock.now()).max(1) };
            let decoded_ns = || stamp_between(recv, clock.now()).max(1);
            let mut sink = |event: &Event<'_>| {
                event.publish(to_core);
            };
            // A message that nobody understands causes no order, and that is counted.
            let _ = feed.on_frame(frame, arrival, decoded_ns, &mut sink);
        }
        core.poll(recv);
        let command = Command::unpack(&commands.pop()?)?;
        let taken = clock.now();
        let request = |out: &mut [u8]| encoder.request(&command, taken.as_millis(), out).unwrap_or(0);
        client.send_with(ORDER_BYTES_MAX, request).ok()?;
        let encoded = clock.now();
        let written = clock.now();
        let since = |moment: Nanos| moment.saturating_since(command.at);
        Some((
            command,
            GatewayStamps { taken_ns: since(taken), encoded_ns: since(encoded), written_ns: since(written) },
        ))
    }

    /// The order is gone: bytes written, and its end told by the venue.
    fn settle(&mut self, command: &Command) {
        let len = self.client.pending().len();
        self.client.sent(len);
        let now = self.clock.now();
        Event::Order(cancelled(command, now)).publish(&mut self.news);
        self.core.poll(now);
    }
}

/// Plays `ticks` ticks on virtual time, a tenth of a millisecond apart, and returns how many orders came of them: the same instructions each
/// time, to be counted. Each order's end is played, too.
///
/// # Errors
/// [`BenchError`], if the traffic cannot be played.
pub fn play_in_memory(traffic: &Traffic, ticks: u64) -> Result<u64, BenchError> {
    const STEP_NS: u64 = 100_000;
    let start = Nanos::new(1_700_000_000_000_000_000);
    let (clock, time) = Clock::virtual_at(start);
    let mut traffic = traffic.clone();
    let mut path = Path::new(&traffic, &clock)?;
    let snapshot = traffic.snapshot().to_vec();
    if !snapshot.is_empty() {
        path.arrive(&snapshot);
        path.step();
    }
    let mut orders = 0;
    for number in 0..ticks {
        let Some(tick) = traffic.tick(number) else { break };
        time.set(start.saturating_add((number + 1) * STEP_NS));
        path.arrive(tick.payload);
        if let Some((command, _)) = path.step() {
            orders += 1;
            path.settle(&command);
        }
    }
    Ok(orders)
}

/// Plays `ticks` ticks, each first through the stamps alone and then through the engine.
pub(super) fn round(traffic: &Traffic, ticks: u64, clock: &Clock) -> Result<Round, BenchError> {
    let mut traffic = traffic.clone();
    let mut path = Path::new(&traffic, clock)?;
    let snapshot = traffic.snapshot().to_vec();
    if !snapshot.is_empty() {
        path.arrive(&snapshot);
        path.step();
    }
    let (mut floor, mut total, mut stages) = (histogram(), histogram(), LatencyStages::new());
    let mut asked = 0;
    for number in 0..WARM_UP_TICKS + ticks {
        let Some(tick) = traffic.tick(number) else { break };
        let is_measured = number >= WARM_UP_TICKS;
        asked += u64::from(is_measured && tick.expected.is_some());
        let recv = clock.now();
        let mut last = recv;
        for _ in 0..STAMPS {
            last = std::hint::black_box(clock.now());
        }
        if is_measured {
            floor.saturating_record(last.saturating_since(recv));
        }
        path.arrive(tick.payload);
        let Some((command, gateway)) = path.step() else { continue };
        if is_measured {
            stages.record(&command.stamps, &gateway);
            total.saturating_record(gateway.written_ns);
        }
        path.settle(&command);
    }
    if total.is_empty() {
        return Err(BenchError::NoOrders { side: "in memory", asked, hint: String::new() });
    }
    let side = |contender, latency| Side {
        contender,
        latency,
        generator: None,
        preemptions: 0,
        waited_ns: 0,
        tcp: TcpCounters::default(),
    };
    Ok(Round {
        sides: vec![side(Contender::Floor, floor), side(Contender::Engine, total)],
        stages,
        hot_allocations: None,
        distance: Distance::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tick_gives_one_order() {
        let traffic = Traffic::generated(1000, 296, 3);
        let round = round(&traffic, 3_000, &Clock::new()).unwrap();
        for contender in [Contender::Floor, Contender::Engine] {
            assert_eq!(round.side(contender).unwrap().latency.len(), 3_000);
        }
        assert_eq!(play_in_memory(&traffic, 500).unwrap(), 500);
        for (name, stage) in round.stages.named() {
            assert_eq!(stage.len(), 3_000, "{name}");
        }
    }
}
