//! Latency by stage, order by order, in HDR histograms.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::types::CommandStamps;

/// Longest latency that a histogram holds; longer ones count as this.
const LATENCY_NS_MAX: u64 = 10_000_000_000;

/// Percentiles of one stage, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// Greatest.
    pub max: u64,
}

impl From<&Histogram<u64>> for Percentiles {
    fn from(h: &Histogram<u64>) -> Self {
        Self {
            count: h.len(),
            p50: h.value_at_quantile(0.5),
            p99: h.value_at_quantile(0.99),
            p999: h.value_at_quantile(0.999),
            max: h.max(),
        }
    }
}

/// Percentiles of every stage. All zero where nothing was measured, as in a replay on virtual time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LatencySummary {
    /// Read returned → frame cut out.
    pub frame: Percentiles,
    /// → decoded and sequenced.
    pub decode: Percentiles,
    /// → taken by the core.
    pub queue_core: Percentiles,
    /// → decided and risk-checked.
    pub decide: Percentiles,
    /// → taken by the gateway.
    pub queue_gateway: Percentiles,
    /// → order bytes rendered.
    pub encode: Percentiles,
    /// → the call of the write that carries them.
    pub send: Percentiles,
    /// Read returned → call of the write.
    pub tick_to_order: Percentiles,
}

/// A histogram over the whole range, allocated once.
pub fn histogram() -> Histogram<u64> {
    // Three significant digits, fixed range: recording never allocates. The bounds are constants that are valid.
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).unwrap_or_else(|_| unreachable!("bounds are valid"))
}

/// Histograms of every stage.
#[derive(Clone, Debug)]
pub struct LatencyStages {
    frame: Histogram<u64>,
    decode: Histogram<u64>,
    queue_core: Histogram<u64>,
    decide: Histogram<u64>,
    queue_gateway: Histogram<u64>,
    encode: Histogram<u64>,
    send: Histogram<u64>,
    tick_to_order: Histogram<u64>,
}

/// Stamps that the gateway adds, in nanoseconds since the read returned.
#[derive(Clone, Copy, Debug, Default)]
pub struct GatewayStamps {
    /// The gateway took the command.
    pub taken_ns: u64,
    /// The bytes were rendered.
    pub encoded_ns: u64,
    /// The write was called.
    pub written_ns: u64,
}

impl LatencyStages {
    /// Makes empty histograms.
    pub fn new() -> Self {
        Self {
            frame: histogram(),
            decode: histogram(),
            queue_core: histogram(),
            decide: histogram(),
            queue_gateway: histogram(),
            encode: histogram(),
            send: histogram(),
            tick_to_order: histogram(),
        }
    }

    /// Records one order. Commands that no market message caused (a timer, a stop) carry no decode stamp and are left out.
    ///
    /// # Cost
    /// Eight increments; does not allocate.
    pub fn record(&mut self, stamps: &CommandStamps, gateway: &GatewayStamps) {
        if stamps.decoded_ns == 0 {
            return;
        }
        let [framed, decoded, dequeued, decided] =
            [stamps.framed_ns, stamps.decoded_ns, stamps.dequeued_ns, stamps.decided_ns].map(u64::from);
        let stage = |h: &mut Histogram<u64>, from: u64, to: u64| h.saturating_record(to.saturating_sub(from));
        stage(&mut self.frame, 0, framed);
        stage(&mut self.decode, framed, decoded);
        stage(&mut self.queue_core, decoded, dequeued);
        stage(&mut self.decide, dequeued, decided);
        stage(&mut self.queue_gateway, decided, gateway.taken_ns);
        stage(&mut self.encode, gateway.taken_ns, gateway.encoded_ns);
        stage(&mut self.send, gateway.encoded_ns, gateway.written_ns);
        stage(&mut self.tick_to_order, 0, gateway.written_ns);
    }

    /// Percentiles of every stage.
    pub fn summary(&self) -> LatencySummary {
        LatencySummary {
            frame: (&self.frame).into(),
            decode: (&self.decode).into(),
            queue_core: (&self.queue_core).into(),
            decide: (&self.decide).into(),
            queue_gateway: (&self.queue_gateway).into(),
            encode: (&self.encode).into(),
            send: (&self.send).into(),
            tick_to_order: (&self.tick_to_order).into(),
        }
    }

    /// Every stage's histogram with its name, in the order of the path.
    pub fn named(&self) -> [(&'static str, &Histogram<u64>); 8] {
        [
            ("frame", &self.frame),
            ("decode", &self.decode),
            ("queue_core", &self.queue_core),
            ("decide", &self.decide),
            ("queue_gateway", &self.queue_gateway),
            ("encode", &self.encode),
            ("send", &self.send),
            ("tick_to_order", &self.tick_to_order),
        ]
    }
}

impl Default for LatencyStages {
    fn default() -> Self {
        Self::new()
    }
}
