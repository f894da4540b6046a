//! Bytes in few letters, to tell whether they are still the same.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes of a hash that are kept: 80 bits, so that a million of them do not meet by chance.
const KEPT_BYTES: usize = 10;

fn text(hash: &[u8]) -> String {
    hash.iter().take(KEPT_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The beginning of a SHA-256.
pub fn fingerprint(bytes: &[u8]) -> String {
    text(&Sha256::digest(bytes))
}

/// The same of a file.
///
/// # Errors
/// The system's word.
pub fn fingerprint_file(file: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(file)?, Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(text(&hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_fingerprint_is_that_of_its_bytes() {
        let file = std::env::temp_dir().join(format!("tercel-sweep-fingerprint-{}", std::process::id()));
        let bytes = vec![7; 300_000];
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(fingerprint_file(&file).unwrap(), fingerprint(&bytes));
        std::fs::remove_file(&file).unwrap();
        // The first 80 bits of the standard's own example.
        assert_eq!(fingerprint(b"abc"), "ba7816bf8f01cfea4141");
    }
}
