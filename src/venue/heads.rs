//! How messages of one stream begin: the same text up to the first number, and the same between that and the next.
//!
//! A message that begins like one that was read before is known without looking at a key, a topic or a symbol. The texts
//! are compared whole, so what is concluded from them is exactly what reading them would tell. A stream has two places that
//! it may share with others; the latest to come by takes one.

use super::scan::is_equal;

/// Places: many more than streams, so that hardly ever three fall on two, which would only make them slow. Only those in use
/// are ever touched.
const HEADS: usize = 1024;

const FIRST_BYTES_MAX: usize = 88;
const SECOND_BYTES_MAX: usize = 48;

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

    /// Where a stream's head is kept, there or in the place beside it: by 32 bytes that name it.
    #[inline(always)]
    fn place(frame: &[u8]) -> Option<usize> {
        let name: &[u8; 32] = frame.get(8..)?.first_chunk()?;
        let words = name.as_chunks::<8>().0.iter().zip([0, 13, 27, 43]);
        let mixed = words.fold(0, |mixed, (word, by)| mixed ^ u64::from_le_bytes(*word).rotate_left(by));
        // One product alone: they are waited for.
        let hash = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some((hash >> 54) as usize % HEADS)
    }

    /// What the frame's beginning tells, the text expected after the number behind it, and where that number is.
    #[inline(always)]
    pub(super) fn find(&mut self, frame: &[u8]) -> Option<(&mut T, &[u8], usize)> {
        let place = Self::place(frame)?;
        let place = if self.is_at(place, frame) { place } else { place ^ 1 };
        if !self.is_at(place, frame) {
            return None;
        }
        let head = self.0.get_mut(place)?;
        Some((head.what.as_mut()?, head.second.get(..usize::from(head.second_len))?, usize::from(head.first_len)))
    }

    #[inline(always)]
    fn is_at(&self, place: usize, frame: &[u8]) -> bool {
        let Some(head) = self.0.get(place) else { return false };
        let len = usize::from(head.first_len);
        let texts = frame.get(..len).zip(head.first.get(..len));
        len > 0 && texts.is_some_and(|(found, known)| is_equal(found, known))
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
        let Some(place) = Self::place(frame) else { return };
        let is_free = |place: usize| self.0.get(place).is_some_and(|head| head.first_len == 0);
        let place = if !is_free(place) && is_free(place ^ 1) { place ^ 1 } else { place };
        if let Some(place) = self.0.get_mut(place) {
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
        assert_eq!(heads.find(frame), Some((&mut 7, &br#","data":{"s":"#[..], first.concat().len())));
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
    fn streams_that_fall_on_one_place_do_not_drive_each_other_out() {
        let frame = |name: u16| format!("{{\"topic\":\"stream.{name:05}.and-so-on-until-the-name-is-long-enough\"}}");
        let place = |name: &u16| Heads::<u16>::place(frame(*name).as_bytes()).unwrap();
        let at_one: Vec<u16> = (0..20_000).filter(|name| place(name) == place(&0)).take(2).collect();
        let mut heads = Heads::new();
        for &name in &at_one {
            let frame = frame(name);
            heads.learn(frame.as_bytes(), &[frame.as_bytes()], &[], name);
        }
        for &name in &at_one {
            assert_eq!(heads.find(frame(name).as_bytes()).map(|(what, ..)| *what), Some(name));
        }
        assert_eq!(at_one.len(), 2);
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
