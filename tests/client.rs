//! The client's side of a venue: orders over REST, and secrets that are never shown.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Scratch, good, summary, tercel};
use serde_json::Value;
use tercel::simex::{AccountConfig, Simex, SimexConfig};

fn count(found: &Value, path: &str) -> u64 {
    found.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} should be a count in {found}"))
}

#[test]
fn a_run_with_orders_over_rest_trades_and_reconciles() {
    let dir = Scratch::new("rest");
    let file = dir.file("rest.toml");
    std::fs::write(&file, "[venue]\norder-entry = \"rest\"\n").unwrap();
    for topology in ["feed+core+gateway", "feed | core | gateway"] {
        let json = dir.file("summary.json");
        let mut command = tercel(["run", "--for", "5s", "--topology", topology]);
        let output = good(command.arg("--config").arg(&file).arg("--json").arg(&json));
        let found = summary(&json);
        assert_eq!(found["reconciled"], true, "{found}");
        assert!(count(&found, "/orders/sent") > 0 && count(&found, "/orders/acknowledged") > 0, "{found}");
        assert_eq!(count(&found, "/orders/open_at_end"), 0);
        assert_eq!(found["balances"]["engine"], found["balances"]["venue"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("orders over REST: ")).expect(&text);
        assert!(!line.contains(": 0 requests") && line.contains(" 0 unanswered"), "{line}");
        assert!(!line.contains(" 0 answers told the rate limit"), "{line}");
    }
}

const SECRET: &str = "hunter2-is-the-secret-of-this-test";

fn write_key_file(path: &Path, mode: u32) {
    std::fs::write(path, format!("TERCEL_API_KEY=the-key\nTERCEL_API_SECRET={SECRET}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_is_read_from_a_private_file_and_printed_nowhere() {
    let account = AccountConfig { api_key: "the-key".into(), api_secret: SECRET.into(), ..AccountConfig::default() };
    let config = SimexConfig { accounts: vec![account], ..SimexConfig::default() };
    let venue = Simex::start(config, "127.0.0.1:0".parse().unwrap(), None).unwrap();
    let dir = Scratch::new("secret");
    let (file, keys, journal, json) = (dir.file("run.toml"), dir.file("keys"), dir.file("journal"), dir.file("json"));
    let text = format!(
        "[venue]\nenvironment = \"custom\"\nws = \"ws://{0}\"\nrest = \"http://{0}\"\nsecret-file = {1:?}\n[[instruments]]\nsymbol = \"BTCUSDT\"\n",
        venue.addr(),
        keys.display().to_string()
    );
    std::fs::write(&file, text).unwrap();
    let run = || {
        let mut command = tercel(["run", "--for", "2s"]);
        command.arg("--config").arg(&file).arg("--journal").arg(&journal).arg("--json").arg(&json);
        command.env_remove("TERCEL_API_KEY").env_remove("TERCEL_API_SECRET");
        command
    };
    let has_secret = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());

    write_key_file(&keys, 0o644);
    let output = run().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("0644") && said.contains("0600") && !has_secret(&output.stderr), "{said}");

    write_key_file(&keys, 0o600);
    let good_run = good(&mut run());
    let checked = good(tercel(["check-config"]).arg(&file));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("secret-file"));
    // A wrong secret is refused by the venue; what is said of that must not say the secret.
    std::fs::write(&keys, format!("TERCEL_API_KEY=the-key\nTERCEL_API_SECRET={SECRET}-wrong\n")).unwrap();
    let refused = run().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("10004"));
    for output in [&good_run, &checked, &refused] {
        assert!(!has_secret(&output.stdout) && !has_secret(&output.stderr));
    }
    let mut written = vec![json];
    written.extend(std::fs::read_dir(&journal).unwrap().flatten().map(|entry| entry.path()));
    assert!(written.len() > 1, "a summary and a journal");
    for path in written {
        assert!(!has_secret(&std::fs::read(&path).unwrap()), "{}", path.display());
    }
    venue.join();
}
