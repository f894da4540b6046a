//! Keeps the way of an order warm while none goes out: now and then one is rendered, framed and masked like a real one, and
//! thrown away.
//!
//! Between sparse ticks the code and tables of that way leave the caches, and the order that matters pays for it. Nothing here
//! touches what an order consumes: the request's number is not used up, and where connections are encrypted a scratch key
//! seals, so that no sequence number is spent. The templates, the encoder and the cipher's code are the real ones.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::net::{Role, WsCodec, WsLimits};
use crate::types::{
    ClientOrderId, Command, CommandKind, CommandStamps, InstrumentId, Lots, Nanos, Side, Ticks, TimeInForce,
};
use crate::venue::bybit::{ORDER_BYTES_MAX, OrderEncoder};

/// Room for one order and its frame.
const LIMITS: WsLimits = WsLimits { recv_bytes: 1 << 11, send_bytes: 1 << 11, message_bytes_max: 1 << 10 };

/// The rehearsals of one gateway.
pub(super) struct Rehearsal {
    every_ns: u64,
    due: Nanos,
    /// The newest order that was placed: the next one will mostly be like it.
    command: Command,
    codec: WsCodec,
    /// Seals what is thrown away, where the connection is encrypted.
    key: Option<LessSafeKey>,
    sealed: u64,
}

impl Rehearsal {
    /// Rehearses every `every_ns` nanoseconds; `None` if that is 0.
    pub(super) fn new(every_ns: u64, is_encrypted: bool) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &[0x5a; 32]).ok().map(LessSafeKey::new);
        let command = Command {
            kind: CommandKind::New,
            side: Side::Bid,
            tif: TimeInForce::PostOnly,
            reduce_only: false,
            trigger: None,
            instrument: InstrumentId(0),
            client_id: ClientOrderId(0),
            request: 0,
            px: Ticks::new(123_456),
            qty: Lots::new(123),
            at: Nanos::ZERO,
            stamps: CommandStamps::default(),
        };
        (every_ns > 0).then(|| Self {
            every_ns,
            due: Nanos::ZERO,
            command,
            codec: WsCodec::new(Role::Client, LIMITS, 3),
            key: key.filter(|_| is_encrypted),
            sealed: 0,
        })
    }

    /// An order went out.
    #[inline]
    pub(super) fn learn(&mut self, command: &Command, now: Nanos) {
        if matches!(command.kind, CommandKind::New | CommandKind::NewMarket) {
            self.command = *command;
        }
        self.due = now.saturating_add(self.every_ns);
    }

    /// Rehearses if it is time to. Nothing else waits meanwhile: the caller had no work.
    #[inline]
    pub(super) fn poll(&mut self, encoder: &mut OrderEncoder, time_ms: u64, now: Nanos) {
        if now >= self.due {
            self.due = now.saturating_add(self.every_ns);
            self.rehearse(encoder, time_ms);
        }
    }

    fn rehearse(&mut self, encoder: &mut OrderEncoder, time_ms: u64) {
        let Self { command, codec, key, sealed, .. } = self;
        let render = |out: &mut [u8]| encoder.rehearse(command, time_ms, out).unwrap_or(0);
        if codec.send_with(ORDER_BYTES_MAX, render).is_err() {
            return;
        }
        let frame = codec.pending();
        let len = frame.len();
        if let Some(key) = key
            && let Some(text) = frame.first_chunk::<SEALED_BYTES>()
        {
            let mut text = *text;
            *sealed += 1;
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&sealed.to_le_bytes());
            let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text);
            let _ = std::hint::black_box((text, tag));
        }
        codec.sent(len);
    }
}

/// What is sealed of a rehearsed frame: the shortest order is longer.
const SEALED_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InstrumentSpec, InstrumentTable, Product, Step, Symbol, VenueId};

    fn encoder() -> OrderEncoder {
        let step = Step::from_text(b"0.1").unwrap();
        let symbol = Symbol::new(b"BTCUSDT").unwrap();
        let spec = InstrumentSpec::new(VenueId::BYBIT, symbol, Product::Linear, step, step).unwrap();
        OrderEncoder::new(&InstrumentTable::new(vec![spec]).unwrap(), 1, 5000)
    }

    #[test]
    fn a_rehearsal_changes_nothing_that_an_order_consumes() {
        let (mut rehearsed, mut plain) = (encoder(), encoder());
        let mut rehearsal = Rehearsal::new(1_000, true).unwrap();
        for now in 0..50u64 {
            rehearsal.poll(&mut rehearsed, 1_711_001_595_207 + now, Nanos::new(now * 700));
        }
        // Every second look finds it due, the first one too.
        assert_eq!(rehearsal.sealed, 25);
        assert!(rehearsal.codec.pending().is_empty());
        let (mut a, mut b) = ([0; ORDER_BYTES_MAX], [0; ORDER_BYTES_MAX]);
        let command = rehearsal.command;
        let len = rehearsed.request(&command, 1_711_001_595_300, &mut a).unwrap();
        assert_eq!(plain.request(&command, 1_711_001_595_300, &mut b), Ok(len));
        assert_eq!(a[..len], b[..len]);
    }

    #[test]
    fn an_order_that_went_out_is_rehearsed_from_then_on_and_not_at_once() {
        let mut rehearsal = Rehearsal::new(1_000, false).unwrap();
        let newest = Command { px: Ticks::new(7), ..rehearsal.command };
        rehearsal.learn(&newest, Nanos::new(5_000));
        rehearsal.learn(&Command { kind: CommandKind::Cancel, ..newest }, Nanos::new(5_000));
        assert_eq!((rehearsal.command.px, rehearsal.command.kind), (Ticks::new(7), CommandKind::New));
        assert_eq!(rehearsal.due, Nanos::new(6_000));
        assert!(Rehearsal::new(0, false).is_none());
    }
}
