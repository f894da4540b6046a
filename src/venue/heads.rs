//! How messages of one stream begin: the same text up to the first number, and the same between that and the next.
//!
//! A message that begins like one that was read before is known without looking at a key, a topic or a symbol. The texts
//! are compared whole, so what is concluded from them is exactly what reading them would tell. Streams share the places
//! of a small table; the latest to come by takes the place.

/// Places; two streams that fall on one only make each other slow.
const HEADS: usize = 128;

const FIRST_BYTES_MAX: usize = 88;
const SECOND_BYTES_MAX: usize = 40;

/// Remembered beginnings; `T` is what follows from one.
pub(super) struct Heads<T>(Box<[Head<T>]>);

/// The beginning of the messages of one stream.
#[derive(Clone, Copy)]
pub(super) struct Head<T> {
    first: [u8; FIRST_BYTES_MAX],
    second: [u8; SECOND_BYTES_MAX],
    /// 0 is no head.
    first_len: u8,
    second_len: u8,
    what: Option<T>,
}

impl<T: Copy> Heads<T> {
    pub(super) fn new() -> Self {
        let none = Head {
            first: [0; FIRST_BYTES_MAX],
            second: [0; SECOND_BYTES_MAX],
            first_len: 0,
            second_len: 0,
            what: None,
        };
        Self(vec![none; HEADS].into_boxed_slice())
    }

    /// Where a stream's head is kept: by 32 bytes that name it.
    #[inline(always)]
    fn place(frame: &[u8]) -> Option<usize> {
        let name: &[u8; 32] = frame.get(8..)?.first_chunk()?;
        let mut hash = 0u64;
        for word in name.as_chunks::<8>().0 {
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        Some((hash >> 57) as usize % HEADS)
    }

    /// What the frame's beginning tells, the text expected after the number behind it, and where that number is.
    #[inline(always)]
    pub(super) fn find(&self, frame: &[u8]) -> Option<(T, &[u8], usize)> {
        let head = self.0.get(Self::place(frame)?)?;
        let first_len = usize::from(head.first_len);
        if frame.get(..first_len)? != head.first.get(..first_len)? {
            return None;
        }
        Some((head.what?, head.second.get(..usize::from(head.second_len))?, first_len))
    }

    /// Remembers that a frame that begins with the concatenation of `first` means `what`; does nothing if this frame does
    /// not begin so, or if it is too long.
    #[cold]
    pub(super) fn learn(&mut self, frame: &[u8], first: &[&[u8]], second: &[&[u8]], what: T) {
        let mut rest = frame;
        for part in first {
            let Some(behind) = rest.strip_prefix(*part) else { return };
            rest = behind;
        }
        let mut head = Head {
            first: [0; FIRST_BYTES_MAX],
            second: [0; SECOND_BYTES_MAX],
            first_len: 0,
            second_len: 0,
            what: Some(what),
        };
        let (Some(first_len), Some(second_len)) = (join(&mut head.first, first), join(&mut head.second, second)) else {
            return;
        };
        (head.first_len, head.second_len) = (first_len as u8, second_len as u8);
        if let Some(place) = Self::place(frame).and_then(|place| self.0.get_mut(place)) {
            *place = head;
        }
    }
}

/// Concatenates `parts` into `out`; their length, if they fit.
fn join(out: &mut [u8], parts: &[&[u8]]) -> Option<usize> {
    let mut len = 0;
    for part in parts {
        out.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_exactly_so_is_known() {
        let mut heads = Heads::new();
        let frame = br#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[]}}"#;
        let first: [&[u8]; 2] = [br#"{"topic":"orderbook.50.BTCUSDT","#, br#""type":"delta","ts":"#];
        let second: [&[u8]; 1] = [br#","data":{"s":"#];
        assert!(heads.find(frame).is_none());
        heads.learn(&frame[1..], &first, &second, 1);
        assert!(heads.find(&frame[1..]).is_none(), "a frame that does not begin so teaches nothing");
        heads.learn(frame, &first, &second, 7);
        assert_eq!(heads.find(frame), Some((7, &br#","data":{"s":"#[..], first.concat().len())));
        for idx in 0..first.concat().len() {
            let mut other = *frame;
            other[idx] ^= 1;
            assert!(heads.find(&other).is_none(), "differs at {idx}");
        }
        for len in 0..first.concat().len() {
            assert!(heads.find(&frame[..len]).is_none(), "ends at {len}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_remembered() {
        let mut heads = Heads::new();
        let frame = [b'x'; 200];
        heads.learn(&frame, &[&frame[..FIRST_BYTES_MAX + 1]], &[], 1);
        assert!(heads.find(&frame).is_none());
        heads.learn(&frame, &[&frame[..20]], &[&frame[..SECOND_BYTES_MAX + 1]], 1);
        assert!(heads.find(&frame).is_none());
        heads.learn(&frame, &[&frame[..FIRST_BYTES_MAX]], &[&frame[..SECOND_BYTES_MAX]], 1);
        assert!(heads.find(&frame).is_some());
    }
}
