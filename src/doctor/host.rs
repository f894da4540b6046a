//! Reads what the kernel tells of a host in `/proc` and `/sys`, or in a made-up tree.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::card::Card;
use super::cpu_list::CpuList;
use super::kernel_clock::KernelClock;

/// Largest file that is read; the kernel's lists of processors of a large machine stay below.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 1 << 16;

/// Control groups within groups that are looked at.
pub(super) const GROUP_DEPTH_MAX: usize = 64;

/// A host to examine: where its `/proc` and `/sys` are, the kernel's clock, and its network card.
///
/// Nothing here needs root, and nothing fails: what cannot be read is an error text that says why.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    pub(super) clock: Option<KernelClock>,
    cards: Cards,
}

/// Where settings of network cards are from.
#[derive(Clone, Copy, Debug)]
enum Cards {
    Kernel,
    Given(Option<Card>),
}

impl Host {
    /// The host that this runs on.
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), clock: KernelClock::read(), cards: Cards::Kernel }
    }

    /// A tree that holds `proc` and `sys`, and what the kernel's clock says beside it.
    pub fn at(root: impl Into<PathBuf>, clock: Option<KernelClock>) -> Self {
        Self { root: root.into(), clock, cards: Cards::Given(None) }
    }

    /// The same with a network card.
    #[must_use]
    pub fn with_card(self, card: Card) -> Self {
        Self { cards: Cards::Given(Some(card)), ..self }
    }

    /// The settings of a network card.
    ///
    /// # Errors
    /// Why they cannot be told.
    pub fn card(&self, iface: &str) -> Result<Card, String> {
        match self.cards {
            Cards::Kernel => Card::read(iface),
            Cards::Given(card) => card.ok_or_else(|| format!("{iface}: not told")),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file without the white space around it.
    ///
    /// # Errors
    /// The path, and why it cannot be read.
    pub fn read(&self, path: &str) -> Result<String, String> {
        let failed = |e: std::io::Error| format!("{path}: {e}");
        let mut bytes = Vec::new();
        File::open(self.path(path)).map_err(failed)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A file that holds one number.
    ///
    /// # Errors
    /// As [`read`](Self::read), or what stands there instead.
    pub fn number(&self, path: &str) -> Result<i64, String> {
        let text = self.read(path)?;
        text.parse().map_err(|_| format!("{path}: `{}` is no number", shortened(&text)))
    }

    /// A file that holds a list of cores.
    ///
    /// # Errors
    /// As [`read`](Self::read), or what stands there instead.
    pub fn cpus(&self, path: &str) -> Result<CpuList, String> {
        self.read(path)?.parse().map_err(|e| format!("{path}: {e}"))
    }

    /// The names in a folder, sorted; empty if it cannot be read.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let mut names: Vec<String> = entries.flatten().take(ENTRIES_MAX).filter_map(name).collect();
        names.sort();
        names
    }

    /// Whether there is such a file or folder.
    pub fn exists(&self, path: &str) -> bool {
        Path::exists(&self.path(path))
    }

    /// The first field of that name in a file of lines `name: value`.
    pub fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.read(path).ok()?;
        let of = |line: &str| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        };
        text.lines().find_map(of)
    }

    /// The value of a word `name=value` of the kernel's command line; empty for a word without one.
    pub fn kernel_word(&self, name: &str) -> Option<String> {
        let line = self.read("/proc/cmdline").ok()?;
        let of = |word: &str| {
            let (found, value) = word.split_once('=').unwrap_or((word, ""));
            (found == name).then(|| value.to_owned())
        };
        // The kernel takes the last of several.
        line.split_whitespace().filter_map(of).next_back()
    }

    /// Whether a process of one of these names runs; the kernel keeps 15 letters of a name.
    pub fn running(&self, names: &[&'static str]) -> Option<&'static str> {
        let is_pid = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
        self.names("/proc").iter().filter(|name| is_pid(name)).find_map(|pid| {
            let comm = self.read(&format!("/proc/{pid}/comm")).ok()?;
            names.iter().copied().find(|name| *name == comm)
        })
    }

    /// A soft limit of this process as `/proc/self/limits` has it; `None` in the middle: unlimited.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub fn limit(&self, name: &str) -> Result<Option<u64>, String> {
        let text = self.read("/proc/self/limits")?;
        let rest = text.lines().find_map(|line| line.strip_prefix(name));
        match rest.and_then(|rest| rest.split_whitespace().next()) {
            Some("unlimited") => Ok(None),
            Some(word) => word.parse().map(Some).map_err(|_| format!("/proc/self/limits: `{}`", shortened(word))),
            None => Err(format!("/proc/self/limits has no line `{name}`")),
        }
    }

    /// Whether this process has a capability, by its number in `capability.h`.
    pub fn has_capability(&self, number: u32) -> bool {
        let mask = self.field("/proc/self/status", "CapEff").and_then(|text| u64::from_str_radix(&text, 16).ok());
        mask.is_some_and(|mask| mask >> number & 1 == 1)
    }

    /// Cores that are switched on.
    ///
    /// # Errors
    /// Why they cannot be told.
    pub fn online(&self) -> Result<CpuList, String> {
        self.cpus("/sys/devices/system/cpu/online")
    }

    /// Cores that a thread of this process may be pinned to: those of its cpuset. Where that is not told, those that it may use
    /// now and the isolated ones, which no process is given by itself.
    ///
    /// # Errors
    /// Why they cannot be told.
    pub fn allowed(&self) -> Result<CpuList, String> {
        if let Some(cpus) = self.cpuset() {
            return Ok(cpus);
        }
        let given = self.given()?;
        let isolated = self.cpus("/sys/devices/system/cpu/isolated").unwrap_or_default();
        Ok(given.iter().chain(isolated.iter()).collect())
    }

    /// The cores of the nearest group that says so.
    fn cpuset(&self) -> Option<CpuList> {
        let groups = self.read("/proc/self/cgroup").ok()?;
        groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let (base, file) = match controllers {
                "" => ("/sys/fs/cgroup", "cpuset.cpus.effective"),
                _ if controllers.split(',').any(|name| name == "cpuset") => {
                    ("/sys/fs/cgroup/cpuset", "cpuset.effective_cpus")
                }
                _ => return None,
            };
            fn above<'a>(at: &&'a str) -> Option<&'a str> {
                at.rsplit_once('/').map(|(above, _)| above)
            }
            std::iter::successors(Some(path.trim_end_matches('/')), above)
                .take(GROUP_DEPTH_MAX)
                .find_map(|at| self.cpus(&format!("{base}{at}/{file}")).ok().filter(|cpus| !cpus.is_empty()))
        })
    }

    /// Cores that this process was given to begin with.
    fn given(&self) -> Result<CpuList, String> {
        let text = self.field("/proc/self/status", "Cpus_allowed_list");
        text.ok_or("/proc/self/status has no line `Cpus_allowed_list`")?.parse().map_err(|e| format!("allowed: {e}"))
    }

    /// The interface of the default route, if there is one.
    pub fn default_iface(&self) -> Option<String> {
        let routes = self.read("/proc/net/route").ok()?;
        routes.lines().skip(1).find_map(|line| {
            let mut words = line.split_whitespace();
            let (iface, target) = (words.next()?, words.next()?);
            (target == "00000000").then(|| iface.to_owned())
        })
    }

    /// Whether a hypervisor is below.
    pub fn is_virtual(&self) -> bool {
        self.field("/proc/cpuinfo", "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
    }
}

/// The start of a text from outside, for error texts.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
