//! NumPy's array file, as far as hftbacktest's event arrays need it: one dimension of records of eight words.

use std::io::{self, Read};

/// The fields of an event, each with its type, in order.
const FIELDS: [(&str, &str); 8] = [
    ("ev", "<u8"),
    ("exch_ts", "<i8"),
    ("local_ts", "<i8"),
    ("px", "<f8"),
    ("qty", "<f8"),
    ("order_id", "<u8"),
    ("ival", "<i8"),
    ("fval", "<f8"),
];

/// Bytes of an event.
const ROW_BYTES: usize = 64;

/// Longest header that is read; NumPy's own limit for files that are not trusted is 10,000.
const HEADER_BYTES_MAX: usize = 10_000;

/// One event of hftbacktest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Flags, and the kind in the lowest byte.
    pub ev: u64,
    /// The venue's time in nanoseconds.
    pub exch_ts: i64,
    /// Receive time in nanoseconds.
    pub local_ts: i64,
    /// Price.
    pub px: f64,
    /// Quantity.
    pub qty: f64,
}

/// Reads the beginning of an array and returns how many rows follow.
///
/// # Errors
/// What is wrong with it.
pub fn rows(input: &mut impl Read) -> Result<u64, String> {
    let mut start = [0; 8];
    exact(input, &mut start)?;
    if &start[..6] != b"\x93NUMPY" {
        return Err(format!("no array of NumPy: starts with {:02x?}", &start[..6]));
    }
    let len = match start[6] {
        1 => {
            let mut len = [0; 2];
            exact(input, &mut len)?;
            usize::from(u16::from_le_bytes(len))
        }
        2 | 3 => {
            let mut len = [0; 4];
            exact(input, &mut len)?;
            u32::from_le_bytes(len) as usize
        }
        other => return Err(format!("version {other} of NumPy's format, known are 1, 2 and 3")),
    };
    if len > HEADER_BYTES_MAX {
        return Err(format!("a header of {len} bytes, allowed are {HEADER_BYTES_MAX}"));
    }
    let mut header = vec![0; len];
    exact(input, &mut header)?;
    let header = String::from_utf8_lossy(&header);
    let compact: String = header.chars().filter(|c| !c.is_whitespace()).collect();
    let fields: Vec<String> = FIELDS.iter().map(|(name, kind)| format!("('{name}','{kind}')")).collect();
    let wanted = format!("'descr':[{}]", fields.join(","));
    if !compact.replace(",]", "]").contains(&wanted) {
        return Err(format!("found the array `{}`, wanted are records of {wanted}", header.trim()));
    }
    if !compact.contains("'fortran_order':False") {
        return Err(format!("found the array `{}`, wanted is fortran_order False", header.trim()));
    }
    let shape = compact.split_once("'shape':(").and_then(|(_, rest)| rest.split_once(')')).map(|(shape, _)| shape);
    shape
        .and_then(|shape| shape.strip_suffix(',').unwrap_or(shape).parse().ok())
        .ok_or_else(|| format!("found the array `{}`, wanted is one dimension", header.trim()))
}

/// Reads the next row.
///
/// # Errors
/// The file ends in it, or the system's word.
pub fn row(input: &mut impl Read) -> Result<Row, String> {
    let mut bytes = [0; ROW_BYTES];
    exact(input, &mut bytes)?;
    let (words, _) = bytes.as_chunks::<8>();
    let [ev, exch_ts, local_ts, px, qty, ..] = words else { return Err("too short".to_owned()) };
    Ok(Row {
        ev: u64::from_le_bytes(*ev),
        exch_ts: i64::from_le_bytes(*exch_ts),
        local_ts: i64::from_le_bytes(*local_ts),
        px: f64::from_le_bytes(*px),
        qty: f64::from_le_bytes(*qty),
    })
}

fn exact(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), String> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => "the file ends here".to_owned(),
        _ => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend((header.len() as u16).to_le_bytes());
        out.extend(header.as_bytes());
        out
    }

    const GOOD: &str = "{'descr': [('ev', '<u8'), ('exch_ts', '<i8'), ('local_ts', '<i8'), ('px', '<f8'), ('qty', '<f8'), \
        ('order_id', '<u8'), ('ival', '<i8'), ('fval', '<f8')], 'fortran_order': False, 'shape': (3,), }   \n";

    #[test]
    fn the_header_says_how_many_rows_there_are() {
        assert_eq!(rows(&mut &array(GOOD)[..]), Ok(3));
        // As hftbacktest's own writer has it.
        let theirs = GOOD.replace("'<f8')]", "'<f8'), ]").replace("(3,)", "(3, )");
        assert_eq!(rows(&mut &array(&theirs)[..]), Ok(3));
    }

    #[test]
    fn other_arrays_are_refused_with_what_they_are() {
        for (bad, word) in [
            (GOOD.replace("'px', '<f8'", "'px', '<f4'"), "<f4"),
            (GOOD.replace("(3,)", "(3, 2)"), "one dimension"),
            (GOOD.replace("False", "True"), "fortran_order"),
        ] {
            let error = rows(&mut &array(&bad)[..]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        assert!(rows(&mut &b"PK\x03\x04aaaaaaa"[..]).unwrap_err().starts_with("no array"));
        assert_eq!(row(&mut &[0; 63][..]).unwrap_err(), "the file ends here");
    }
}
