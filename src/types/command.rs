//! What the engine asks of a venue, in venue-neutral terms.

use super::event::byte_enum;
use super::{ClientOrderId, InstrumentId, Lots, Nanos, Side, Ticks};

byte_enum! {
    /// How long an order lives.
    TimeInForce {
        /// Until cancelled.
        GoodTillCancel = 0,
        /// Resting or not at all.
        PostOnly = 1,
        /// What can be filled at once; the rest is cancelled.
        ImmediateOrCancel = 2,
        /// All at once or nothing.
        FillOrKill = 3,
    }
}

byte_enum! {
    /// Which price triggers a stop order.
    TriggerBy {
        /// That of the last trade.
        Last = 1,
        /// The mark price.
        Mark = 2,
    }
}

impl TriggerBy {
    /// The name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Mark => "mark",
        }
    }
}

/// Whether a price has reached a stop order's trigger: a sale stops on a fall to it, a purchase on a rise. The one place that says
/// so, for engine and venues. Both prices in the same unit.
#[inline]
pub const fn is_triggered(side: Side, trigger: i128, px: i128) -> bool {
    match side {
        Side::Ask => px <= trigger,
        Side::Bid => px >= trigger,
    }
}

byte_enum! {
    /// What is asked.
    CommandKind {
        /// Place a limit order.
        New = 0,
        /// Change an order's price and whole quantity.
        Amend = 1,
        /// Cancel an order.
        Cancel = 2,
        /// Cancel every order of the account at the venue, whatever its instrument.
        CancelAll = 3,
        /// Place a market order.
        NewMarket = 4,
        /// Ask what became of an order.
        Query = 5,
        /// Ask for everything: open orders, executions since the last pass, positions, wallet.
        Reconcile = 6,
        /// Cancel an order that is not in our table, by the venue's number; see [`Command::cancel_foreign`].
        CancelForeign = 7,
        /// Give up the private stream's connection and open another: it has gone silent.
        Reconnect = 8,
        /// Place a reduce-only market order that waits for a price: [`Command::px`] is its trigger, [`Command::trigger`] says which price
        /// is looked at.
        NewStop = 9,
    }
}

/// Set in the first byte of a journal's command; no kind of event or command is as great.
const JOURNALED_BIT: u64 = 0x80;

/// The bit of a journal's command that says that nobody took it; [`Command::pack`] leaves it free.
const DECLINED_SHIFT: u32 = 25;

/// The two bits of [`Command::trigger`], 0 for none: orders without a trigger are the bytes that they were before there were any.
const TRIGGER_SHIFT: u32 = 26;

/// One request to a venue, small enough for a ring slot, with the stamps of the event that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is asked.
    pub kind: CommandKind,
    /// Direction of the order.
    pub side: Side,
    /// How long it lives.
    pub tif: TimeInForce,
    /// Only ever shrinks a position.
    pub reduce_only: bool,
    /// A stop order's: which price triggers it. Whatever is asked of a stop order carries it, an amendment too.
    pub trigger: Option<TriggerBy>,
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Our number for the order.
    pub client_id: ClientOrderId,
    /// Which request for this order it is, counted from 1: replies repeat it.
    pub request: u16,
    /// Limit price, or the trigger of a stop order.
    pub px: Ticks,
    /// Whole quantity.
    pub qty: Lots,
    /// Engine time of the decision: the receive stamp of the event that caused it.
    pub at: Nanos,
    /// Latency stamps in nanoseconds since `at`: frame cut out, decoded, taken by the core, decided and risk-checked.
    /// Never part of a decision, and left out of [`Command::neutral_bytes`].
    pub stamps: CommandStamps,
}

/// Latency stamps of a command, in nanoseconds since the read returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CommandStamps {
    /// The frame was cut out.
    pub framed_ns: u32,
    /// The frame was decoded.
    pub decoded_ns: u32,
    /// The core took the event.
    pub dequeued_ns: u32,
    /// The order had passed risk and left for the gateway.
    pub decided_ns: u32,
}

