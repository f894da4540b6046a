//! Orders that wait for a price: conditional orders, take-profit and stop-loss, trailing stops.
//!
//! They are this venue's, not the market's: until its price is seen an order is only here, and ties up no margin. Triggered it
//! goes to the market under the number that it had all along.

use crate::{
    sim::{AccountId, LinkId, OrderKind, OrderNo, OrderRecord, PlaceRequest, SelfTrade},
    types::{InstrumentId, Lots, Money, Nanos, OrderStatus, Side, Ticks, TimeInForce, is_triggered},
};
use std::collections::{BTreeMap, VecDeque};

/// What kind of order waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopKind {
    /// Placed with a trigger price.
    Conditional,
    /// Spot: placed as, or with, take-profit or stop-loss.
    Tpsl,
    /// Of the whole position.
    TakeProfit,
    StopLoss,
    /// Of a part of it.
    PartialTakeProfit,
    PartialStopLoss,
    TrailingStop,
}

impl StopKind {
    /// `stopOrderType`
    pub fn name(self) -> &'static str {
        match self {
            Self::Conditional => "Stop",
            Self::Tpsl => "tpslOrder",
            Self::TakeProfit => "TakeProfit",
            Self::StopLoss => "StopLoss",
            Self::PartialTakeProfit => "PartialTakeProfit",
            Self::PartialStopLoss => "PartialStopLoss",
            Self::TrailingStop => "TrailingStop",
        }
    }

    /// `createType`
    pub fn origin(self) -> &'static str {
        match self {
            Self::Conditional => "CreateByStopOrder",
            Self::Tpsl => "CreateByUser",
            Self::TakeProfit => "CreateByTakeProfit",
            Self::StopLoss => "CreateByStopLoss",
            Self::PartialTakeProfit => "CreateByPartialTakeProfit",
            Self::PartialStopLoss => "CreateByPartialStopLoss",
            Self::TrailingStop => "CreateByTrailingStop",
        }
    }

    /// Whether it belongs to a position, and goes when that goes.
    pub fn is_of_position(self) -> bool {
        !matches!(self, Self::Conditional | Self::Tpsl)
    }

    pub fn is_whole(self) -> bool {
        matches!(self, Self::TakeProfit | Self::StopLoss | Self::TrailingStop)
    }
}

/// Which price is looked at. There is no index here: the mark stands for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TriggerBy {
    #[default]
    Last,
    Mark,
    Index,
}

impl TriggerBy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "LastPrice",
            Self::Mark => "MarkPrice",
            Self::Index => "IndexPrice",
        }
    }
}

/// Where the price must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Rise,
    Fall,
}

impl Direction {
    /// Whether `px` has reached `trigger`.
    pub fn is_met(self, trigger: Ticks, px: Ticks) -> bool {
        let side = if self == Self::Rise { Side::Bid } else { Side::Ask };
        is_triggered(side, trigger.get().into(), px.get().into())
    }

    /// The way in which a position of `side` makes a profit.
    pub fn of_profit(side: Side) -> Self {
        if side == Side::Bid { Self::Rise } else { Self::Fall }
    }

    pub fn opposite(self) -> Self {
        match self {
            Self::Rise => Self::Fall,
            Self::Fall => Self::Rise,
        }
    }
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopState {
    Untriggered,
    /// For the moment in which it is told.
    Triggered,
    /// At the market, or past it: the order there tells the rest.
    Placed,
    /// Cancelled before its price was seen.
    Deactivated(Ending),
    /// The market did not take it.
    Rejected,
}

/// Why it was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    ByUser,
    /// The position that it protected is gone.
    PositionGone,
    /// The other one of its pair was triggered.
    Pair {
        is_profit: bool,
    },
}

/// A trailing stop follows the best price at this distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trail {
    pub distance: Ticks,
    /// It follows from this price on.
    pub active_px: Option<Ticks>,
    pub best: Option<Ticks>,
}

/// An order that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub no: OrderNo,
    pub account: AccountId,
    pub kind: StopKind,
    pub state: StopState,
    /// What goes to the market. No quantity: the whole position.
    pub order: PlaceRequest,
    pub close_on_trigger: bool,
    pub trigger_px: Ticks,
    pub direction: Direction,
    pub by: TriggerBy,
    pub trail: Option<Trail>,
    /// Take-profit and stop-loss of one part: one cancels the other.
    pub pair: Option<OrderNo>,
    pub created: Nanos,
    pub updated: Nanos,
}

