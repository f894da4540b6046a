//! Files of others, plain, gzip or zstd, and how far they are read.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Failure, Outcome};

/// Bytes that a reader keeps ahead.
const BUFFER_BYTES: usize = 1 << 18;

/// The share of all input that was read, on a terminal's error output; nothing elsewhere.
#[derive(Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Begins at zero.
    ///
    /// # Errors
    /// A file whose size cannot be told.
    pub fn over(files: &[PathBuf]) -> Outcome<Self> {
        let mut total = 0;
        for file in files {
            total += std::fs::metadata(file).map_err(|e| Failure::file(file, e))?.len();
        }
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{percent:>3} % {wide_bar} {bytes}/{total_bytes} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Ok(Self(bar))
    }

    /// Opens a file whose bytes count.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(&self, file: &Path) -> Outcome<indicatif::ProgressBarIter<File>> {
        Ok(self.0.wrap_read(File::open(file).map_err(|e| Failure::file(file, e))?))
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Opens a text; how it is compressed is told by its first bytes.
///
/// # Errors
/// It cannot be opened or read.
pub fn text(file: &Path, progress: &Progress) -> Outcome<Box<dyn BufRead>> {
    let error = |e| Failure::file(file, e);
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, progress.open(file)?);
    let magic = raw.fill_buf().map_err(error)?;
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(BUFFER_BYTES, flate2::bufread::MultiGzDecoder::new(raw))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(raw).map_err(error)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        }
        _ => Box::new(raw),
    })
}