impl Command {
    /// A request to cancel an order by the venue's number, whose halves stand where price and quantity would.
    pub fn cancel_foreign(instrument: InstrumentId, side: Side, venue_order_id: u128, at: Nanos) -> Self {
        Self {
            kind: CommandKind::CancelForeign,
            side,
            tif: TimeInForce::GoodTillCancel,
            reduce_only: false,
            trigger: None,
            instrument,
            client_id: ClientOrderId(0),
            request: 0,
            px: Ticks::new(venue_order_id as u64 as i64),
            qty: Lots::new((venue_order_id >> 64) as u64 as i64),
            at,
            stamps: CommandStamps::default(),
        }
    }

    /// The venue's number in a [`CommandKind::CancelForeign`].
    pub fn venue_order_id(&self) -> u128 {
        u128::from(self.px.get() as u64) | u128::from(self.qty.get() as u64) << 64
    }

    /// Bytes of [`Self::neutral_bytes`].
    pub const NEUTRAL_BYTES: usize = 40;

    /// The seven words of a ring slot.
    #[inline]
    pub fn pack(&self) -> super::Record {
        let first = self.kind as u64
            | (self.side as u64) << 8
            | (self.tif as u64) << 16
            | u64::from(self.reduce_only) << 24
            | self.trigger.map_or(0, |by| by as u64) << TRIGGER_SHIFT
            | u64::from(self.instrument.0) << 32
            | u64::from(self.request) << 48;
        let s = &self.stamps;
        super::Record {
            words: [
                first,
                self.client_id.0,
                self.px.get() as u64,
                self.qty.get() as u64,
                self.at.get(),
                u64::from(s.framed_ns) | u64::from(s.decoded_ns) << 32,
                u64::from(s.dequeued_ns) | u64::from(s.decided_ns) << 32,
            ],
        }
    }

    /// Reads a command back; `None` for words that [`Self::pack`] did not make.
    #[inline]
    pub fn unpack(record: &super::Record) -> Option<Self> {
        let [first, client_id, px, qty, at, early, late] = record.words;
        Some(Self {
            kind: CommandKind::from_u8(first as u8)?,
            side: Side::from_bit((first >> 8) as u8),
            tif: TimeInForce::from_u8((first >> 16) as u8)?,
            reduce_only: (first >> 24) & 1 == 1,
            trigger: match (first >> TRIGGER_SHIFT) as u8 & 3 {
                0 => None,
                by => Some(TriggerBy::from_u8(by)?),
            },
            instrument: InstrumentId((first >> 32) as u16),
            client_id: ClientOrderId(client_id),
            request: (first >> 48) as u16,
            px: Ticks::new(px as i64),
            qty: Lots::new(qty as i64),
            at: Nanos::new(at),
            stamps: CommandStamps {
                framed_ns: early as u32,
                decoded_ns: (early >> 32) as u32,
                dequeued_ns: late as u32,
                decided_ns: (late >> 32) as u32,
            },
        })
    }

    /// The words of a journal's record: those of [`Self::pack`], marked as no event's, and whether the command was taken by
    /// whoever carries commands out (a full ring takes none).
    #[inline]
    pub fn journal_record(&self, is_taken: bool) -> super::Record {
        let mut record = self.pack();
        record.words[0] |= JOURNALED_BIT | u64::from(!is_taken) << DECLINED_SHIFT;
        record
    }

    /// Reads [`Self::journal_record`] back: the command, and whether it was taken. `None` for the first record of an event
    /// and for words that [`Self::journal_record`] did not make.
    pub fn from_journal_record(record: &super::Record) -> Option<(Self, bool)> {
        let mut record = *record;
        if record.words[0] & JOURNALED_BIT == 0 {
            return None;
        }
        let is_taken = (record.words[0] >> DECLINED_SHIFT) & 1 == 0;
        record.words[0] &= !(JOURNALED_BIT | 1 << DECLINED_SHIFT);
        Self::unpack(&record).map(|command| (command, is_taken))
    }

