//! A duty is one stage that can be polled; a thread is a pinned list of duties.

use crate::types::Nanos;

/// One stage of the pipeline.
pub trait Duty: Send {
    /// Its name in logs and reports.
    fn name(&self) -> &'static str;

    /// Does a bounded amount of work and returns how much; zero lets the thread idle.
    fn poll(&mut self, now: Nanos) -> usize;

    /// Whether it must not allocate after warm-up, which its thread then counts.
    fn is_hot(&self) -> bool {
        false
    }

    /// Whether it has come to its own end (a replayed file was read). A thread ends when all its duties have.
    fn is_finished(&self) -> bool {
        false
    }

    /// Gives its result when its thread ends. The default has none.
    fn finish(self: Box<Self>) -> DutyReport {
        DutyReport::None
    }
}

/// What a duty leaves behind.
#[derive(Debug)]
pub enum DutyReport {
    /// Nothing.
    None,
    /// Of the market data feed.
    Feed(Box<super::FeedReport>),
    /// Of the core.
    Core(Box<super::CoreReport>),
    /// Of the gateway.
    Gateway(Box<super::GatewayReport>),
    /// Of the simulated venue of a replay.
    SimVenue(Box<super::SimVenueReport>),
    /// Of the reconciler.
    Reconcile(Box<super::ReconcileReport>),
    /// Of the orders over REST.
    RestOrders(Box<super::RestOrdersReport>),
    /// Of the ghost of a live run.
    Ghost(Box<super::GhostReport>),
    /// Of slow risk.
    SlowRisk(Box<crate::slow_risk::SlowRiskReport>),
    /// Of the recorder.
    Recorder(Box<super::RecorderReport>),
}
