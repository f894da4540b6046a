//! Locks the memory of the process: nothing of it is taken away.
//!
//! Either each page from its first use on, which costs nothing; or all pages at once, which prefaults rings, books and stacks as they
//! are made. Then all that is reserved becomes resident, the allocator's spare room included: it reserves a GiB, so a run that had
//! 61 MiB resident had 1050.

use serde::{Deserialize, Serialize};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

/// Whether to lock memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMemory {
    /// Each page from its first use on, if that is allowed without limit; else it is said that it was not. Beside the embedded venue, none.
    #[default]
    Auto,
    /// All pages at once, used or not; a run does not start without.
    Yes,
    /// Never.
    No,
}

/// Why memory was not locked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// A limit that is met later would make an allocation fail in the middle of trading, so none is accepted.
    #[error("the limit is {limit_bytes} bytes, allowed is only unlimited (LimitMEMLOCK=infinity, ulimit -l unlimited)")]
    Limited {
        /// The limit of this process.
        limit_bytes: u64,
    },
    /// It would take too much of what the host has left.
    #[error("{needed_mib} MiB would become resident, and {left_mib} MiB are left, of which half may be used")]
    NoRoom {
        /// What is mapped and not resident.
        needed_mib: u64,
        /// What the host, or the group of this process, has left.
        left_mib: u64,
    },
    /// The system refused.
    #[error("{0}")]
    Refused(String),
}

/// Locks all memory that this process has, and all that it will make, as wanted. Returns the bytes that are locked now.
///
/// # Errors
/// [`LockError`]; then nothing is locked.
///
/// # Cost
/// For [`LockMemory::Yes`] the kernel fills every page that is mapped and not resident. Call it before anything is timed.
pub fn lock_memory(wanted: LockMemory) -> Result<u64, LockError> {
    let limit = getrlimit(Resource::Memlock).current;
    let may_exceed = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if let Some(limit_bytes) = limit.filter(|_| !may_exceed) {
        return Err(LockError::Limited { limit_bytes });
    }
    let mut flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE;
    match wanted {
        LockMemory::No => return Ok(status_bytes("VmLck:")),
        LockMemory::Auto => flags |= MlockAllFlags::ONFAULT,
        LockMemory::Yes => {
            let needed = status_bytes("VmSize:").saturating_sub(status_bytes("VmRSS:"));
            check_room(needed, memory_left_bytes())?;
        }
    }
    mlockall(flags).map_err(|e| LockError::Refused(e.to_string()))?;
    Ok(status_bytes("VmLck:"))
}

fn check_room(needed: u64, left: u64) -> Result<(), LockError> {
    if needed > left / 2 {
        return Err(LockError::NoRoom { needed_mib: needed >> 20, left_mib: left >> 20 });
    }
    Ok(())
}

fn status_bytes(name: &str) -> u64 {
    kib_bytes(&read("/proc/self/status"), name).unwrap_or(0)
}

/// A line `Name:   123 kB`, in bytes.
fn kib_bytes(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What may still become resident: of the host, and of the group of this process where that has a limit, which would end us.
fn memory_left_bytes() -> u64 {
    let host = kib_bytes(&read("/proc/meminfo"), "MemAvailable:").unwrap_or(0);
    let groups = read("/proc/self/cgroup");
    let number = |path: String| read(&path).trim().parse::<u64>().ok();
    let of = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (base, most, used) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
            _ => return None,
        };
        // Inside a container the path may be one of outside; its root is the container's own group.
        let dirs =
            std::iter::successors(Some(path.trim_end_matches('/')), |at| at.rsplit_once('/').map(|(above, _)| above));
        let left = |at: &str| {
            Some(number(format!("{base}{at}/{most}"))?.saturating_sub(number(format!("{base}{at}/{used}"))?))
        };
        dirs.filter_map(left).min()
    };
    groups.lines().filter_map(of).fold(host, u64::min)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_left_may_be_taken() {
        assert_eq!(check_room(1 << 30, 2 << 30), Ok(()));
        assert_eq!(check_room((1 << 30) + 1, 2 << 30), Err(LockError::NoRoom { needed_mib: 1024, left_mib: 2048 }));
        assert!(check_room(1, 0).is_err(), "a host that tells nothing has no room");
    }

    #[test]
    fn sizes_are_read_as_the_kernel_writes_them() {
        assert_eq!(kib_bytes("Name:\tx\nVmRSS:\t  12 kB\n", "VmRSS:"), Some(12_288));
        for text in ["", "VmRSS:", "VmRSS: x kB", "VmRSS: 18446744073709551615 kB"] {
            assert_eq!(kib_bytes(text, "VmRSS:"), None, "{text}");
        }
        assert!(status_bytes("VmSize:") > 0 && memory_left_bytes() > 0);
    }
}
