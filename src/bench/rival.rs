//! Starts the rival: a program of its own that does the same job over the same three connections, with other libraries.

use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{BenchError, BenchTls, Carrier, Case};
use crate::types::InstrumentId;

/// The program. It is told everything on its command line:
///
/// ```text
/// --connect HOST:PORT --topic T… --instrument SYMBOL=LOT… --book-depth N [--cpu N] [--ca-pem=PEM] [--spin]
/// ```
#[derive(Clone, Debug)]
pub struct Rival {
    /// Where it lies.
    pub path: PathBuf,
}

/// A rival that was started. Dropping it ends it.
pub(super) struct RunningRival {
    child: Child,
}

impl Rival {
    /// Starts it against the generator at `addr`, pinned where the engine's first thread would be.
    pub(super) fn start(
        &self,
        addr: SocketAddr,
        case: &Case,
        tls: &BenchTls,
        is_spinning: bool,
    ) -> Result<RunningRival, BenchError> {
        let traffic = &case.traffic;
        let mut command = Command::new(&self.path);
        command.arg("--connect").arg(addr.to_string());
        for topic in traffic.topics() {
            command.arg("--topic").arg(topic);
        }
        for idx in 0..traffic.table().len() {
            let Some(spec) = traffic.table().get(InstrumentId(idx as u16)) else { continue };
            command.arg("--instrument").arg(format!("{}={}", spec.symbol, spec.lot.text(1)));
        }
        command.arg("--book-depth").arg(traffic.book_depth().to_string());
        if let Some(cpu) = case.engine_cpus().first() {
            command.arg("--cpu").arg(cpu.to_string());
        }
        if case.carrier == Carrier::Tls {
            // In one word, because the text begins with dashes.
            command.arg(format!("--ca-pem={}", tls.ca_pem));
        }
        if is_spinning {
            command.arg("--spin");
        }
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let child = started.map_err(|error| BenchError::Rival(format!("{}: {error}", self.path.display())))?;
        Ok(RunningRival { child })
    }
}

impl RunningRival {
    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it and returns what it complained about.
    pub(super) fn finish(mut self) -> String {
        self.end();
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            let _ = errors.read_to_string(&mut text);
        }
        text.trim().to_owned()
    }

    /// Ends it, unless it has ended.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for RunningRival {
    fn drop(&mut self) {
        self.end();
    }
}
