//! Order by order: what was predicted and what was lived, and whether that is good enough.

use std::collections::HashMap;

use super::lived::{Lived, LivedOrder};
use super::simulated::Predicted;
use crate::sim::QueuePosition;
use crate::types::ClientOrderId;

/// What a comparison found of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Filled in both, if not to the same part.
    BothFilled,
    /// Filled in neither.
    NeitherFilled,
    /// The simulator fills what was not filled: it promises too much.
    OnlyPredicted,
    /// What was filled the simulator does not fill: it promises too little.
    OnlyLived,
}

impl Outcome {
    fn of(lived: &LivedOrder, predicted: &Predicted) -> Self {
        match (lived.filled.get() > 0, predicted.filled.get() > 0) {
            (true, true) => Self::BothFilled,
            (false, false) => Self::NeitherFilled,
            (false, true) => Self::OnlyPredicted,
            (true, false) => Self::OnlyLived,
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BothFilled => "both_filled",
            Self::NeitherFilled => "neither_filled",
            Self::OnlyPredicted => "only_predicted",
            Self::OnlyLived => "only_lived",
        }
    }
}

impl LivedOrder {
    /// What the comparison with a prediction says of it.
    pub fn outcome(&self, predicted: &Predicted) -> Outcome {
        Outcome::of(self, predicted)
    }
}

/// Sums over compared orders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// Orders compared: all that the venue did not refuse.
    pub orders: u64,
    /// Filled in both.
    pub both_filled: u64,
    /// Filled in neither.
    pub neither_filled: u64,
    /// Filled by the simulator alone.
    pub only_predicted: u64,
    /// Filled in life alone.
    pub only_lived: u64,
    /// Sum of lots filled in life.
    pub lived_lots: i128,
    /// Sum of lots that the simulator fills.
    pub predicted_lots: i128,
    /// Sum over orders of the difference, either way, in lots.
    pub error_lots: i128,
    /// How much later than in life the first fill comes, for orders filled in both, in nanoseconds: median, and median without sign.
    pub first_fill_late_ns: Option<(i64, u64)>,
}

impl Compared {
    fn of<'a>(orders: impl Iterator<Item = (&'a LivedOrder, Predicted)>) -> Self {
        let mut found = Self::default();
        let mut late = Vec::new();
        for (lived, predicted) in orders {
            found.orders += 1;
            match Outcome::of(lived, &predicted) {
                Outcome::BothFilled => found.both_filled += 1,
                Outcome::NeitherFilled => found.neither_filled += 1,
                Outcome::OnlyPredicted => found.only_predicted += 1,
                Outcome::OnlyLived => found.only_lived += 1,
            }
            let (was, is) = (i128::from(lived.filled.get()), i128::from(predicted.filled.get()));
            found.lived_lots += was;
            found.predicted_lots += is;
            found.error_lots += (was - is).abs();
            if let (Some(was), Some(is)) = (lived.first_fill, predicted.first_fill) {
                late.push(is.saturating_delta(was).get());
            }
        }
        late.sort_unstable();
        let median = late.get(late.len() / 2).copied();
        late.sort_unstable_by_key(|ns| ns.unsigned_abs());
        found.first_fill_late_ns = median.zip(late.get(late.len() / 2).map(|ns| ns.unsigned_abs()));
        found
    }

    /// Share of orders of which the simulator says rightly whether they are filled at all; `None` without orders.
    pub fn agreement(&self) -> Option<f64> {
        (self.orders > 0).then(|| (self.both_filled + self.neither_filled) as f64 / self.orders as f64)
    }

    /// Lots that the simulator fills, for each lot that was filled; `None` if none was.
    pub fn fill_ratio(&self) -> Option<f64> {
        (self.lived_lots > 0).then(|| self.predicted_lots as f64 / self.lived_lots as f64)
    }

    /// Sum of differences for each lot that was filled; `None` if none was. What models are chosen by.
    pub fn relative_error(&self) -> Option<f64> {
        (self.lived_lots > 0).then(|| self.error_lots as f64 / self.lived_lots as f64)
    }
}

/// How well recorded latencies of the first half stand for those of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyFit {
    /// Requests with an answer.
    pub requests: u64,
    /// Medians of both halves, from decision to answer, in nanoseconds.
    pub median_ns: [u64; 2],
    /// 99th percentiles of both halves.
    pub p99_ns: [u64; 2],
    /// Greatest distance between the two distributions (Kolmogorov–Smirnov), 0 to 1.
    pub distance: f64,
}

