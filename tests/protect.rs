//! How a run is stopped by people, by files and by its own breakers, and what it remembers.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Scratch, good, say, summary, tercel};

/// A run with a configuration that trades briskly on little capital.
fn start(dir: &Scratch, more: &str) -> Child {
    let config = dir.file("run.toml");
    let stop = dir.file("stop");
    let text = format!(
        "[risk]\ncapital = \"120\"\n[market-maker]\nquote-value = \"20\"\nposition-value-max = \"60\"\n\
         [stop]\nfile = {:?}\nwithin = \"20s\"\n{more}",
        stop.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = tercel(["run", "--for", "60s", "--config"]);
    command.arg(&config).arg("--json").arg(dir.file("run.json"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the venue's books have moved the position, or at least some time has passed.
fn let_it_trade() {
    std::thread::sleep(Duration::from_secs(6));
}

fn kill(dir: &Scratch, args: &[&str]) -> Command {
    let mut command = tercel(["kill"]);
    command.arg(dir.file("stop")).args(args);
    command
}

/// Positions that are not zero, by the engine or by the venue.
fn held(dir: &Scratch) -> usize {
    let found = summary(&dir.file("run.json"));
    let positions = found["positions"].as_array().unwrap();
    let is_held = |text: &serde_json::Value| text.as_str().unwrap().parse::<f64>().unwrap() != 0.0;
    positions.iter().filter(|it| is_held(&it["engine"]) || is_held(&it["venue"])).count()
}

#[test]
fn kill_cancels_and_kill_with_flatten_closes() {
    for flatten in [false, true] {
        let dir = Scratch::new(if flatten { "kill-flatten" } else { "kill" });
        let child = start(&dir, "");
        let_it_trade();
        let output = good(&mut kill(&dir, if flatten { &["--flatten"] } else { &[] }));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.starts_with("ended ") && text.contains(if flatten { "flatten" } else { "cancel" }), "{text}");
        let ended = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{told}");
        assert!(told.contains("asked to stop by the stop file"), "{told}");
        let after = told.lines().find(|line| line.contains("s after the stop")).unwrap_or_default();
        say(&format!("kill{}: {after}", if flatten { " --flatten" } else { "" }));
        assert_eq!(after.contains("no position held"), flatten, "{told}");
        assert!(!dir.file("stop").exists());
        let found = summary(&dir.file("run.json"));
        assert_eq!(found["reconciled"], true, "{found}");
        if flatten {
            assert_eq!(held(&dir), 0, "{found}");
        }
    }
}

#[test]
fn a_signal_closes_everything_where_that_is_configured() {
    let dir = Scratch::new("signal-flatten");
    let child = start(&dir, "flatten = true\n");
    let_it_trade();
    good(Command::new("kill").args(["-TERM", &child.id().to_string()]));
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    assert!(told.contains("closing all positions") && told.contains("no position held"), "{told}");
    assert_eq!(held(&dir), 0);
}

#[test]
fn nobody_to_kill_is_said_and_a_stop_file_lets_nothing_begin() {
    let dir = Scratch::new("kill-nobody");
    let asked = Instant::now();
    let output = kill(&dir, &["--within", "200ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no run has ended within"));
    assert!(asked.elapsed() < Duration::from_secs(10) && !dir.file("stop").exists());
    std::fs::write(dir.file("stop"), "cancel").unwrap();
    let ended = start(&dir, "").wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("remove it to let one begin"), "{told}");
}

#[test]
fn a_breaker_that_halts_closes_ends_and_is_remembered_until_a_person_takes_it_back() {
    let dir = Scratch::new("halt");
    let state = dir.file("state.json");
    let remember = format!("[breakers]\nstate-file = {:?}\n", state.display().to_string());
    // Every level at the limit itself, which any open loss reaches.
    let levels = ["shrink", "reduce", "flatten", "halt"].map(|level| format!("{level}-at-percent = 100\n")).concat();
    let ended = start(&dir, &format!("{remember}heat-max = \"0.001\"\n{levels}")).wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("a breaker has halted trading"), "{told}");
    assert!(told.contains("no order is open and no position held"), "{told}");
    assert_eq!(held(&dir), 0);
    let found = summary(&dir.file("run.json"));
    assert_eq!((&found["risk"]["breakers"]["heat"], &found["reconciled"]), (&"halt".into(), &true.into()), "{found}");
    let kept = summary(&state);
    assert_eq!(kept["breakers"]["heat"], "halt", "{kept}");

    let again = start(&dir, &remember).wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{told}");
    assert!(told.contains("`heat`") && told.contains("tercel rearm"), "{told}");

    good(tercel(["rearm"]).arg(&state));
    assert_eq!(summary(&state)["breakers"]["heat"], "normal");
    let child = start(&dir, &remember);
    let_it_trade();
    good(&mut kill(&dir, &[]));
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    // What was lost before still counts, and the peak is no lower.
    let money = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().parse::<f64>().unwrap();
    let after = summary(&state);
    assert!(money(&after, "peak_equity") >= money(&kept, "peak_equity"), "{after} after {kept}");
    assert_eq!(after["day_equity"], kept["day_equity"], "{after} after {kept}");
    let run = summary(&dir.file("run.json"));
    let closed = money(&after, "net") - money(&kept, "net");
    let fees_and_profit = money(&run["pnl"], "total");
    assert!((closed - fees_and_profit).abs() < 1.0, "{closed} and {fees_and_profit}");
}
