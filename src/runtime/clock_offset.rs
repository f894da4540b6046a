//! The venue's clock against ours.

use crate::ring::{SeqlockReader, SeqlockWriter, seqlock};
use crate::types::Nanos;

/// How fast an estimate ages: what two quartz clocks drift apart, 100 parts per million.
const DRIFT_PER_NS: u64 = 10_000;

/// A request may be stamped at most one second ahead of the venue's clock: from half of that on, uncertainty is taken off.
const AHEAD_NS: u64 = 500_000_000;

/// An estimate of the venue's clock less ours, with a bound on its error.
///
/// The venue's time was read somewhere between the moment at which the question left and the one at which the answer came;
/// so the middle is off by half the way at most. The sample with the least bound is kept while it lasts; one that
/// contradicts it means that a clock was stepped, and replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    offset_ns: i64,
    uncertainty_ns: u64,
    at: Nanos,
}

impl Default for ClockOffset {
    fn default() -> Self {
        Self { offset_ns: 0, uncertainty_ns: u64::MAX, at: Nanos::ZERO }
    }
}

impl ClockOffset {
    /// Takes a sample: asked at `asked` and answered at `answered` on our clock, `venue` on the venue's.
    pub fn observe(&mut self, asked: Nanos, venue: Nanos, answered: Nanos) {
        let half = answered.saturating_since(asked) / 2;
        let middle = asked.get().saturating_add(half);
        let offset_ns = i64::try_from(i128::from(venue.get()) - i128::from(middle)).unwrap_or(0);
        let aged = self.aged(answered);
        let is_contradiction = offset_ns.abs_diff(self.offset_ns) > half.saturating_add(aged);
        if is_contradiction || half <= aged {
            *self = Self { offset_ns, uncertainty_ns: half, at: answered };
        }
    }

    /// The next sample is believed, whatever it says.
    pub fn forget(&mut self) {
        self.uncertainty_ns = u64::MAX;
    }

    fn aged(&self, now: Nanos) -> u64 {
        self.uncertainty_ns.saturating_add(now.saturating_since(self.at) / DRIFT_PER_NS)
    }

    /// The venue's clock less ours, in nanoseconds.
    pub fn offset_ns(&self) -> i64 {
        self.offset_ns
    }

    /// How far the offset may be off, in nanoseconds, when it was taken.
    pub fn uncertainty_ns(&self) -> u64 {
        self.uncertainty_ns
    }

    /// What to stamp requests with, less our clock: the offset, and less what it may be too far ahead.
    fn stamp_ns(&self) -> i64 {
        if self.uncertainty_ns == u64::MAX {
            return self.offset_ns;
        }
        let excess = i64::try_from(self.uncertainty_ns.saturating_sub(AHEAD_NS)).unwrap_or(i64::MAX);
        self.offset_ns.saturating_sub(excess)
    }

    /// The venue's time in milliseconds, as a request should say it.
    pub fn venue_ms(&self, now: Nanos) -> u64 {
        now.get().saturating_add_signed(self.stamp_ns()) / 1_000_000
    }
}

/// What is published: what to stamp requests with, and the estimate behind it.
const OFFSET_WORDS: usize = 3;

/// Publishes the offset to the gateway.
pub struct OffsetWriter(SeqlockWriter<OFFSET_WORDS>);

/// Reads the newest offset.
#[derive(Clone)]
pub struct OffsetReader(SeqlockReader<OFFSET_WORDS>);

/// An estimate as it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEstimate {
    /// The venue's clock less ours, in nanoseconds.
    pub offset_ns: i64,
    /// How far that may be off, in nanoseconds.
    pub uncertainty_ns: u64,
    /// How often one was published, this one included.
    pub published: u64,
}

/// Makes a place for the newest offset.
pub fn clock_offset() -> (OffsetWriter, OffsetReader) {
    let (writer, reader) = seqlock();
    (OffsetWriter(writer), OffsetReader(reader))
}

impl OffsetWriter {
    /// Publishes an estimate.
    pub fn publish(&mut self, offset: &ClockOffset) {
        self.0.write([offset.stamp_ns() as u64, offset.offset_ns as u64, offset.uncertainty_ns]);
    }
}

impl OffsetReader {
    /// What to add to our clock for a request's stamp, in nanoseconds; `None` in the moment in which it is replaced, and
    /// before it was published.
    #[inline]
    pub fn read(&self) -> Option<i64> {
        self.0.read().map(|(_, [stamp, ..])| stamp as i64)
    }

    /// The estimate; `None` in the moment in which it is replaced, and before one was published.
    pub fn estimate(&self) -> Option<OffsetEstimate> {
        let (version, [_, offset, uncertainty_ns]) = self.0.read()?;
        (version > 0).then_some(OffsetEstimate { offset_ns: offset as i64, uncertainty_ns, published: version / 2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn the_quickest_answer_is_believed_until_it_is_contradicted() {
        let mut offset = ClockOffset::default();
        offset.observe(ms(1000), ms(1250), ms(1100));
        assert_eq!((offset.offset_ns(), offset.uncertainty_ns()), (200_000_000, 50_000_000));
        offset.observe(ms(2000), ms(2260), ms(2200));
        assert_eq!(offset.offset_ns(), 200_000_000, "a slower answer that agrees");
        offset.observe(ms(3000), ms(3210), ms(3010));
        assert_eq!((offset.offset_ns(), offset.uncertainty_ns()), (205_000_000, 5_000_000));
        offset.observe(ms(4000), ms(6500), ms(4200));
        assert_eq!(offset.offset_ns(), 2_400_000_000, "a clock was stepped");
    }

    #[test]
    fn an_uncertain_offset_stamps_into_the_past_rather_than_the_future() {
        let mut offset = ClockOffset::default();
        // Two seconds on the way: up to one second off. The venue refuses stamps one second ahead.
        offset.observe(ms(1000), ms(2000), ms(3000));
        assert_eq!(offset.venue_ms(ms(10_000)), 9_500);
    }

    #[test]
    fn the_gateway_reads_what_was_published() {
        let (mut writer, reader) = clock_offset();
        assert_eq!(reader.estimate(), None);
        let mut offset = ClockOffset::default();
        offset.observe(ms(1000), ms(400), ms(1002));
        writer.publish(&offset);
        assert_eq!(reader.read(), Some(-601_000_000));
        assert_eq!(
            reader.estimate(),
            Some(OffsetEstimate { offset_ns: -601_000_000, uncertainty_ns: 1_000_000, published: 1 })
        );
    }
}