impl LatencyFit {
    fn of(round_trips_ns: &[u64]) -> Option<Self> {
        let (first, second) = round_trips_ns.split_at(round_trips_ns.len() / 2);
        let [mut first, mut second] = [first.to_vec(), second.to_vec()];
        first.sort_unstable();
        second.sort_unstable();
        let at =
            |sorted: &[u64], percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1)).copied();
        if first.is_empty() {
            return None;
        }
        let below = |sorted: &[u64], ns: u64| sorted.partition_point(|&x| x <= ns) as f64 / sorted.len() as f64;
        let distance = first.iter().chain(&second).map(|&ns| (below(&first, ns) - below(&second, ns)).abs());
        Some(Self {
            requests: round_trips_ns.len() as u64,
            median_ns: [at(&first, 50)?, at(&second, 50)?],
            p99_ns: [at(&first, 99)?, at(&second, 99)?],
            distance: distance.fold(0.0, f64::max),
        })
    }
}

/// What a simulation must reach to be called good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Least orders in the half that judges, and least of them that were filled.
    pub orders: u64,
    /// Least share of orders of which is rightly said whether they are filled.
    pub agreement: f64,
    /// Greatest distance of the fill ratio from one.
    pub fill_ratio_off: f64,
    /// Most that the first fill of an order, in the median, comes sooner or later than it did, in nanoseconds.
    pub first_fill_off_ns: u64,
    /// Greatest distance between the latencies of the halves.
    pub latency_distance: f64,
}

impl Default for Bar {
    /// Thirty orders and ten filled ones, nine of ten orders right, a tenth of the filled quantity, a tenth of a second, a quarter of
    /// the latencies.
    fn default() -> Self {
        let first_fill_off_ns = 100_000_000;
        Self { orders: 30, agreement: 0.9, fill_ratio_off: 0.1, first_fill_off_ns, latency_distance: 0.25 }
    }
}

/// Least filled orders in the half that judges.
const FILLED_MIN: u64 = 10;

/// What is to be said of the simulator.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The chosen model.
    pub chosen: QueuePosition,
    /// Each model on the first half, in the order in which they were tried.
    pub fitted: Vec<(QueuePosition, Compared)>,
    /// The chosen model on the second half.
    pub judged: Compared,
    /// Latencies; `None` if no request was answered.
    pub latency: Option<LatencyFit>,
    /// Why the simulator is not called good; empty if it is.
    pub reasons: Vec<String>,
    /// Each order with its prediction by the chosen model.
    pub orders: Vec<(LivedOrder, Predicted)>,
}

impl Judgement {
    /// Chooses a model by the first half of the orders and judges it by the second. `None` if there is no model.
    pub fn of(
        lived: &Lived,
        predictions: &[(QueuePosition, HashMap<ClientOrderId, Predicted>)],
        bar: &Bar,
    ) -> Option<Self> {
        let orders: Vec<&LivedOrder> = lived.orders().iter().filter(|order| !order.is_refused).collect();
        let (first, second) = orders.split_at(orders.len() / 2);
        let with = |half: &[&LivedOrder], predicted: &HashMap<ClientOrderId, Predicted>| {
            Compared::of(
                half.iter().map(|&order| (order, predicted.get(&order.client_id).copied().unwrap_or_default())),
            )
        };
        let fitted: Vec<(QueuePosition, Compared)> =
            predictions.iter().map(|(position, predicted)| (*position, with(first, predicted))).collect();
        // The first of equals, which is the more cautious one.
        let (best, _) = fitted.iter().enumerate().min_by_key(|(_, (_, compared))| compared.error_lots)?;
        let (chosen, predicted) = &predictions[best];
        let judged = with(second, predicted);
        let latency = LatencyFit::of(lived.round_trips_ns());
        Some(Self {
            chosen: *chosen,
            reasons: reasons(&judged, latency.as_ref(), bar),
            fitted,
            judged,
            latency,
            orders: orders
                .iter()
                .map(|&order| (*order, predicted.get(&order.client_id).copied().unwrap_or_default()))
                .collect(),
        })
    }

    /// Whether the simulator may be called good.
    pub fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }
}

