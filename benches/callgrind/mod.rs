//! Counts the instructions of a bench that runs itself under callgrind.

use std::process::Command as Process;

/// Instructions of a whole run under callgrind.
pub fn count(name: &str, rounds: usize) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Process::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--run", name, &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name} under valgrind: {}\n{text}", output.status));
    }
    let found = text.lines().find_map(|line| line.split("Collected :").nth(1));
    found.and_then(|found| found.trim().parse().ok()).ok_or(format!("callgrind told no count:\n{text}"))
}
