//! What a command says when it cannot go on.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use tercel::backtest::BacktestError;

/// Why a command ended: whose fault it is, and a sentence.
#[derive(Debug)]
pub struct Failure {
    is_usage: bool,
    text: String,
}

/// What a command returns.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The command line asks for something that is not allowed.
    pub fn usage(text: impl fmt::Display) -> Self {
        Self { is_usage: true, text: text.to_string() }
    }

    /// Something is wrong with a file as a whole.
    pub fn file(file: &Path, what: impl fmt::Display) -> Self {
        Self::from(format!("{}: {what}", file.display()))
    }

    /// The exit code: 1 failed, 2 usage.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(1 + u8::from(self.is_usage))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { is_usage: false, text }
    }
}

impl From<BacktestError> for Failure {
    fn from(error: BacktestError) -> Self {
        match error {
            BacktestError::Usage(text) => Self::usage(text),
            BacktestError::Failed(text) => Self::from(text),
        }
    }
}
