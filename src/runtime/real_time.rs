//! Real-time priority of hot threads: the scheduler gives a core to them before anything else.

#![allow(unsafe_code, reason = "one call of the system that no library here wraps")]

use std::fmt;
use std::io;
use std::str::FromStr;

/// Whether hot threads take real-time priority (`SCHED_FIFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RealTime {
    /// On cores that the kernel keeps for them, where it is allowed and never taken back.
    #[default]
    Auto,
    /// Never.
    No,
    /// At this priority, 1 to 99; a run does not start without.
    Priority(u8),
}

impl FromStr for RealTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "no" => Ok(Self::No),
            _ => match text.parse() {
                Ok(priority @ 1..=99) => Ok(Self::Priority(priority)),
                _ => Err(format!("found `{text}`, allowed are auto, no, and priorities from 1 to 99")),
            },
        }
    }
}

impl fmt::Display for RealTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::No => f.write_str("no"),
            Self::Priority(priority) => priority.fmt(f),
        }
    }
}

/// Gives the calling thread real-time priority.
///
/// # Errors
/// Whatever the system says: not permitted, or a priority that it does not have.
pub fn take_real_time(priority: u8) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: libc::c_int::from(priority) };
    // SAFETY: `param` is a whole `sched_param` that outlives the call, which only reads it; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, value) in [("auto", RealTime::Auto), ("no", RealTime::No), ("42", RealTime::Priority(42))] {
            assert_eq!(text.parse(), Ok(value));
            assert_eq!(value.to_string(), text);
        }
        for text in ["", "0", "100", "-1", "yes", "fifo"] {
            assert!(text.parse::<RealTime>().unwrap_err().contains(text));
        }
    }

    /// Where it is not allowed, that is the answer, and the thread goes on as it was.
    #[test]
    fn a_thread_takes_it_or_is_told_why_not() {
        std::thread::spawn(|| {
            let policy = || {
                // SAFETY: 0 is the calling thread, and nothing is written.
                unsafe { libc::sched_getscheduler(0) }
            };
            match take_real_time(1) {
                Ok(()) => assert_eq!(policy(), libc::SCHED_FIFO),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                    assert_eq!(policy(), libc::SCHED_OTHER);
                }
            }
        })
        .join()
        .unwrap();
    }
}
