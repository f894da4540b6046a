//! The engine's side of a guard, for `tercel run`: when it may begin, and what it leaves on its heartbeat.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::Failure;
use super::signals::StopSignals;
use crate::config::Config;
use crate::guard::{Halt, Heartbeat, LeaseClient, LeaseConfig, Mode, Presence, PulseTerms, WireKey, boot_ns};

/// Longest time to wait for a guard to appear, or for a lease.
const GUARD_WITHIN: Duration = Duration::from_secs(20);

/// Longest time to wait for a guard that is there but still clears up after an earlier run.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// Time in which a guard that is there shows itself.
const SHOWS_WITHIN: Duration = Duration::from_millis(200);

/// Arguments of `tercel run` that concern the guard.
#[derive(Args)]
pub struct GuardArgs {
    /// Do not trade without a guard on the heartbeat file: `[guard] require = true`.
    #[arg(long)]
    guard: bool,
    /// Beat into this file for a guard on this host: `[guard] heartbeat`.
    #[arg(long, value_name = "FILE")]
    heartbeat: Option<PathBuf>,
}

impl GuardArgs {
    /// Puts what the command line says over the configuration.
    pub fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        if let Some(file) = &self.heartbeat {
            config.guard.heartbeat = Some(file.clone());
        }
        config.guard.require |= self.guard;
        if config.guard.require && config.guard.heartbeat.is_none() {
            return Err(Failure::usage("--guard needs --heartbeat FILE, or the key `heartbeat` of [guard]"));
        }
        Ok(())
    }
}

/// A run's heartbeat.
pub struct Guarded {
    beat: Arc<Heartbeat>,
    terms: PulseTerms,
    lease: Option<LeaseClient>,
    inherits_danger: bool,
}

impl Guarded {
    /// Begins a heartbeat if one is configured, and waits until the guard is ready for this run: it may still be clearing up
    /// after the one before.
    pub fn begin(config: &Config, run_id: u32, unix_ms: u64, signals: &StopSignals) -> Result<Option<Self>, Failure> {
        let guard = &config.guard;
        if guard.heartbeat.is_none() && guard.address.is_none() {
            return Ok(None);
        }
        let beat = Heartbeat::register(guard.heartbeat.as_deref(), run_id, config.venue.recv_window_ms, unix_ms)?;
        let beat = Arc::new(beat);
        let lease = match (&guard.address, &guard.key_file) {
            (Some(address), Some(file)) => {
                let key = WireKey::load(file).map_err(Failure::usage)?;
                let lease = LeaseConfig { guard: address.clone(), key, lease_ns: guard.lease.0 };
                Some(LeaseClient::start(beat.clone(), lease).map_err(|e| format!("guard at {address}: {e}"))?)
            }
            _ => None,
        };
        let terms =
            PulseTerms { needs_lease: lease.is_some(), guard_absent_ns: guard.require.then_some(guard.absent_after.0) };
        let guarded = Self { inherits_danger: beat.inherits() && guard.heartbeat.is_some(), beat, terms, lease };
        guarded.wait(guard.require, guard.heartbeat.is_some(), signals)?;
        Ok(Some(guarded))
    }

    fn wait(&self, is_required: bool, has_page: bool, signals: &StopSignals) -> Result<(), Failure> {
        let began = Instant::now();
        let mut presence = Presence::new(&self.beat);
        let mut has_said = false;
        loop {
            let (is_alive, is_watching) = presence.look(&self.beat, boot_ns());
            let has_lease = !self.terms.needs_lease || self.beat.has_lease(boot_ns());
            let waited = began.elapsed();
            let page_is_good = !has_page || is_watching || (!is_required && !is_alive && waited >= SHOWS_WITHIN);
            if page_is_good && has_lease {
                if has_page && !is_watching {
                    eprintln!(
                        "warning: no guard is watching the heartbeat file; if this process dies, its orders stay"
                    );
                }
                return Ok(());
            }
            if signals.is_set() {
                return Err(Failure::from("asked to stop while waiting for the guard"));
            }
            if self.beat.is_fenced() {
                return Err(Failure::from(Halt::Fenced.text()));
            }
            let longest = if is_alive || !has_lease { SETTLED_WITHIN } else { GUARD_WITHIN };
            if waited > longest {
                let what =
                    if has_lease { "no guard is watching the heartbeat file" } else { "no lease from the guard" };
                return Err(Failure::from(format!("{what} after {} s", waited.as_secs())));
            }
            if !has_said && waited > Duration::from_secs(1) {
                has_said = true;
                eprintln!("waiting for the guard");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What the duties need.
    pub fn pulse(&self) -> (Arc<Heartbeat>, PulseTerms) {
        (self.beat.clone(), self.terms)
    }

    /// From now on it may have orders.
    pub fn running(&mut self) {
        self.inherits_danger = false;
        self.beat.set_mode(Mode::Running);
    }

    /// Why the guard's machinery ended trading, if it did.
    pub fn halt(&self) -> Option<Halt> {
        self.beat.halt()
    }

    /// Says how it ended: with nothing open at the venue, or not.
    pub fn end(&self, nothing_open: bool) {
        self.beat.set_mode(if nothing_open { Mode::Finished } else { Mode::Left });
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        match self.beat.mode() {
            // It broke off in the middle.
            Mode::Running => self.beat.set_mode(Mode::Left),
            // It never had an order; but one before it may have.
            Mode::Starting => self.end(!self.inherits_danger),
            Mode::Finished | Mode::Left => {}
        }
        // Only now, so that the guard hears the last word.
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }
}
