//! The ghost's permission: without it nothing is wanted that would grow a position.

use super::{Engine, Probe};
use crate::strategy::Strategy;
use crate::types::{CommandSink, InstrumentId};

impl<S: Strategy, P: Probe> Engine<S, P> {
    /// The ghost permits trading or does not; whatever is not exactly a one is a no.
    pub(super) fn on_permit(&mut self, value: f64, out: &mut impl CommandSink) {
        self.risk.on_permit(value == 1.0, self.now);
        self.obey_permit(out);
    }

    /// Withdraws what was wanted once permission is gone, be it taken back or lapsed. For timers and the ghost's word.
    pub(super) fn obey_permit(&mut self, out: &mut impl CommandSink) {
        let is_permitted = self.risk.is_permitted(self.now);
        let was_permitted = std::mem::replace(&mut self.protection.is_permitted, is_permitted);
        if !was_permitted || is_permitted {
            return;
        }
        for idx in 0..self.instruments.len() {
            // What shrinks the position will be wanted again.
            self.instruments[idx].withdraw_wishes();
            self.work_quotes(InstrumentId(idx as u16), out);
        }
    }
}
