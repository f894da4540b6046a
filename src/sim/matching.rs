//! A price–time priority matching engine for one instrument.
//!
//! Resting orders sit in a slab, linked into one queue per price; prices are ordered maps. All traders are equal in here: margin,
//! positions and reduce-only are the venue's business, which never sends an order that its owner may not have filled.

use super::order::{CancelReason, Fill, Incoming, OrderNo, OwnerId, RejectReason, Report, SelfTrade, crosses, rank};
use crate::types::{Level, Lots, Side, Ticks, TimeInForce};
use std::collections::{BTreeMap, HashMap};

/// The book of one instrument.
#[derive(Default)]
pub struct Matching {
    nodes: Vec<Node>,
    free: Vec<u32>,
    by_no: HashMap<OrderNo, u32>,
    /// Per side: from the worst price to the best, keyed by [`rank`].
    sides: [BTreeMap<i64, Queue>; 2],
    version: u64,
}

#[derive(Clone, Copy)]
struct Node {
    order: Incoming,
    /// What is left of it; `order.qty` is what it came with.
    leaves: Lots,
    prev: Option<u32>,
    next: Option<u32>,
}

#[derive(Clone, Copy, Default)]
struct Queue {
    head: Option<u32>,
    tail: Option<u32>,
    qty: Lots,
}

