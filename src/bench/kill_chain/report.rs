//! The kill chain's report: Markdown for people, JSON for programs.

use std::fmt::Write;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::{Damage, KillRound};
use crate::bench::Machine;

/// Everything about one run of the bench.
#[derive(Debug, Serialize)]
pub struct KillChainReport {
    /// Day of the run.
    pub date: String,
    /// The command line.
    pub command: String,
    /// On what.
    pub machine: Machine,
    /// Load averages before and after.
    pub load_average: [String; 2],
    /// Staleness at which the guard acted.
    pub stale_after_ms: u64,
    /// Length of a lease.
    pub lease_ms: u64,
    /// Every round, in the order in which it was run.
    pub rounds: Vec<KillRound>,
}

impl KillChainReport {
    fn of(&self, damage: Damage, guarded: bool) -> Vec<&KillRound> {
        self.rounds.iter().filter(|round| round.damage == damage && round.guarded == guarded).collect()
    }

    fn cell(rounds: &[&KillRound]) -> String {
        let mut zero: Vec<f64> = rounds.iter().filter_map(|round| round.zero_after_ms).collect();
        zero.sort_by(f64::total_cmp);
        let stayed: Vec<&&KillRound> = rounds.iter().filter(|round| round.zero_after_ms.is_none()).collect();
        let mut out = String::new();
        if let (Some(median), Some(max)) = (zero.get(zero.len() / 2), zero.last()) {
            let _ = write!(out, "{median:.0} ms median, {max:.0} ms max ({} of {})", zero.len(), rounds.len());
        }
        if !stayed.is_empty() {
            let observed = stayed.iter().map(|round| round.observed_ms).fold(f64::INFINITY, f64::min) / 1e3;
            let join = if out.is_empty() { "" } else { "; " };
            let _ = write!(
                out,
                "{join}orders stay open ({} of {}, observed for {observed:.1} s)",
                stayed.len(),
                rounds.len()
            );
        }
        out
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        let machine = &self.machine;
        let mut out = format!(
            "# kill-chain, {}\n\nHow long after its engine ends, dies, hangs or loses its network does the venue hold an open \
             order?\n\n```\n{}\n```\n\n| | with a guard | without |\n|---|---|---|\n",
            self.date, self.command
        );
        for damage in Damage::ALL {
            let [with, without] = [true, false].map(|guarded| Self::cell(&self.of(damage, guarded)));
            let _ = writeln!(out, "| {} | {with} | {without} |", damage.text());
        }
        let _ = write!(
            out,
            "\nFrom the signal (or the cut) to the moment from which on the venue held no open order of the account and none \
             came in the two seconds after. After SIGTERM the engine cancels by itself and the guard does nothing.\n\n\
             ## How it was measured\n\n\
             - The venue is the simulated one, in the process that does the damage: one clock stamps both. It looks at its own \
             open orders after every round of its loop, about a millisecond apart when idle.\n\
             - Engine and guard are processes of their own on the same machine and talk to it over loopback without TLS: a real \
             venue adds the way of the cancel-all to it, on a connection that is open.\n\
             - The guard's staleness is {} ms, its look every 5 ms. kill -9 is seen by a lock that the kernel lets go of, after \
             20 ms without a beat; SIGSTOP and a cut network only by staleness.\n\
             - For the cut, engine and guard are joined by UDP (a heartbeat every {} ms) and the lease is {} ms; the guard \
             reaches the venue, the engine does not. Staleness counts from the last heartbeat, which is older than the cut.\n\
             - The damage falls into another phase of the 50 ms between heartbeats each round. {} rounds of each kind, in turns, \
             none left out. Nothing was done to keep other work off the machine: see the load.\n\
             - The strategy quotes 1 % off the market, so that its orders end by cancelling and not by fills.\n\
             - Load average {} before, {} after; {} cores, {}, kernel {}, {} build, tercel {}.\n\n## Rounds\n\n\
             | damage | guard | open before | none after ms | open at the end |\n|---|---|---:|---:|---:|\n",
            self.stale_after_ms,
            self.lease_ms / 20,
            self.lease_ms,
            self.of(Damage::Killed, true).len(),
            self.load_average[0],
            self.load_average[1],
            machine.cores,
            machine.cpu,
            machine.kernel,
            machine.profile,
            machine.version,
        );
        for round in &self.rounds {
            let zero = round.zero_after_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
            let guard = if round.guarded { "yes" } else { "no" };
            let (damage, before, after) = (round.damage.text(), round.open_before, round.open_after);
            let _ = writeln!(out, "| {damage} | {guard} | {before} | {zero} | {after} |");
        }
        out
    }

    /// Writes `report.md` and `report.json` into a folder.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("report.md"), self.markdown())?;
        std::fs::write(dir.join("report.json"), serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(zero_after_ms: Option<f64>) -> KillRound {
        KillRound {
            damage: Damage::Killed,
            guarded: false,
            open_before: 2,
            zero_after_ms,
            open_after: usize::from(zero_after_ms.is_none()) * 2,
            observed_ms: 5000.0,
        }
    }

    #[test]
    fn orders_that_stay_are_not_averaged_away() {
        let rounds = [Some(30.0), None, Some(10.0), Some(20.0)].map(round);
        let cell = KillChainReport::cell(&rounds.iter().collect::<Vec<_>>());
        let want = "20 ms median, 30 ms max (3 of 4); orders stay open (1 of 4, observed for 5.0 s)";
        assert_eq!(cell, want);
        assert_eq!(KillChainReport::cell(&[&round(None)]), "orders stay open (1 of 1, observed for 5.0 s)");
    }
}
