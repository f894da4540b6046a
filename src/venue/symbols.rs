//! The instruments of one venue with their steps prepared for decoding.

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
}

impl Symbols {
    pub(crate) fn new(table: &InstrumentTable, venue: VenueId) -> Self {
        let grids = table.iter().map(|(_, spec)| Grids { px: Grid::new(spec.tick), qty: Grid::new(spec.lot) });
        Self { venue, grids: grids.collect(), table: table.clone() }
    }

    /// The instrument of that name and its steps.
    #[inline]
    pub(crate) fn find(&self, symbol: &[u8]) -> Option<(InstrumentId, &Grids)> {
        let id = self.table.find(self.venue, symbol)?;
        self.grids.get(id.idx()).map(|grids| (id, grids))
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