impl Stop {
    /// The order as it would be listed if it were at the market.
    pub fn record(&self) -> OrderRecord {
        let order = &self.order;
        OrderRecord {
            no: self.no,
            account: self.account,
            link: order.link,
            instrument: order.instrument,
            side: order.side,
            kind: order.kind,
            px: if order.kind == OrderKind::Market { Ticks::ZERO } else { order.px },
            qty: order.qty,
            tif: if order.kind == OrderKind::Market { TimeInForce::ImmediateOrCancel } else { order.tif },
            reduce_only: order.reduce_only,
            self_trade: order.self_trade,
            status: match self.state {
                StopState::Rejected => OrderStatus::Rejected,
                StopState::Deactivated(_) => OrderStatus::Cancelled,
                _ => OrderStatus::Untriggered,
            },
            cancelled: None,
            filled: Lots::ZERO,
            filled_value: Money::ZERO,
            fees: Money::ZERO,
            created: self.created,
            updated: self.updated,
        }
    }

    pub fn is_open(&self) -> bool {
        self.state == StopState::Untriggered
    }
}

/// Take-profit and stop-loss that came with an order, for when it is filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Protection {
    pub take_profit: Option<Leg>,
    pub stop_loss: Option<Leg>,
    pub is_partial: bool,
}

/// One half of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    pub px: Ticks,
    pub by: TriggerBy,
    /// A limit order at this price instead of a market order.
    pub limit: Option<Ticks>,
}

impl Protection {
    pub fn is_empty(&self) -> bool {
        self.take_profit.is_none() && self.stop_loss.is_none()
    }
}

/// Something about an order that the market does not tell.
#[derive(Clone, Copy)]
pub(super) enum Told {
    Stop(Stop),
    /// An order at the market whose protection changed.
    Order(AccountId, OrderNo),
}

/// All orders that wait or have waited, and the protections of others.
#[derive(Default)]
pub(super) struct Stops {
    all: BTreeMap<OrderNo, Stop>,
    /// Those that wait.
    open: Vec<OrderNo>,
    /// Those that never came to the market, oldest first.
    ended: VecDeque<OrderNo>,
    protections: BTreeMap<OrderNo, Protection>,
    told: Vec<Told>,
}

impl Stops {
    pub fn get(&self, no: OrderNo) -> Option<&Stop> {
        self.all.get(&no)
    }

    pub fn find_link(&self, account: AccountId, link: LinkId) -> Option<&Stop> {
        // Few wait at a time; those that ended are looked at last.
        let is_meant = |stop: &&Stop| stop.account == account && stop.order.link == link;
        let waiting = self.open.iter().filter_map(|no| self.all.get(no)).find(is_meant);
        waiting.or_else(|| self.all.values().rev().find(is_meant))
    }

    /// Orders of an account that are not at the market, newest first.
    pub fn of(&self, account: AccountId) -> impl Iterator<Item = &Stop> {
        self.all.values().rev().filter(move |stop| stop.account == account && stop.state != StopState::Placed)
    }

    /// Orders of an account that wait in an instrument, oldest first.
    pub fn waiting(&self, account: AccountId, instrument: InstrumentId) -> impl Iterator<Item = &Stop> {
        let all = self.open.iter().filter_map(|no| self.all.get(no));
        all.filter(move |stop| stop.account == account && stop.order.instrument == instrument)
    }

    pub fn position_stop(&self, account: AccountId, instrument: InstrumentId, kind: StopKind) -> Option<&Stop> {
        self.waiting(account, instrument).find(|stop| stop.kind == kind)
    }

    pub fn add(&mut self, stop: Stop) {
        self.all.insert(stop.no, stop);
        self.open.push(stop.no);
        self.told.push(Told::Stop(stop));
    }