fn reasons(judged: &Compared, latency: Option<&LatencyFit>, bar: &Bar) -> Vec<String> {
    let mut reasons = Vec::new();
    let filled = judged.both_filled + judged.only_lived;
    if judged.orders < bar.orders || filled < FILLED_MIN {
        reasons.push(format!(
            "too little to judge by: {} orders, {filled} of them filled; asked are {} and {FILLED_MIN}",
            judged.orders, bar.orders
        ));
    }
    if let Some(agreement) = judged.agreement().filter(|found| *found < bar.agreement) {
        reasons.push(format!(
            "fills: right for {:.1} % of the orders, asked are {:.1} % ({} only predicted, {} only lived)",
            agreement * 100.0,
            bar.agreement * 100.0,
            judged.only_predicted,
            judged.only_lived
        ));
    }
    if let Some(ratio) = judged.fill_ratio().filter(|ratio| (ratio - 1.0).abs() > bar.fill_ratio_off) {
        reasons.push(format!(
            "quantity: {ratio:.3} lots predicted for each lot filled, allowed are {:.2} to {:.2}",
            1.0 - bar.fill_ratio_off,
            1.0 + bar.fill_ratio_off
        ));
    }
    if let Some((_, off)) = judged.first_fill_late_ns.filter(|(_, off)| *off > bar.first_fill_off_ns) {
        reasons.push(format!(
            "time: first fills are {} ms off in the median, allowed are {}",
            off / 1_000_000,
            bar.first_fill_off_ns / 1_000_000
        ));
    }
    match latency {
        None => reasons.push("latency: no request was answered".to_owned()),
        Some(fit) if fit.distance > bar.latency_distance => reasons.push(format!(
            "latency: the halves of the session are {:.2} apart, allowed are {:.2}: recorded ones do not stand for others",
            fit.distance, bar.latency_distance
        )),
        Some(_) => {}
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InstrumentId, Lots, Nanos, Side, Ticks};

    fn order(id: u64, filled: i64, at: u64) -> LivedOrder {
        LivedOrder {
            client_id: ClientOrderId(id),
            instrument: InstrumentId(0),
            side: Side::Bid,
            px: Ticks::new(100),
            qty: Lots::new(10),
            at: Nanos::new(at),
            filled: Lots::new(filled),
            first_fill: (filled > 0).then(|| Nanos::new(at + 50)),
            is_refused: false,
        }
    }

    fn predicted(filled: i64, at: u64) -> Predicted {
        Predicted { filled: Lots::new(filled), first_fill: (filled > 0).then(|| Nanos::new(at)) }
    }

    #[test]
    fn sums_are_those_of_the_orders() {
        let orders = [order(1, 10, 0), order(2, 0, 0), order(3, 4, 0), order(4, 0, 0)];
        let guesses = [predicted(6, 80), predicted(0, 0), predicted(0, 0), predicted(3, 9)];
        let found = Compared::of(orders.iter().zip(guesses));
        assert_eq!((found.both_filled, found.neither_filled, found.only_lived, found.only_predicted), (1, 1, 1, 1));
        assert_eq!((found.lived_lots, found.predicted_lots, found.error_lots), (14, 9, 4 + 4 + 3));
        assert_eq!(found.agreement(), Some(0.5));
        assert_eq!(found.fill_ratio(), Some(9.0 / 14.0));
        assert_eq!(found.first_fill_late_ns, Some((30, 30)));
        assert_eq!(Compared::default().agreement(), None);
    }

    #[test]
    fn halves_that_differ_are_told_apart() {
        let same = LatencyFit::of(&[1, 2, 3, 4, 1, 2, 3, 4]).unwrap();
        assert_eq!((same.distance, same.median_ns), (0.0, [3, 3]));
        assert_eq!(LatencyFit::of(&[1, 1, 1, 9, 9, 9]).unwrap().distance, 1.0);
        assert_eq!(LatencyFit::of(&[]), None);
    }

    /// A hundred orders, every third filled; a guess is right but for every `wrong`th.
    fn judge(wrong: usize, late: u64, fill_off: u64) -> Judgement {
        let mut lived = Lived::default();
        let mut guesses = HashMap::new();
        for n in 0..100u64 {
            let filled = if n % 3 == 0 { 10 } else { 0 };
            lived.push_for_tests(order(n, filled, n * 1_000), 1_000 + n % 2 + if n < 50 { 0 } else { late });
            let is_wrong = wrong > 0 && (n as usize).is_multiple_of(wrong);
            let guess = if is_wrong { 10 - filled } else { filled };
            guesses.insert(ClientOrderId(n), predicted(guess, n * 1_000 + 60 + fill_off));
        }
        let none = (QueuePosition::Conservative, HashMap::new());
        Judgement::of(&lived, &[none, ("power:1".parse().unwrap(), guesses)], &Bar::default()).unwrap()
    }

    #[test]
    fn the_better_model_is_chosen_and_called_good_only_if_it_is() {
        let good = judge(0, 0, 0);
        assert_eq!(good.chosen.to_string(), "power:1");
        assert!(good.is_good(), "{:?}", good.reasons);
        assert_eq!((good.judged.orders, good.judged.both_filled), (50, 17));
        let wrong = judge(5, 0, 0);
        assert!(wrong.reasons.iter().any(|why| why.starts_with("fills: right for 80.0 %")), "{:?}", wrong.reasons);
        let late = judge(0, 500, 0);
        assert!(late.reasons.iter().any(|why| why.starts_with("latency")), "{:?}", late.reasons);
        let slow = judge(0, 0, 2_000_000_000);
        assert!(
            slow.reasons.iter().any(|why| why.starts_with("time: first fills are 2000 ms off")),
            "{:?}",
            slow.reasons
        );
        let few = Judgement::of(&Lived::default(), &[(QueuePosition::Conservative, HashMap::new())], &Bar::default())
            .unwrap();
        assert!(few.reasons.iter().any(|why| why.starts_with("too little")) && !few.is_good());
        assert!(Judgement::of(&Lived::default(), &[], &Bar::default()).is_none());
    }
}
