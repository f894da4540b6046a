//! What the whole-program tests share: the program itself, scratch folders, captures real and generated.
#![allow(dead_code)] // Each test uses its part.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tercel::journal::synthetic::{SyntheticConfig, generate, sidecar};
use tercel::journal::{CaptureWriter, meta_path};
use tercel::types::VenueId;

/// The topologies to test: all, or the one that `TERCEL_TOPOLOGY` names.
pub fn topologies() -> Vec<String> {
    match std::env::var("TERCEL_TOPOLOGY") {
        Ok(one) => vec![one],
        Err(_) => ["feed+core+gateway", "feed+core | gateway", "feed | core | gateway"].map(str::to_owned).to_vec(),
    }
}

/// The folder of real captures.
pub fn captures() -> PathBuf {
    match std::env::var_os("TERCEL_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).to_path_buf(),
    }
}

/// Says something past the test harness, which swallows `eprintln!` of tests that pass.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A folder that goes away with its name.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tercel-test-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with arguments.
pub fn tercel<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
    command.args(args);
    // The number of the last run is remembered there, and not in the home of whoever tests.
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs a command to its end; what it said if that was not good.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("{command:?}: {}\n{said}", output.status))
}

/// Returns the Python of an environment of that name that has the packages, made now or by an earlier run.
pub fn python(name: &str, requirements: &Path) -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(requirements).map_err(|e| e.to_string())?;
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (python, marker) = (home.join("bin/python"), home.join("requirements.txt"));
    // Written last: an environment that was not finished, or is of other versions, is made anew.
    if std::fs::read_to_string(&marker).is_ok_and(|made| made == wanted)
        && succeed(Command::new(&python).arg("-V")).is_ok()
    {
        return Ok(python);
    }
    let _ = std::fs::remove_dir_all(&home);
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"];
    succeed(Command::new(&python).args(install).arg("--requirement").arg(requirements))?;
    std::fs::write(&marker, &wanted).map_err(|e| e.to_string())?;
    Ok(python)
}

/// Runs it to its end; says what it said if it did not end well.
pub fn good(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A summary that was written.
pub fn summary(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// A generated capture in a file, its snapshots beside it, with or without its sidecar.
pub fn generated(dir: &Scratch, config: &SyntheticConfig, with_sidecar: bool) -> PathBuf {
    let made = generate(config);
    let path = dir.file(&format!("{}-{}.jsonl.gz", config.venue.name(), config.seed));
    let mut main = CaptureWriter::create(&path).unwrap();
    for (idx, (recv, message)) in made.lines.iter().enumerate() {
        match made.snapshots.iter().find(|(at, _)| *at == idx) {
            Some((_, symbol)) if config.instruments > 1 => {
                let name = format!("{}-{}.snapshot-{}.jsonl", config.venue.name(), config.seed, symbol.to_lowercase());
                let mut side = CaptureWriter::create(&dir.file(&name)).unwrap();
                side.append(*recv, message).unwrap();
                side.finish().unwrap();
            }
            _ => main.append(*recv, message).unwrap(),
        }
    }
    main.finish().unwrap();
    if with_sidecar {
        sidecar(config).write(&meta_path(&path)).unwrap();
    }
    path
}

pub const DIALECTS: [VenueId; 4] =
    [VenueId::BYBIT, VenueId::BINANCE_USDM, VenueId::BINANCE_COINM, VenueId::BINANCE_SPOT];