    /// Changes an order that waits, and tells so.
    pub fn change(&mut self, no: OrderNo, now: Nanos, change: impl FnOnce(&mut Stop)) {
        let Some(stop) = self.all.get_mut(&no) else { return };
        change(stop);
        stop.updated = now;
        let stop = *stop;
        self.told.push(Told::Stop(stop));
        if !stop.is_open() {
            self.open.retain(|open| *open != no);
        }
        if matches!(stop.state, StopState::Deactivated(_) | StopState::Rejected) {
            self.ended.push_back(no);
            if self.ended.len() > ENDED_MAX
                && let Some(oldest) = self.ended.pop_front()
            {
                self.all.remove(&oldest);
            }
        }
    }

    /// Lets each of two orders end the other.
    pub fn pair(&mut self, first: OrderNo, second: OrderNo) {
        for (no, other) in [(first, second), (second, first)] {
            if let Some(stop) = self.all.get_mut(&no) {
                stop.pair = Some(other);
            }
        }
    }

    /// Makes an order follow the price.
    pub fn trail(&mut self, no: OrderNo, trail: Trail) {
        if let Some(stop) = self.all.get_mut(&no) {
            stop.trail = Some(trail);
        }
    }

    /// Notes that a triggered order is at the market, which tells it from here on.
    pub fn placed(&mut self, no: OrderNo) {
        if let Some(stop) = self.all.get_mut(&no) {
            stop.state = StopState::Placed;
        }
        // Whoever is still asked about such an old order is told of an ordinary one.
        while self.all.len() > REMEMBERED_MAX
            && let Some((&oldest, stop)) = self.all.first_key_value()
            && !stop.is_open()
        {
            self.all.remove(&oldest);
        }
    }

    pub fn protection(&self, no: OrderNo) -> Option<&Protection> {
        self.protections.get(&no)
    }

    pub fn protect(&mut self, no: OrderNo, protection: Protection) {
        if protection.is_empty() {
            self.protections.remove(&no);
            return;
        }
        if self.protections.len() >= REMEMBERED_MAX {
            self.protections.pop_first();
        }
        self.protections.insert(no, protection);
    }

    pub fn tell(&mut self, account: AccountId, no: OrderNo) {
        self.told.push(Told::Order(account, no));
    }

    /// What happened since the last call.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Instruments in which an order waits for a mark price.
    pub fn marks_watched(&self) -> Vec<InstrumentId> {
        let waiting = self.open.iter().filter_map(|no| self.all.get(no));
        let mut all: Vec<_> =
            waiting.filter(|stop| stop.by != TriggerBy::Last).map(|stop| stop.order.instrument).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Looks at a new price and returns the orders that it triggers, oldest first.
    pub fn on_price(&mut self, instrument: InstrumentId, is_last: bool, px: Ticks) -> Vec<OrderNo> {
        let mut triggered = Vec::new();
        for no in &self.open {
            let Some(stop) = self.all.get_mut(no) else { continue };
            if stop.order.instrument != instrument || (stop.by == TriggerBy::Last) != is_last {
                continue;
            }
            if let Some(trail) = &mut stop.trail {
                let closes_long = stop.order.side == Side::Ask;
                let is_active = trail.best.is_some()
                    || trail.active_px.is_none_or(|active| if closes_long { px >= active } else { px <= active });
                if !is_active {
                    continue;
                }
                let best = trail.best.map_or(px, |best| if closes_long { best.max(px) } else { best.min(px) });
                trail.best = Some(best);
                let behind = if closes_long { -trail.distance.get() } else { trail.distance.get() };
                stop.trigger_px = best.saturating_add(behind);
            }
            if stop.direction.is_met(stop.trigger_px, px) {
                triggered.push(*no);
            }
        }
        triggered
    }
}

/// A market order that closes what is left of a position.
pub(super) fn closing(instrument: InstrumentId, side: Side, qty: Lots) -> PlaceRequest {
    PlaceRequest {
        instrument,
        side,
        kind: OrderKind::Market,
        px: Ticks::ZERO,
        qty,
        tif: TimeInForce::ImmediateOrCancel,
        reduce_only: true,
        self_trade: SelfTrade::None,
        link: LinkId::NONE,
    }
}

/// Orders remembered that were cancelled before their price was seen.
const ENDED_MAX: usize = 10_000;

/// Triggered orders and protections remembered.
const REMEMBERED_MAX: usize = 50_000;
