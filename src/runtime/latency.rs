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

/// Keeps the items of the greatest keys, up to a number that is fixed when it is made.
#[derive(Clone, Debug)]
pub struct Worst<T> {
    kept: Vec<(u64, T)>,
    most: usize,
    /// Where the smallest key stands, once there is no room any more.
    least_idx: usize,
}

impl<T: Copy> Worst<T> {
    /// Makes room for `most` items.
    pub fn new(most: usize) -> Self {
        Self { kept: Vec::with_capacity(most), most, least_idx: 0 }
    }

    /// Takes an item in if there is room, or in place of the one with the smallest key if its own is greater.
    ///
    /// # Cost
    /// One comparison, and a look at every kept key if the item is taken in; does not allocate.
    #[inline]
    pub fn insert(&mut self, key: u64, item: T) {
        if self.kept.len() < self.most {
            self.kept.push((key, item));
        } else {
            match self.kept.get_mut(self.least_idx) {
                Some(least) if least.0 < key => *least = (key, item),
                _ => return,
            }
        }
        self.least_idx = (0..self.kept.len()).min_by_key(|&idx| self.kept[idx].0).unwrap_or(0);
    }

    /// The kept items with their keys, in no order.
    pub fn kept(&self) -> &[(u64, T)] {
        &self.kept
    }

    /// The kept items with their keys, the greatest key first.
    pub fn into_sorted(mut self) -> Vec<(u64, T)> {
        self.kept.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
        self.kept
    }
}

/// Orders whose stamps are kept whole: the slowest ones.
pub const WORST_ORDERS_KEPT: usize = 64;

/// An order's stamps, and which order it was.
#[derive(Clone, Copy, Debug)]
pub struct StampedOrder {
    /// Its number among all that were recorded, counted from 0.
    pub number: u64,
    /// Stamps up to the decision.
    pub stamps: CommandStamps,
    /// Stamps of the gateway.
    pub gateway: GatewayStamps,
}

impl StampedOrder {
    /// What each stage took in nanoseconds, in the order of [`LatencyStages::named`], the total last.
    pub fn stages(&self) -> [u64; 8] {
        let s = &self.stamps;
        let g = &self.gateway;
        let [framed, decoded, dequeued, decided] =
            [s.framed_ns, s.decoded_ns, s.dequeued_ns, s.decided_ns].map(u64::from);
        let ends = [0, framed, decoded, dequeued, decided, g.taken_ns, g.encoded_ns, g.written_ns];
        std::array::from_fn(|idx| match idx {
            7 => g.written_ns,
            _ => ends[idx + 1].saturating_sub(ends[idx]),
        })
    }
}

/// Histograms of every stage, and the slowest orders.
#[derive(Clone, Debug)]
pub struct LatencyStages {
    orders: u64,
    worst: Worst<StampedOrder>,
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
            orders: 0,
            worst: Worst::new(WORST_ORDERS_KEPT),
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

    /// Records one order. Commands that no market message caused (a timer, a stop) carry no decode stamp and are only counted.
    ///
    /// # Cost
    /// Eight increments and a comparison; does not allocate.
    pub fn record(&mut self, stamps: &CommandStamps, gateway: &GatewayStamps) {
        let order = StampedOrder { number: self.orders, stamps: *stamps, gateway: *gateway };
        self.orders += 1;
        if stamps.decoded_ns == 0 {
            return;
        }
        let histograms = [
            &mut self.frame,
            &mut self.decode,
            &mut self.queue_core,
            &mut self.decide,
            &mut self.queue_gateway,
            &mut self.encode,
            &mut self.send,
            &mut self.tick_to_order,
        ];
        for (histogram, ns) in histograms.into_iter().zip(order.stages()) {
            histogram.saturating_record(ns);
        }
        self.worst.insert(gateway.written_ns, order);
    }

    /// The slowest orders from read to write, with what each stage took; at most [`WORST_ORDERS_KEPT`].
    pub fn worst(&self) -> &Worst<StampedOrder> {
        &self.worst
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_keys_are_kept_whatever_their_order() {
        let mut worst = Worst::new(3);
        for key in [5, 1, 9, 2, 9, 7, 0] {
            worst.insert(key, key * 10);
        }
        assert_eq!(worst.into_sorted(), [(9, 90), (9, 90), (7, 70)]);
        let mut nothing = Worst::new(0);
        nothing.insert(1, 1);
        assert!(nothing.kept().is_empty());
    }

    #[test]
    fn a_slow_order_is_kept_with_its_number_and_its_stages() {
        let mut stages = LatencyStages::new();
        let stamps = CommandStamps { framed_ns: 10, decoded_ns: 30, dequeued_ns: 60, decided_ns: 100 };
        for number in 0..1000 {
            let written_ns = if number == 437 { 5_000 } else { 210 };
            stages.record(&stamps, &GatewayStamps { taken_ns: 150, encoded_ns: 200, written_ns });
        }
        // A cancel that a timer caused: no order of a tick, but it takes a number.
        stages.record(&CommandStamps::default(), &GatewayStamps::default());
        let kept = stages.worst().clone().into_sorted();
        assert_eq!(kept.len(), WORST_ORDERS_KEPT);
        assert_eq!((kept[0].0, kept[0].1.number), (5_000, 437));
        assert_eq!(kept[0].1.stages(), [10, 20, 30, 40, 50, 50, 4_800, 5_000]);
        assert_eq!(stages.named()[7].1.len(), 1000);
    }
}
