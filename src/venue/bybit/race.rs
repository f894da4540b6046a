//! Several connections that carry the same streams: the first copy of each message counts.
//!
//! Every connection delivers each stream in order and whole. So a message is new if its number is above the last one taken; and
//! where several items share a number (the trades of a sweep), a connection's third item of that number is new if only two
//! were taken. Books need less: their update ids tell by themselves. Numbers are the venue's cross sequence, which is the same
//! on every connection.

/// Most connections that race.
pub const SOURCES_MAX: usize = 4;

/// What one connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RaceCount {
    /// Messages that it brought first.
    pub first: u64,
    /// Messages that another had brought before.
    pub late: u64,
}

impl RaceCount {
    /// Part of its messages that came first, in hundredths of a percent; `None` if there were none.
    pub fn win_rate_bps(&self) -> Option<u64> {
        (self.first * 10_000).checked_div(self.first + self.late)
    }
}

/// The connection that speaks, and what all of them brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Race {
    /// `None`: there is one connection, and everything counts.
    pub source: Option<u8>,
    pub counts: [RaceCount; SOURCES_MAX],
}

impl Race {
    /// Notes whether the message at hand came first, and returns it.
    #[inline]
    pub fn note(&mut self, is_first: bool) -> bool {
        if let Some(count) = self.source.and_then(|source| self.counts.get_mut(usize::from(source))) {
            count.first += u64::from(is_first);
            count.late += u64::from(!is_first);
        }
        is_first
    }
}

/// One stream: the last number taken and how many items of it, and the same of each connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Series {
    last: u64,
    taken: u32,
    brought: [(u64, u32); SOURCES_MAX],
}

impl Series {
    /// Whether an item with this number is new.
    #[inline]
    pub fn admits(&mut self, seq: u64, race: &Race) -> bool {
        let Some(source) = race.source else { return true };
        let Some((number, count)) = self.brought.get_mut(usize::from(source)) else { return true };
        if *number == seq {
            *count = count.saturating_add(1);
        } else {
            (*number, *count) = (seq, 1);
        }
        let count = *count;
        if seq > self.last {
            (self.last, self.taken) = (seq, count);
            return true;
        }
        let is_new = seq == self.last && count > self.taken;
        if is_new {
            self.taken = count;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However two copies of a stream interleave, each message is taken once, and in order.
        #[test]
        fn any_interleaving_gives_the_stream_once(
            steps in proptest::collection::vec(0u64..3, 1..60),
            turns in proptest::collection::vec(any::<bool>(), 200),
        ) {
            // Numbers rise or repeat, as in sweeps.
            let mut seq = 1;
            let stream: Vec<(u64, usize)> = steps.iter().enumerate().map(|(idx, step)| { seq += step; (seq, idx) }).collect();
            let (mut series, mut race) = (Series::default(), Race::default());
            let mut at = [0, 0];
            let mut taken = Vec::new();
            let mut turns = turns.into_iter().cycle();
            while at.iter().any(|&at| at < stream.len()) {
                let mut source = usize::from(turns.next().unwrap());
                if at[source] == stream.len() {
                    source = 1 - source;
                }
                let (seq, idx) = stream[at[source]];
                at[source] += 1;
                race.source = Some(source as u8);
                if race.note(series.admits(seq, &race.clone())) {
                    taken.push((seq, idx));
                }
            }
            prop_assert_eq!(taken, stream);
            let all: u64 = race.counts.iter().map(|count| count.first + count.late).sum();
            prop_assert_eq!(all, 2 * steps.len() as u64);
        }
    }
}