impl Matching {
    /// Makes an empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an order: matches what crosses, then rests or ends the rest, as its time in force says.
    ///
    /// # Cost
    /// Logarithmic in the number of prices, linear in the orders met.
    pub fn place(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        let Incoming { no, owner, .. } = *order;
        if order.qty <= Lots::ZERO || order.px <= Ticks::ZERO {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::NotPositive });
        }
        if self.by_no.contains_key(&no) {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::Duplicate });
        }
        out.push(Report::Accepted { no, owner });
        self.enter(order, out);
    }

    fn enter(&mut self, order: &Incoming, out: &mut Vec<Report>) {
        let cancel = |leaves, reason| Report::Cancelled { no: order.no, owner: order.owner, leaves, reason };
        match order.tif {
            TimeInForce::PostOnly if self.best(order.side.opposite()).is_some_and(|best| order.crosses(best.px)) => {
                return out.push(cancel(order.qty, CancelReason::WouldTake));
            }
            TimeInForce::FillOrKill if self.fillable(order) < order.qty => {
                return out.push(cancel(order.qty, CancelReason::NoFullFill));
            }
            _ => {}
        }
        let mut leaves = order.qty;
        while leaves > Lots::ZERO {
            let Some((maker_px, idx)) = self.head_of_best(order.side.opposite()) else { break };
            if !order.crosses(maker_px) {
                break;
            }
            let maker = self.nodes[idx as usize];
            if maker.order.owner == order.owner && order.self_trade != SelfTrade::None {
                if order.self_trade != SelfTrade::CancelTaker {
                    self.remove(idx);
                    out.push(Report::Cancelled {
                        no: maker.order.no,
                        owner: maker.order.owner,
                        leaves: maker.leaves,
                        reason: CancelReason::SelfTrade,
                    });
                }
                if order.self_trade != SelfTrade::CancelMaker {
                    return out.push(cancel(leaves, CancelReason::SelfTrade));
                }
                continue;
            }
            let qty = leaves.min(maker.leaves);
            leaves = leaves.saturating_sub(qty);
            let maker_leaves = maker.leaves.saturating_sub(qty);
            self.shrink(idx, maker_leaves);
            let fill = |side, no, owner, leaves, is_maker| {
                Report::Fill(Fill { no, owner, side, px: maker_px, qty, leaves, is_maker })
            };
            out.push(fill(order.side.opposite(), maker.order.no, maker.order.owner, maker_leaves, true));
            out.push(fill(order.side, order.no, order.owner, leaves, false));
            out.push(Report::Trade { px: maker_px, qty, taker: order.side });
        }
        if leaves > Lots::ZERO {
            match order.tif {
                TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill => {
                    out.push(cancel(leaves, CancelReason::NoLiquidity));
                }
                TimeInForce::GoodTillCancel | TimeInForce::PostOnly => self.rest(order, leaves),
            }
        }
    }

    /// Changes a resting order's price, or what is left of it, or both. Less at the same price keeps its place in the queue; anything
    /// else goes to the end of its new queue, and may trade on the way.
    pub fn amend(&mut self, no: OrderNo, px: Ticks, leaves: Lots, out: &mut Vec<Report>) {
        let Some(&idx) = self.by_no.get(&no) else {
            return out.push(Report::Rejected { no, owner: OwnerId(0), reason: RejectReason::UnknownOrder });
        };
        let node = self.nodes[idx as usize];
        let owner = node.order.owner;
        if leaves <= Lots::ZERO || px <= Ticks::ZERO {
            return out.push(Report::Rejected { no, owner, reason: RejectReason::NotPositive });
        }
        out.push(Report::Amended { no, owner, px, leaves });
        if px == node.order.px && leaves <= node.leaves {
            self.shrink(idx, leaves);
        } else {
            self.remove(idx);
            self.enter(&Incoming { px, qty: leaves, ..node.order }, out);
        }
    }

    /// Cancels a resting order; false when there is none of that number.
    pub fn cancel(&mut self, no: OrderNo, reason: CancelReason, out: &mut Vec<Report>) -> bool {
        let Some(&idx) = self.by_no.get(&no) else { return false };
        let Node { order, leaves, .. } = self.nodes[idx as usize];
        self.remove(idx);
        out.push(Report::Cancelled { no, owner: order.owner, leaves, reason });
        true
    }

    /// Cancels every resting order of an owner, oldest number first.
    pub fn cancel_all(&mut self, owner: OwnerId, reason: CancelReason, out: &mut Vec<Report>) {
        let mine = self.by_no.iter().filter(|(_, idx)| self.nodes[**idx as usize].order.owner == owner);
        let mut nos: Vec<OrderNo> = mine.map(|(no, _)| *no).collect();
        nos.sort_unstable(); // the map's own order differs from run to run
        for no in nos {
            self.cancel(no, reason, out);
        }
    }

    /// Returns the best level of a side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels(side).next()
    }

    /// Returns the levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.sides[side as usize]
            .iter()
            .rev()
            .map(move |(&rank, queue)| Level { px: px_of(side, rank), qty: queue.qty })
    }

    /// Returns what is left of a resting order.
    pub fn leaves(&self, no: OrderNo) -> Option<Lots> {
        self.by_no.get(&no).map(|&idx| self.nodes[idx as usize].leaves)
    }

    /// Returns how many orders rest.
    pub fn len(&self) -> usize {
        self.by_no.len()
    }

    /// Reports whether no order rests.
    pub fn is_empty(&self) -> bool {
        self.by_no.is_empty()
    }

    /// Returns a number that grows with every change of the book.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns how much of a fill-or-kill order would be filled, up to its quantity.
    fn fillable(&self, order: &Incoming) -> Lots {
        let mut found = Lots::ZERO;
        let opposite = order.side.opposite();
        for (&rank, queue) in self.sides[opposite as usize].iter().rev() {
            if !order.crosses(px_of(opposite, rank)) || found >= order.qty {
                break;
            }
            let mut next = queue.head;
            while let Some(idx) = next {
                let node = &self.nodes[idx as usize];
                next = node.next;
                match order.self_trade {
                    SelfTrade::CancelMaker if node.order.owner == order.owner => {}
                    SelfTrade::CancelTaker | SelfTrade::CancelBoth if node.order.owner == order.owner => return found,
                    _ => found = found.saturating_add(node.leaves),
                }
            }
        }
        found.min(order.qty)
    }

    fn head_of_best(&self, side: Side) -> Option<(Ticks, u32)> {
        let (&rank, queue) = self.sides[side as usize].last_key_value()?;
        Some((px_of(side, rank), queue.head?))
    }

    fn rest(&mut self, order: &Incoming, leaves: Lots) {
        let queue = self.sides[order.side as usize].entry(rank(order.side, order.px)).or_default();
        let node = Node { order: *order, leaves, prev: queue.tail, next: None };
        let idx = match self.free.pop() {
            Some(idx) => {
                self.nodes[idx as usize] = node;
                idx
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        match queue.tail {
            Some(tail) => self.nodes[tail as usize].next = Some(idx),
            None => queue.head = Some(idx),
        }
        queue.tail = Some(idx);
        queue.qty = queue.qty.saturating_add(leaves);
        self.by_no.insert(order.no, idx);
        self.version += 1;
    }

    /// Sets what is left of an order, and removes it when that is nothing.
    fn shrink(&mut self, idx: u32, leaves: Lots) {
        if leaves.is_zero() {
            return self.remove(idx);
        }
        let node = &mut self.nodes[idx as usize];
        let gone = node.leaves.saturating_sub(leaves);
        node.leaves = leaves;
        if let Some(queue) = self.sides[node.order.side as usize].get_mut(&rank(node.order.side, node.order.px)) {
            queue.qty = queue.qty.saturating_sub(gone);
        }
        self.version += 1;
    }

    fn remove(&mut self, idx: u32) {
        let Node { order, leaves, prev, next } = self.nodes[idx as usize];
        let key = rank(order.side, order.px);
        let side = &mut self.sides[order.side as usize];
        if let Some(queue) = side.get_mut(&key) {
            queue.qty = queue.qty.saturating_sub(leaves);
            match prev {
                Some(prev) => self.nodes[prev as usize].next = next,
                None => queue.head = next,
            }
            match next {
                Some(next) => self.nodes[next as usize].prev = prev,
                None => queue.tail = prev,
            }
            if queue.head.is_none() {
                side.remove(&key);
            }
        }
        self.by_no.remove(&order.no);
        self.free.push(idx);
        self.version += 1;
    }

    /// Checks everything that should hold between calls.
    ///
    /// # Panics
    /// When something does not.
    pub fn assert_invariants(&self) {
        if let (Some(bid), Some(ask)) = (self.best(Side::Bid), self.best(Side::Ask)) {
            assert!(bid.px < ask.px, "the book is never crossed nor locked");
        }
        let mut seen = 0;
        for side in [Side::Bid, Side::Ask] {
            for (&rank, queue) in &self.sides[side as usize] {
                let (mut qty, mut next, mut last) = (Lots::ZERO, queue.head, None);
                while let Some(idx) = next {
                    let node = &self.nodes[idx as usize];
                    assert_eq!(
                        (node.order.side, node.order.px),
                        (side, px_of(side, rank)),
                        "orders rest at their price"
                    );
                    assert!(node.leaves > Lots::ZERO, "filled orders do not rest");
                    assert_eq!(node.prev, last, "links agree in both directions");
                    qty = qty.saturating_add(node.leaves);
                    (last, next) = (next, node.next);
                    seen += 1;
                }
                assert_eq!(queue.tail, last, "a queue ends at its tail");
                assert_eq!(queue.qty, qty, "a level's quantity is the sum of its orders");
                assert!(!qty.is_zero(), "empty levels are removed");
            }
        }
        assert_eq!(seen, self.by_no.len(), "every order rests in one queue");
    }
}

impl Incoming {
    pub(super) fn crosses(&self, other: Ticks) -> bool {
        crosses(self.side, self.px, other)
    }
}

fn px_of(side: Side, rank: i64) -> Ticks {
    match side {
        Side::Bid => Ticks::new(rank),
        Side::Ask => Ticks::new(rank.saturating_neg()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A list of orders in order of arrival, searched from the front for the best: slow and plain.
    #[derive(Default)]
    struct Naive {
        resting: Vec<Incoming>,
    }

    impl Naive {
        fn best(&self, order: &Incoming) -> Option<usize> {
            let mut best: Option<usize> = None;
            for (at, maker) in self.resting.iter().enumerate() {
                let better = |best: usize| match maker.side {
                    Side::Bid => maker.px > self.resting[best].px,
                    Side::Ask => maker.px < self.resting[best].px,
                };
                if maker.side != order.side && best.is_none_or(better) {
                    best = Some(at);
                }
            }
            best.filter(|&at| crosses(order.side, order.px, self.resting[at].px))
        }

        fn enter(&mut self, mut order: Incoming, out: &mut Vec<Report>) {
            let (no, owner) = (order.no, order.owner);
            if order.tif == TimeInForce::PostOnly && self.best(&order).is_some() {
                return out.push(Report::Cancelled { no, owner, leaves: order.qty, reason: CancelReason::WouldTake });
            }
            if order.tif == TimeInForce::FillOrKill {
                let mut trial = Naive { resting: self.resting.clone() };
                let mut reports = Vec::new();
                trial.enter(Incoming { tif: TimeInForce::ImmediateOrCancel, ..order }, &mut reports);
                if reports.iter().any(|report| matches!(report, Report::Cancelled { no, .. } if *no == order.no)) {
                    let reason = CancelReason::NoFullFill;
                    return out.push(Report::Cancelled { no, owner, leaves: order.qty, reason });
                }
            }
            while order.qty > Lots::ZERO
                && let Some(at) = self.best(&order)
            {
                let maker = self.resting[at];
                if maker.owner == owner && order.self_trade != SelfTrade::None {
                    let cancel = |order: Incoming| Report::Cancelled {
                        no: order.no,
                        owner,
                        leaves: order.qty,
                        reason: CancelReason::SelfTrade,
                    };
                    if order.self_trade != SelfTrade::CancelTaker {
                        self.resting.remove(at);
                        out.push(cancel(maker));
                    }
                    if order.self_trade != SelfTrade::CancelMaker {
                        return out.push(cancel(order));
                    }
                    continue;
                }
                let qty = order.qty.min(maker.qty);
                order.qty = order.qty.saturating_sub(qty);
                self.resting[at].qty = maker.qty.saturating_sub(qty);
                let px = maker.px;
                let leaves = self.resting[at].qty;
                out.push(Report::Fill(Fill {
                    no: maker.no,
                    owner: maker.owner,
                    side: maker.side,
                    px,
                    qty,
                    leaves,
                    is_maker: true,
                }));
                let leaves = order.qty;
                out.push(Report::Fill(Fill { no, owner, side: order.side, px, qty, leaves, is_maker: false }));
                out.push(Report::Trade { px, qty, taker: order.side });
                self.resting.retain(|order| order.qty > Lots::ZERO);
            }
            if order.qty > Lots::ZERO {
                match order.tif {
                    TimeInForce::ImmediateOrCancel | TimeInForce::FillOrKill => {
                        let reason = CancelReason::NoLiquidity;
                        out.push(Report::Cancelled { no, owner, leaves: order.qty, reason });
                    }
                    _ => self.resting.push(order),
                }
            }
        }

        fn amend(&mut self, no: OrderNo, px: Ticks, leaves: Lots, out: &mut Vec<Report>) {
            let Some(at) = self.resting.iter().position(|order| order.no == no) else {
                return out.push(Report::Rejected { no, owner: OwnerId(0), reason: RejectReason::UnknownOrder });
            };
            let owner = self.resting[at].owner;
            out.push(Report::Amended { no, owner, px, leaves });
            if px == self.resting[at].px && leaves <= self.resting[at].qty {
                self.resting[at].qty = leaves;
            } else {
                let order = self.resting.remove(at);
                self.enter(Incoming { px, qty: leaves, ..order }, out);
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Place { owner: u32, side: bool, px: i64, qty: i64, tif: u8, self_trade: u8 },
        Amend { back: u64, px: i64, leaves: i64 },
        Cancel { back: u64 },
        CancelAll { owner: u32 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (0u32..4, any::<bool>(), 95i64..105, 1i64..20, 0u8..4, 0u8..4).prop_map(
                |(owner, side, px, qty, tif, self_trade)| Step::Place { owner, side, px, qty, tif, self_trade }
            ),
            2 => (1u64..30, 95i64..105, 1i64..20).prop_map(|(back, px, leaves)| Step::Amend { back, px, leaves }),
            2 => (1u64..30).prop_map(|back| Step::Cancel { back }),
            1 => (0u32..4).prop_map(|owner| Step::CancelAll { owner }),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        #[test]
        fn matches_like_the_naive_book(steps in steps()) {
            let (mut book, mut naive) = (Matching::new(), Naive::default());
            let (mut placed, mut traded, mut cancelled, mut last) = (0i64, 0i64, 0i64, 0u64);
            for step in steps {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                match step {
                    Step::Place { owner, side, px, qty, tif, self_trade } => {
                        last += 1;
                        let order = Incoming {
                            no: OrderNo(last),
                            owner: OwnerId(owner),
                            side: Side::from_bit(side.into()),
                            px: Ticks::new(px),
                            qty: Lots::new(qty),
                            tif: TimeInForce::from_u8(tif).unwrap(),
                            self_trade: [SelfTrade::None, SelfTrade::CancelMaker, SelfTrade::CancelTaker, SelfTrade::CancelBoth]
                                [usize::from(self_trade)],
                        };
                        placed += qty;
                        book.place(&order, &mut ours);
                        theirs.push(Report::Accepted { no: order.no, owner: order.owner });
                        naive.enter(order, &mut theirs);
                    }
                    Step::Amend { back, px, leaves } => {
                        let no = OrderNo(last.saturating_sub(back));
                        if let Some(before) = book.leaves(no) {
                            placed += leaves - before.get();
                        }
                        book.amend(no, Ticks::new(px), Lots::new(leaves), &mut ours);
                        naive.amend(no, Ticks::new(px), Lots::new(leaves), &mut theirs);
                    }
                    Step::Cancel { back } => {
                        let no = OrderNo(last.saturating_sub(back));
                        let found = book.cancel(no, CancelReason::ByUser, &mut ours);
                        let at = naive.resting.iter().position(|order| order.no == no);
                        prop_assert_eq!(found, at.is_some());
                        if let Some(at) = at {
                            let Incoming { owner, qty: leaves, .. } = naive.resting.remove(at);
                            theirs.push(Report::Cancelled { no, owner, leaves, reason: CancelReason::ByUser });
                        }
                    }
                    Step::CancelAll { owner } => {
                        let owner = OwnerId(owner);
                        book.cancel_all(owner, CancelReason::ByUser, &mut ours);
                        let mut gone: Vec<_> = naive.resting.extract_if(.., |order| order.owner == owner).collect();
                        gone.sort_by_key(|order| order.no);
                        theirs.extend(gone.iter().map(|order| Report::Cancelled {
                            no: order.no, owner, leaves: order.qty, reason: CancelReason::ByUser,
                        }));
                    }
                }
                prop_assert_eq!(&ours, &theirs);
                book.assert_invariants();
                for report in ours {
                    match report {
                        Report::Trade { qty, .. } => traded += qty.get(),
                        Report::Cancelled { leaves, .. } => cancelled += leaves.get(),
                        _ => {}
                    }
                }
                let resting: i64 =
                    [Side::Bid, Side::Ask].iter().flat_map(|&side| book.levels(side)).map(|level| level.qty.get()).sum();
                prop_assert_eq!(placed, 2 * traded + cancelled + resting, "no quantity appears or vanishes");
            }
        }
    }
}
