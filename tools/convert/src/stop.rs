//! Ctrl-C and SIGTERM: the first asks for an orderly end that leaves nothing behind, a second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Failure, Outcome};

/// Whether the process was asked to end.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes over SIGINT and SIGTERM.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn install() -> Outcome<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag set and ends the process.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(|e| Failure::from(format!("signals: {e}")))?;
        }
        Ok(Self(asked))
    }

    /// Fails if one came.
    ///
    /// # Errors
    /// A sentence that says so.
    pub fn check(&self) -> Outcome {
        if self.0.load(Ordering::Relaxed) { Err("interrupted; nothing is left".to_owned().into()) } else { Ok(()) }
    }
}
