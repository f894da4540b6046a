//! What the benches run on: a real capture if there is one, a generated one otherwise.

use std::path::{Path, PathBuf};

use tercel::journal::{Capture, ClockKind, load, synthetic};
use tercel::types::{InstrumentSpec, InstrumentTable, Nanos, Product, Step, Symbol, VenueId};

/// The capture that speed is stated for.
const NAME: &str = "binance-usdm/20240808-btcusdt";

/// Messages of one instrument in memory.
pub struct Feed {
    /// What it is, for the names of benches.
    pub name: &'static str,
    /// The messages.
    pub capture: Capture,
    /// The instrument.
    pub table: InstrumentTable,
}

/// `TERCEL_CAPTURES` names the folder of captures, `../shared/captures` otherwise.
pub fn feed() -> Feed {
    let folder = match std::env::var_os("TERCEL_CAPTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures")).to_path_buf(),
    };
    match load(&[folder.join(format!("{NAME}.jsonl.gz"))], ClockKind::Unix) {
        Ok(capture) => {
            let step = |text: &str| Step::from_text(text.as_bytes()).unwrap();
            let symbol = Symbol::new(b"BTCUSDT").unwrap();
            let venue = VenueId::BINANCE_USDM;
            let spec = InstrumentSpec::new(venue, symbol, Product::Linear, step("0.10"), step("0.001")).unwrap();
            Feed { name: "btcusdt_2024", capture, table: InstrumentTable::new(vec![spec]).unwrap() }
        }
        Err(error) => {
            eprintln!("SKIPPED: {NAME}: {error}; a generated feed takes its place");
            let config = synthetic::SyntheticConfig {
                instruments: 1,
                depth_events: 20_000,
                ..synthetic::SyntheticConfig::new(VenueId::BINANCE_USDM, 1)
            };
            let mut capture = Capture::default();
            for (recv_ns, message) in synthetic::generate(&config).lines {
                capture.push(Nanos::new(recv_ns), &message);
            }
            Feed { name: "generated", capture, table: synthetic::sidecar(&config).table().unwrap() }
        }
    }
}
