//! The general source: a walk over a `simd-json` tape, for whatever the scanner refuses.
//!
//! Escapes and odd white space end here. Its buffers are made once and keep the size of the largest message that came
//! this way; the usual feed never does.

use simd_json::prelude::StaticNode;
use simd_json::{Buffers, Node, Tape};

use super::WireError;
use super::source::{Grid, Members, Source};

/// Deepest nesting that is passed over, as in the scanner.
const DEPTH_MAX: u32 = 16;

/// The parser's buffers.
pub(crate) struct General {
    text: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl General {
    pub(crate) fn new() -> Self {
        let room = 64 * 1024;
        Self { text: Vec::with_capacity(room), buffers: Buffers::new(room), tape: Tape(Vec::with_capacity(room / 8)) }
    }

    /// Parses `message` and lets `read` walk it.
    pub(crate) fn parse<T>(
        &mut self,
        message: &[u8],
        read: impl FnOnce(Walk<'_, '_>) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        self.text.clear();
        self.text.extend_from_slice(message);
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let result = match simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape) {
            Ok(()) => read(Walk { nodes: &tape.0, pos: 0 }),
            Err(_) => Err(WireError::NotJson),
        };
        self.tape = tape.reset();
        result
    }
}

/// A place on the tape.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'t, 'a> {
    nodes: &'t [Node<'a>],
    pos: usize,
}

impl<'a> Walk<'_, 'a> {
    fn next(&mut self) -> Result<Node<'a>, WireError> {
        let node = self.nodes.get(self.pos).copied().ok_or(WireError::Truncated)?;
        self.pos += 1;
        Ok(node)
    }

    fn skip_at(&mut self, depth: u32) -> Result<(), WireError> {
        if depth == DEPTH_MAX {
            return Err(WireError::TooDeep { allowed: DEPTH_MAX });
        }
        match self.next()? {
            Node::Object { len, .. } => {
                for _ in 0..len {
                    self.next()?;
                    self.skip_at(depth + 1)?;
                }
            }
            Node::Array { len, .. } => {
                for _ in 0..len {
                    self.skip_at(depth + 1)?;
                }
            }
            Node::String(_) | Node::Static(_) => {}
        }
        Ok(())
    }
}

impl<'a> Source<'a> for Walk<'_, 'a> {
    fn object(&mut self) -> Result<Members, WireError> {
        match self.next()? {
            Node::Object { len, .. } => Ok(Members(len)),
            _ => Err(WireError::WrongType),
        }
    }

    fn key(&mut self, members: &mut Members) -> Result<Option<&'a [u8]>, WireError> {
        if !self.item(members)? {
            return Ok(None);
        }
        match self.next()? {
            Node::String(key) => Ok(Some(key.as_bytes())),
            _ => Err(WireError::WrongType),
        }
    }

    fn array(&mut self) -> Result<Members, WireError> {
        match self.next()? {
            Node::Array { len, .. } => Ok(Members(len)),
            _ => Err(WireError::WrongType),
        }
    }

    fn item(&mut self, members: &mut Members) -> Result<bool, WireError> {
        let Some(left) = members.0.checked_sub(1) else { return Ok(false) };
        members.0 = left;
        Ok(true)
    }

    fn text(&mut self) -> Result<&'a [u8], WireError> {
        match self.next()? {
            Node::String(text) => Ok(text.as_bytes()),
            _ => Err(WireError::WrongType),
        }
    }

    fn uint(&mut self) -> Result<u64, WireError> {
        match self.next()? {
            Node::Static(StaticNode::U64(value)) => Ok(value),
            Node::Static(StaticNode::I64(value)) => u64::try_from(value).map_err(|_| WireError::OutOfRange),
            _ => Err(WireError::WrongType),
        }
    }

    fn int(&mut self) -> Result<i64, WireError> {
        match self.next()? {
            Node::Static(StaticNode::I64(value)) if value > i64::MIN => Ok(value),
            Node::Static(StaticNode::U64(value)) => i64::try_from(value).map_err(|_| WireError::OutOfRange),
            _ => Err(WireError::WrongType),
        }
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.next()? {
            Node::Static(StaticNode::Bool(value)) => Ok(value),
            _ => Err(WireError::WrongType),
        }
    }

    fn decimal(&mut self, grid: &Grid) -> Result<i64, WireError> {
        grid.parse(self.text()?)
    }

    fn is_text(&mut self) -> bool {
        matches!(self.nodes.get(self.pos), Some(Node::String(_)))
    }

    fn skip(&mut self) -> Result<(), WireError> {
        self.skip_at(0)
    }

    fn end(&mut self) -> Result<(), WireError> {
        if self.pos == self.nodes.len() { Ok(()) } else { Err(WireError::NotJson) }
    }
}
