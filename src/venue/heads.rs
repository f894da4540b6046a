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
        if first_len == 0 || frame.get(..first_len) != head.first.get(..first_len) {
            return;
        }
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
