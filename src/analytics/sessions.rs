//! One [`Session`] for each settlement currency: amounts of different currencies are never added up.
//!
//! No price turns one currency into another here, so a session that trades in several has no equity, return or drawdown of the
//! whole: each currency has a report of its own, over its own instruments and its own wallet.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::reference::Reference;
use super::report::{Report, ReportInput};
use super::session::{Session, SessionConfig};
use crate::types::{Command, Event, InstrumentTable, SettleId};

/// The sessions of all settlement currencies; usually it is one.
pub struct Sessions {
    all: Vec<Session>,
}

impl Sessions {
    /// Begins to watch. An instrument that returns are compared with is watched by all.
    ///
    /// # Panics
    /// As [`Session::new`].
    pub fn new(table: &InstrumentTable, config: &SessionConfig, reference: &Reference) -> Self {
        let reference = match reference {
            Reference::Instrument(id) => Some(*id),
            Reference::Series(_) => None,
        };
        let of = |idx| Session::settled_in(table, config.clone(), SettleId(idx as u16), reference);
        Self { all: (0..table.currencies().len().max(1)).map(of).collect() }
    }

    /// Each currency's, in the order of the currencies; at least one.
    pub fn all(&self) -> &[Session] {
        &self.all
    }

    /// See [`Session::on_event`].
    pub fn on_event(&mut self, event: &Event<'_>) {
        self.all.iter_mut().for_each(|session| session.on_event(event));
    }

    /// See [`Session::on_command`].
    pub fn on_command(&mut self, command: &Command) {
        self.all.iter_mut().for_each(|session| session.on_command(command));
    }

    /// See [`Session::account_is_known`].
    pub fn account_is_known(&mut self) {
        self.all.iter_mut().for_each(Session::account_is_known);
    }

    /// See [`Session::finish`].
    pub fn finish(&mut self) {
        self.all.iter_mut().for_each(Session::finish);
    }

    /// The reports, in the order of the currencies.
    pub fn reports(&self, input: &ReportInput) -> Reports {
        Reports { all: self.all.iter().map(|session| Report::new(session, input)).collect() }
    }
}

/// Reports of one session by settlement currency; at least one.
#[derive(Clone, Debug)]
pub struct Reports {
    /// In the order in which instruments first have their currencies.
    pub all: Vec<Report>,
}

impl Reports {
    /// Whether the books of every currency agree with the venue's.
    pub fn hold(&self) -> bool {
        self.all.iter().all(|report| report.identity.holds)
    }

    /// Those that say something: in which anything was filled, or all if nothing was.
    pub fn traded(&self) -> impl Iterator<Item = &Report> {
        let is_any = self.all.iter().any(|report| report.turnover.fills > 0);
        self.all.iter().filter(move |report| !is_any || report.turnover.fills > 0)
    }
}

/// The report itself where there is one; otherwise all of them under `currencies`.
impl Serialize for Reports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [report] = &self.all[..] {
            return report.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        if let Some(first) = self.all.first() {
            map.serialize_entry("kind", &first.kind)?;
            map.serialize_entry("strategy", &first.strategy)?;
            map.serialize_entry("sources", &first.sources)?;
        }
        map.serialize_entry("holds", &self.hold())?;
        map.serialize_entry("currencies", &self.all)?;
        map.end()
    }
}
