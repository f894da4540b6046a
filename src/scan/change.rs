//! What is other than it was at the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::types::{InstrumentSpec, Listing, ListingStatus, Nanos, Step, Symbol, Unusable};

/// Who came among the best and who left, each in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Those that came.
    pub entered: Vec<String>,
    /// Those that left.
    pub left: Vec<String>,
}

/// Compares the best of two scans.
pub fn entries(before: &[String], after: &[String]) -> Entries {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    Entries {
        entered: new.difference(&old).map(|name| (*name).clone()).collect(),
        left: old.difference(&new).map(|name| (*name).clone()).collect(),
    }
}

/// What became of an instrument that is being traded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The venue's list of what trades has it no more.
    Unlisted,
    /// It is listed and does not trade.
    Halted(ListingStatus),
    /// Its prices or quantities are counted in other steps: what the engine would send or read is wrong.
    Steps {
        /// Tick before and after.
        tick: [Step; 2],
        /// Lot before and after.
        lot: [Step; 2],
    },
    /// What the venue now tells of it cannot be used.
    Unusable(String),
    /// Its smallest, largest or cheapest order, or its greatest leverage, changed.
    Bounds,
    /// A date of delivery or delisting is set.
    Delivery(Nanos),
}

impl ChangeKind {
    /// Whether it must not be quoted any more.
    pub const fn must_withdraw(&self) -> bool {
        match self {
            Self::Unlisted | Self::Halted(_) | Self::Steps { .. } | Self::Unusable(_) => true,
            Self::Bounds | Self::Delivery(_) => false,
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The venue's name for the instrument.
    pub symbol: Symbol,
    /// What it is.
    pub kind: ChangeKind,
}

/// For people.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.symbol)?;
        match &self.kind {
            ChangeKind::Unlisted => f.write_str("the venue no longer lists it as trading"),
            ChangeKind::Halted(status) => write!(f, "its status is {}", status.name()),
            ChangeKind::Steps { tick, lot } => {
                write!(f, "its steps changed: tick {} -> {}, lot {} -> {}", tick[0], tick[1], lot[0], lot[1])
            }
            ChangeKind::Unusable(reason) => write!(f, "what the venue tells of it cannot be used: {reason}"),
            ChangeKind::Bounds => f.write_str("its order bounds changed; the engine keeps those of the start"),
            ChangeKind::Delivery(at) => {
                write!(f, "it will be delivered or delisted at {} s since 1970", at.get() / 1_000_000_000)
            }
        }
    }
}

/// Compares what is traded with what the venue lists now. An instrument has at most one change, the gravest.
pub fn changes<'a>(
    known: impl IntoIterator<Item = &'a InstrumentSpec>,
    listed: &[Listing],
    unusable: &[Unusable],
) -> Vec<Change> {
    let listed: BTreeMap<&str, &Listing> = listed.iter().map(|l| (l.spec.symbol.as_str(), l)).collect();
    let mut out = Vec::new();
    for spec in known {
        let name = spec.symbol.as_str();
        let kind = match listed.get(name) {
            Some(listing) => change_of(spec, listing),
            None => Some(match unusable.iter().find(|item| item.symbol == name) {
                Some(item) => ChangeKind::Unusable(item.reason.clone()),
                None => ChangeKind::Unlisted,
            }),
        };
        out.extend(kind.map(|kind| Change { symbol: spec.symbol, kind }));
    }
    out
}

fn change_of(known: &InstrumentSpec, listing: &Listing) -> Option<ChangeKind> {
    let now = &listing.spec;
    if listing.status != ListingStatus::Trading {
        return Some(ChangeKind::Halted(listing.status));
    }
    if (known.tick, known.lot) != (now.tick, now.lot) {
        return Some(ChangeKind::Steps { tick: [known.tick, now.tick], lot: [known.lot, now.lot] });
    }
    let bounds = |spec: &InstrumentSpec| (spec.min_qty, spec.max_qty, spec.min_notional, spec.max_leverage_e2);
    if bounds(known) != bounds(now) {
        return Some(ChangeKind::Bounds);
    }
    listing.delivers.map(ChangeKind::Delivery)
}
