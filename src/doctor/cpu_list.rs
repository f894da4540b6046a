//! Lists of cores as the kernel writes them: `0-3,8`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Greatest core number that is believed: a kernel holds 8192 at the most, and garbage must not fill memory.
const CPU_MAX: usize = 8191;

/// A set of cores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(BTreeSet<usize>);

impl CpuList {
    /// Whether the core is in it.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The cores, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// Those that are not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// Those that are in `other`, too.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// As a mask of hexadecimal words of 32 bits, highest first, as `rps_cpus` has it.
    pub fn mask(&self) -> String {
        let words = self.0.last().map_or(1, |last| last / 32 + 1);
        let word =
            |idx: usize| (0..32).filter(|bit| self.contains(idx * 32 + bit)).fold(0u32, |sum, bit| sum | 1 << bit);
        (0..words).rev().map(|idx| format!("{:08x}", word(idx))).collect::<Vec<_>>().join(",")
    }

    /// Reads a [`mask`](Self::mask); nothing if it is none.
    pub fn from_mask(text: &str) -> Option<Self> {
        let mut found = BTreeSet::new();
        for (idx, word) in text.trim().rsplit(',').enumerate() {
            let word = u32::from_str_radix(word.trim(), 16).ok()?;
            let cpus = (0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| idx * 32 + bit);
            found.extend(cpus.take_while(|&cpu| cpu <= CPU_MAX));
        }
        Some(Self(found))
    }
}

impl FromIterator<usize> for CpuList {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            let found: String = text.trim().chars().take(40).collect();
            format!("found `{found}`, allowed are cores from 0 to {CPU_MAX}, like 2,3 or 2-5")
        };
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&cpu| cpu <= CPU_MAX).ok_or_else(bad);
        let mut found = BTreeSet::new();
        // An empty file, and `(null)` of some kernels, are the empty set.
        for part in text.trim().trim_start_matches("(null)").split(',').filter(|part| !part.trim().is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(bad());
            }
            found.extend(first..=last);
        }
        Ok(Self(found))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for cpu in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == cpu => *last = cpu,
                _ => ranges.push((cpu, cpu)),
            }
        }
        let text = |&(first, last): &(usize, usize)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        };
        f.write_str(&ranges.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        for text in ["0", "0-1", "2-5,8", "0,2,4-6", ""] {
            assert_eq!(text.parse::<CpuList>().unwrap().to_string(), text);
        }
        assert!("(null)\n".parse::<CpuList>().unwrap().is_empty());
        for text in ["x", "3-1", "1-", "-1", "0-99999999999", "8192", "\u{fffd}"] {
            assert!(text.parse::<CpuList>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mask_names_the_same_cores() {
        for (list, mask) in [("0", "00000001"), ("1-3", "0000000e"), ("0,33", "00000002,00000001"), ("", "00000000")] {
            let cpus: CpuList = list.parse().unwrap();
            assert_eq!(cpus.mask(), mask);
            assert_eq!(CpuList::from_mask(mask).unwrap(), cpus);
        }
        assert!(CpuList::from_mask("xyz").is_none());
    }
}