    /// The decision alone, without latency stamps, little-endian: equal decisions are equal bytes on any machine.
    ///
    /// ```text
    /// kind side tif flags instrument(2) request(2) | client_id(8) | px(8) | qty(8) | at(8)
    /// ```
    ///
    /// Of the flags the first bit says reduce-only, the next two which price triggers (0: none does).
    pub fn neutral_bytes(&self) -> [u8; Self::NEUTRAL_BYTES] {
        let mut out = [0; Self::NEUTRAL_BYTES];
        let words = self.pack().words;
        out[0] = self.kind as u8;
        out[1] = self.side as u8;
        out[2] = self.tif as u8;
        out[3] = u8::from(self.reduce_only) | self.trigger.map_or(0, |by| (by as u8) << 1);
        out[4..6].copy_from_slice(&self.instrument.0.to_le_bytes());
        out[6..8].copy_from_slice(&self.request.to_le_bytes());
        for (chunk, word) in out[8..].chunks_exact_mut(8).zip(&words[1..5]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

/// Takes the engine's commands.
pub trait CommandSink {
    /// Takes one command; returns `false` if there is no room, in which case nothing was taken.
    fn push(&mut self, command: Command) -> bool;
}

/// Collects commands in memory; for tests and tools.
impl CommandSink for Vec<Command> {
    fn push(&mut self, command: Command) -> bool {
        Vec::push(self, command);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_survives_the_ring_and_its_bytes_have_no_stamps() {
        let mut command = Command {
            kind: CommandKind::Amend,
            side: Side::Ask,
            tif: TimeInForce::PostOnly,
            reduce_only: true,
            trigger: None,
            instrument: InstrumentId(513),
            client_id: ClientOrderId(77),
            request: 515,
            px: Ticks::new(-1),
            qty: Lots::new(5),
            at: Nanos::new(9),
            stamps: CommandStamps { framed_ns: 1, decoded_ns: 2, dequeued_ns: 3, decided_ns: 4 },
        };
        assert_eq!(Command::unpack(&command.pack()), Some(command));
        assert_eq!(Command::from_journal_record(&command.pack()), None);
        for is_taken in [true, false] {
            let record = command.journal_record(is_taken);
            assert_eq!(Command::from_journal_record(&record), Some((command, is_taken)));
            assert_eq!(record.event_records(), 1);
        }
        let bytes = command.neutral_bytes();
        command.stamps = CommandStamps::default();
        assert_eq!(command.neutral_bytes(), bytes);
        command.px = Ticks::new(-2);
        assert_ne!(command.neutral_bytes(), bytes);
    }

    #[test]
    fn a_trigger_travels_and_leaves_the_bytes_of_other_orders_as_they_were() {
        let plain = Command {
            reduce_only: true,
            ..Command::cancel_foreign(InstrumentId(7), Side::Ask, 5 << 64 | 99, Nanos::new(3))
        };
        let (record, bytes) = (plain.pack(), plain.neutral_bytes());
        assert_eq!((record.words[0], bytes[3]), (7 | 1 << 8 | 1 << 24 | 7 << 32, 1));
        for kind in [CommandKind::NewStop, CommandKind::Amend] {
            let mut seen = vec![Command { kind, ..plain }.neutral_bytes()];
            for &by in TriggerBy::ALL {
                let stop = Command { kind, trigger: Some(by), ..plain };
                assert_eq!(Command::unpack(&stop.pack()), Some(stop));
                assert_eq!(Command::from_journal_record(&stop.journal_record(false)), Some((stop, false)));
                assert!(!seen.contains(&stop.neutral_bytes()), "{stop:?}");
                seen.push(stop.neutral_bytes());
            }
        }
        let mut record = plain.pack();
        record.words[0] |= 3 << TRIGGER_SHIFT;
        assert_eq!(Command::unpack(&record), None, "no price of that number");
    }
}
