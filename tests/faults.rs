//! `tercel faults`: the engine under scripts of faults, on virtual time.

mod common;

use common::{Scratch, good, say, summary, tercel};

/// Seeds that every test run plays; `TERCEL_FAULT_SEEDS` overrides them.
const SEEDS: &str = "0..1000";

#[cfg(not(feature = "canary"))]
#[test]
fn seeded_scripts_end_with_engine_and_venue_agreeing() {
    let dir = Scratch::new("faults-seeds");
    let json = dir.file("faults.json");
    let seeds = std::env::var("TERCEL_FAULT_SEEDS").unwrap_or_else(|_| SEEDS.to_owned());
    let output = tercel(["faults", "--seeds", &seeds]).arg("--json").arg(&json).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = summary(&json);
    let (runs, agreed) = (found["runs"].as_u64().unwrap(), found["good"].as_u64().unwrap());
    assert!(runs > 0 && found["orders"].as_u64().unwrap() > 100 * runs, "{text}");
    let fired = found["faults"].as_object().unwrap().values().map(|kind| kind["fired"].as_u64().unwrap()).sum::<u64>();
    assert!(fired > runs, "{text}");
    say(&format!("faults: {agreed} of {runs} runs good"));
    assert_eq!((output.status.code(), agreed), (Some(0), runs), "{text}");
}

/// The same scripts with limits that bind and breakers that act: the venue's own books never show more than the capital at stake,
/// and in the end nothing is held.
#[cfg(not(feature = "canary"))]
#[test]
fn seeded_scripts_with_breakers_armed_never_exceed_a_limit_at_the_venue() {
    let dir = Scratch::new("faults-armed");
    let json = dir.file("faults.json");
    let output = tercel(["faults", "--seeds", "0..200", "--capital", "120"]).arg("--json").arg(&json).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = summary(&json);
    say(text.lines().find(|line| line.contains("limits exceeded in")).unwrap_or("no line about limits"));
    assert_eq!((output.status.code(), found["good"].as_u64()), (Some(0), Some(200)), "{text}");
    let armed = &found["armed"];
    assert_eq!(armed["breached"], 0, "{text}");
    let most: f64 = armed["stake_max"].as_str().unwrap().parse().unwrap();
    assert!(most > 60.0 && most <= 120.0, "the capital should bind: {armed}");
    assert!(armed["levels"].as_object().unwrap().len() > 1, "breakers should move in some runs: {armed}");
}

/// With one transition broken (silence rejects an order), the scripts must find it and print what reproduces it.
#[cfg(feature = "canary")]
#[test]
fn the_canary_is_caught() {
    let output = tercel(["faults", "--seeds", "0..40"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("FAILED") && text.contains("# seed"), "{text}");
    say(&format!("canary: {}", text.lines().find(|line| line.contains("runs good")).unwrap_or("no total")));
}

#[test]
fn a_run_without_faults_is_good() {
    let dir = Scratch::new("faults-none");
    let script = dir.file("none.faults");
    std::fs::write(&script, "# seed 3\n# nothing goes wrong\n").unwrap();
    let output = good(tercel(["faults", "--for", "60s", "--script"]).arg(&script));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("1 of 1 runs good"), "{text}");
}

#[test]
fn a_printed_script_plays_as_its_seed_does() {
    let dir = Scratch::new("faults-print");
    let printed = good(&mut tercel(["faults", "--print", "11"])).stdout;
    let script = dir.file("eleven.faults");
    std::fs::write(&script, &printed).unwrap();
    let files = [dir.file("seed.json"), dir.file("script.json")];
    tercel(["faults", "--seeds", "11"]).arg("--json").arg(&files[0]).output().unwrap();
    tercel(["faults", "--script"]).arg(&script).arg("--json").arg(&files[1]).output().unwrap();
    let [mut by_seed, mut by_script] = files.map(|file| summary(&file));
    for found in [&mut by_seed, &mut by_script] {
        for timed in ["elapsed_s", "seeds_per_s"] {
            found.as_object_mut().unwrap().remove(timed);
        }
    }
    assert!(by_seed["orders"].as_u64().unwrap() > 0);
    assert_eq!(by_seed, by_script);
}

#[test]
fn a_bad_script_is_refused_with_its_line_and_word() {
    let dir = Scratch::new("faults-bad");
    let script = dir.file("bad.faults");
    std::fs::write(&script, "at 1s drop private order\nat 2s explode trade\n").unwrap();
    let output = tercel(["faults", "--script"]).arg(&script).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for word in ["bad.faults", "line 2", "explode"] {
        assert!(text.contains(word), "{text}");
    }
    for bad in [["--seeds", "5..5"], ["--seeds", "x"]] {
        assert_eq!(tercel(["faults"]).args(bad).output().unwrap().status.code(), Some(2));
    }
}

#[test]
fn the_bundled_bad_day_can_be_played() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/bad-day.faults");
    let dir = Scratch::new("faults-bad-day");
    let json = dir.file("faults.json");
    let output = tercel(["faults", "--script", script]).arg("--json").arg(&json).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let found = summary(&json);
    let fired = |name: &str| found["faults"][name]["fired"].as_u64().unwrap_or(0);
    for name in
        ["drop public orderbook", "corrupt public orderbook", "restart book", "drop trade order", "restart venue"]
    {
        assert!(fired(name) > 0, "{name}: {found}");
    }
    // Over sockets, what happens to the client is left out, and said.
    let output = good(&mut tercel(["simex", "--addr", "127.0.0.1:0", "--for", "200ms", "--faults", script]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("freeze"));
}
