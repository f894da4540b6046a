//! What the kernel knows of its own clock. The one system call of this folder that no crate here wraps.

use serde::Serialize;

/// The state of the system's clock, as `adjtimex` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KernelClock {
    /// Whether a daemon disciplines it.
    pub is_synchronised: bool,
    /// Estimated error in microseconds.
    pub error_us: i64,
    /// Greatest error in microseconds.
    pub error_us_max: i64,
}

impl KernelClock {
    /// Asks; `None` where the system call is not allowed.
    #[allow(unsafe_code)]
    pub fn read() -> Option<Self> {
        // SAFETY: `timex` is a struct of integers, for which zeros are values; `modes` of 0 asks and changes nothing.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: The pointer is to the live, writable struct above, and the call keeps it no longer than it runs.
        let state = unsafe { libc::adjtimex(&mut timex) };
        (state >= 0).then_some(Self {
            is_synchronised: state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
            error_us: timex.esterror,
            error_us_max: timex.maxerror,
        })
    }
}
