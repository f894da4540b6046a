//! `tercel capture` over loopback: files that go round by size and time, and an orderly end.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Scratch, good, summary, tercel};
use serde_json::Value;
use tercel::journal::{CaptureMeta, CaptureReader, meta_path};

fn count(found: &Value, path: &str) -> u64 {
    found.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} should be a count in {found}"))
}

fn replay(dir: &Scratch, files: &[PathBuf]) -> Value {
    let json = dir.file("summary.json");
    good(tercel(["replay", "--strategy", "watch"]).args(files).arg("--json").arg(&json));
    let found = summary(&json);
    for path in ["/gaps", "/decode_errors", "/unknown_messages", "/unknown_symbols", "/resyncs", "/crossed"] {
        assert_eq!(count(&found, path), 0, "{path} of {files:?}");
    }
    assert!(found["books"].as_array().unwrap().iter().all(|book| book["state"] == "live"), "{files:?}");
    found
}

/// Captures in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|path| path.to_string_lossy().contains(".jsonl")).collect();
    files.sort();
    files
}

fn lines(file: &Path) -> u64 {
    let mut reader = CaptureReader::open(file).unwrap();
    while reader.next_line().unwrap().is_some() {}
    reader.line() - 1
}

#[test]
fn each_file_of_a_rotated_recording_can_be_replayed_alone_and_all_together() {
    let dir = Scratch::new("rotated");
    let output = good(tercel(["capture", "--for", "5s", "--rotate-bytes", "40kB"]).arg(dir.file("x.jsonl.gz")));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let files = files(&dir.0);
    assert!(files.len() >= 3, "{files:?}");
    assert!(
        said.starts_with(&format!("{} files, the last {}", files.len(), files.last().unwrap().display())),
        "{said}"
    );
    let together = replay(&dir, &files);
    let (mut trades, mut opening, mut all) = (0, 0, 0);
    for (idx, file) in files.iter().enumerate() {
        let alone = replay(&dir, std::slice::from_ref(file));
        trades += count(&alone, "/trades");
        all += lines(file);
        let here = CaptureMeta::read(&meta_path(file)).unwrap().recording.map_or(0, |r| r.opening_messages);
        assert_eq!(here > 0, idx > 0, "{}", file.display());
        opening += here;
        if idx + 1 == files.len() {
            assert_eq!(alone["books"][0]["bid_px"], together["books"][0]["bid_px"]);
            assert_eq!(alone["books"][0]["ask_levels"], together["books"][0]["ask_levels"]);
        }
    }
    assert_eq!(trades, count(&together, "/trades"));
    assert!(said.contains(&format!(": {} messages", all - opening)), "{opening} of {all}: {said}");
}

#[test]
fn an_interrupted_recording_completes_its_files() {
    let dir = Scratch::new("interrupted");
    let mut command = tercel(["capture", "--rotate-every", "1s"]);
    let child = command.arg(dir.file("x.jsonl.zst")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(3_500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = files(&dir.0);
    assert!(files.len() >= 3, "{files:?}");
    assert!(
        files.iter().all(|file| file.extension().is_some_and(|e| e == "zst") && meta_path(file).exists()),
        "{files:?}"
    );
    replay(&dir, &files);
    // Nothing is overwritten.
    let taken = dir.file("y.jsonl");
    std::fs::write(&taken, "").unwrap();
    let refused = tercel(["capture", "--for", "1s"]).arg(&taken).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("y.jsonl exists"));
}
