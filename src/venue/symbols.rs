//! The instruments of one venue with their steps prepared for decoding.

use std::cell::Cell;

use super::source::Grid;
use crate::types::{InstrumentId, InstrumentTable, VenueId};

/// Tick and lot of one instrument.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grids {
    pub(crate) px: Grid,
    pub(crate) qty: Grid,
}

/// Names to instruments, instruments to steps.
pub(crate) struct Symbols {
    venue: VenueId,
    table: InstrumentTable,
    grids: Box<[Grids]>,
    /// The instrument found last: messages of one come in runs, and comparing a name is cheaper than hashing it.
    last: Cell<InstrumentId>,
}

impl Symbols {
    pub(crate) fn new(table: &InstrumentTable, venue: VenueId) -> Self {
        let grids = table.iter().map(|(_, spec)| Grids { px: Grid::new(spec.tick), qty: Grid::new(spec.lot) });
        Self { venue, grids: grids.collect(), table: table.clone(), last: Cell::new(InstrumentId(0)) }
    }

    /// The instrument of that name and its steps.
    #[inline]
    pub(crate) fn find(&self, symbol: &[u8]) -> Option<(InstrumentId, &Grids)> {
        let mut id = self.last.get();
        if self.table.get(id).is_none_or(|spec| spec.symbol.as_bytes() != symbol || spec.venue != self.venue) {
            id = self.table.find(self.venue, symbol)?;
            self.last.set(id);
        }
        self.grids.get(id.idx()).map(|grids| (id, grids))
    }

    /// The venue's name of an instrument.
    pub(crate) fn name(&self, id: InstrumentId) -> Option<&[u8]> {
        self.table.get(id).map(|spec| spec.symbol.as_bytes())
    }

    #[inline]
    pub(crate) fn grids(&self, id: InstrumentId) -> Option<&Grids> {
        self.grids.get(id.idx())
    }

    /// The venue's only instrument, if there is just one.
    pub(crate) fn only(&self) -> Option<InstrumentId> {
        let mut mine = self.table.iter().filter(|(_, spec)| spec.venue == self.venue);
        match (mine.next(), mine.next()) {
            (Some((id, _)), None) => Some(id),
            _ => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.grids.len()
    }
}
