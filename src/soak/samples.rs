//! Samples of a run, in a memory that does not grow with it: when there are too many, two become one.

use std::time::Duration;

use crate::runtime::OffsetEstimate;

/// Most samples that are kept.
pub const SAMPLES_MAX: usize = 2048;

/// Most queues that are watched; rings of the same name count as one.
pub const QUEUES_MAX: usize = 16;

/// What was seen at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Time since trading began, in nanoseconds.
    pub at_ns: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// The most that was seen in each queue since the sample before, by [`Samples::queues`].
    pub fills: [u32; QUEUES_MAX],
    /// The clocks as they were compared last, if they were.
    pub clock: Option<OffsetEstimate>,
}

/// A queue that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// From where to where.
    pub name: &'static str,
    /// Slots in all.
    pub capacity: usize,
}

/// The samples of a run.
#[derive(Clone, Debug)]
pub struct Samples {
    taken: Vec<Sample>,
    queues: Vec<Queue>,
    next: Sample,
    every_ns: u64,
    due_ns: u64,
}

impl Samples {
    /// Begins, a sample each `every`.
    pub fn new(every: Duration) -> Self {
        Self {
            taken: Vec::with_capacity(SAMPLES_MAX),
            queues: Vec::with_capacity(QUEUES_MAX),
            next: Sample::default(),
            every_ns: u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1),
            due_ns: 0,
        }
    }

    /// So much was in a queue at some moment; a queue beyond [`QUEUES_MAX`] is not watched.
    pub fn see_queue(&mut self, queue: Queue, fill: usize) {
        let idx = match self.queues.iter().position(|known| known.name == queue.name) {
            Some(idx) => idx,
            None if self.queues.len() < QUEUES_MAX => {
                self.queues.push(queue);
                self.queues.len() - 1
            }
            None => return,
        };
        let seen = &mut self.next.fills[idx];
        *seen = (*seen).max(u32::try_from(fill).unwrap_or(u32::MAX));
    }

    /// Whether it is time for a sample.
    pub fn is_due(&self, elapsed: Duration) -> bool {
        elapsed.as_nanos() >= u128::from(self.due_ns)
    }

    /// Takes the sample.
    pub fn take(&mut self, elapsed: Duration, rss_bytes: u64, clock: Option<OffsetEstimate>) {
        let at_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let clock = clock.or_else(|| self.taken.last().and_then(|last| last.clock));
        let Sample { fills, .. } = std::mem::take(&mut self.next);
        if self.taken.len() == SAMPLES_MAX {
            self.halve();
        }
        self.taken.push(Sample { at_ns, rss_bytes, fills, clock });
        self.due_ns = at_ns.saturating_add(self.every_ns);
    }

    /// Makes one of two: the most that was seen, and the first comparison of the clocks, so that the one at the start stays.
    fn halve(&mut self) {
        for idx in 0..self.taken.len() / 2 {
            let (first, second) = (self.taken[2 * idx], self.taken[2 * idx + 1]);
            let mut fills = first.fills;
            for (fill, more) in fills.iter_mut().zip(second.fills) {
                *fill = (*fill).max(more);
            }
            self.taken[idx] = Sample {
                at_ns: second.at_ns,
                rss_bytes: first.rss_bytes.max(second.rss_bytes),
                fills,
                clock: first.clock.or(second.clock),
            };
        }
        self.taken.truncate(SAMPLES_MAX / 2);
        self.every_ns = self.every_ns.saturating_mul(2);
    }

    /// What was taken, in the order of time.
    pub fn taken(&self) -> &[Sample] {
        &self.taken
    }

    /// The queues that were seen.
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_peaks_are_kept() {
        let mut samples = Samples::new(Duration::from_secs(1));
        let queue = Queue { name: "feed to core", capacity: 8192 };
        let clock = |published| Some(OffsetEstimate { offset_ns: 5, uncertainty_ns: 1, published });
        let capacity = samples.taken.capacity();
        for second in 0..100_000u64 {
            samples.see_queue(queue, if second == 40_000 { 700 } else { 3 });
            let elapsed = Duration::from_secs(second);
            if samples.is_due(elapsed) {
                samples.take(elapsed, second, clock(second));
            }
        }
        assert!(samples.taken.len() <= SAMPLES_MAX && samples.taken.capacity() == capacity);
        assert!(samples.taken.is_sorted_by_key(|sample| sample.at_ns));
        assert_eq!(samples.taken.iter().map(|sample| sample.fills[0]).max(), Some(700));
        assert_eq!(samples.taken[0].clock, clock(0), "the comparison at the start");
        assert!(samples.taken.last().unwrap().rss_bytes > 99_000);
    }

    #[test]
    fn rings_of_one_name_count_as_the_fuller_one_and_each_sample_begins_anew() {
        let mut samples = Samples::new(Duration::from_secs(1));
        for fill in [3, 9, 4] {
            samples.see_queue(Queue { name: "feed to core", capacity: 8192 }, fill);
        }
        samples.take(Duration::ZERO, 1, None);
        samples.take(Duration::from_secs(1), 1, None);
        let fills: Vec<u32> = samples.taken.iter().map(|sample| sample.fills[0]).collect();
        assert_eq!((samples.queues.len(), fills), (1, vec![9, 0]));
    }
}
