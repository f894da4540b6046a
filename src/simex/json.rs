//! Writes the venue's JSON: keys in the order given, numbers and texts as the venue types them.

use crate::{
    sim::OrderNo,
    types::{InstrumentSpec, Level, Lots, Ticks},
};
use std::fmt::{Display, Write};

/// An object under construction.
pub(super) struct Obj {
    text: String,
}

impl Obj {
    pub fn new() -> Self {
        let mut text = String::with_capacity(256);
        text.push('{');
        Self { text }
    }

    /// A field as it stands in an object.
    pub fn field(key: &str, value: &str) -> String {
        format!("\"{key}\":{}", quoted(value))
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        let _ = write!(self.text, "\"{key}\":"); // writing to a String cannot fail
    }

    /// A text, escaped where it must be.
    pub fn text(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        self.text.push('"');
        let start = self.text.len();
        let _ = write!(self.text, "{value}");
        let needs_escape = self.text[start..].bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\'));
        if needs_escape {
            let value = self.text.split_off(start);
            self.text.pop();
            self.text.push_str(&quoted(&value));
        } else {
            self.text.push('"');
        }
        self
    }

    /// Several keys with empty texts: what the venue sends for "not applicable".
    pub fn empty(self, keys: &[&str]) -> Self {
        keys.iter().fold(self, |obj, key| obj.text(key, ""))
    }

    /// A number, a bool, or JSON that is ready.
    pub fn raw(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        let _ = write!(self.text, "{value}");
        self
    }

    pub fn done(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A JSON string of any text.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON array of ready items.
pub(super) fn array<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item.as_ref());
    }
    text.push(']');
    text
}

pub(super) fn px(spec: &InstrumentSpec, px: Ticks) -> String {
    spec.tick.text(px.get())
}

/// A quantity; none is "0", whatever the decimals.
pub(super) fn qty(spec: &InstrumentSpec, qty: Lots) -> String {
    if qty.is_zero() { "0".into() } else { spec.lot.text(qty.get()) }
}

/// `[["price","size"],…]`
pub(super) fn levels(spec: &InstrumentSpec, levels: impl IntoIterator<Item = Level>) -> String {
    let mut text = String::from("[");
    let mut digits = [0u8; 64];
    for level in levels {
        text.push_str(if text.len() > 1 { ",[\"" } else { "[\"" });
        for (step, count, end) in [(spec.tick, level.px.get(), "\",\""), (spec.lot, level.qty.get(), "\"]")] {
            let len = if count == 0 { 0 } else { step.write(count, &mut digits).unwrap_or(0) };
            match digits.get(..len) {
                Some(number) if len > 0 => text.push_str(std::str::from_utf8(number).unwrap_or("0")),
                _ => text.push('0'),
            }
            text.push_str(end);
        }
    }
    text.push(']');
    text
}

/// A UUID whose lower half is `no` and whose upper half is a hash of it: unlike any other id, and still readable.
pub(super) fn uuid(family: u64, no: u64) -> String {
    let hash = mix(family, no);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        hash >> 32,
        (hash >> 16) & 0xffff,
        hash & 0xffff,
        no >> 48,
        no & 0xffff_ffff_ffff
    )
}

pub(super) fn order_id(no: OrderNo) -> String {
    uuid(ORDERS, no.0)
}

/// Reads an order id back; `None` unless [`order_id`] made it.
pub(super) fn parse_order_id(text: &str) -> Option<OrderNo> {
    let hex: String = text.chars().filter(|&char| char != '-').collect();
    if hex.len() != 32 || text.len() != 36 || !hex.is_ascii() {
        return None;
    }
    let hash = u64::from_str_radix(hex.get(..16)?, 16).ok()?;
    let no = u64::from_str_radix(hex.get(16..)?, 16).ok()?;
    (hash == mix(ORDERS, no)).then_some(OrderNo(no))
}

fn mix(family: u64, no: u64) -> u64 {
    crate::sim::Rng::new(family ^ no.rotate_left(20)).next_u64()
}

/// Families of ids.
pub(super) const ORDERS: u64 = 0x6f72_6465_7273;
pub(super) const EXECUTIONS: u64 = 0x6578_6563;
pub(super) const TRADES: u64 = 0x7472_6164_6573;
pub(super) const MESSAGES: u64 = 0x6d73_6773;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_escape_what_they_must() {
        let text = Obj::new().text("b", "x").raw("a", 1).text("c", "say \"hi\"\n").empty(&["d"]).done();
        assert_eq!(text, r#"{"b":"x","a":1,"c":"say \"hi\"\n","d":""}"#);
    }

    #[test]
    fn order_ids_read_back() {
        for no in [1, 77, u64::MAX] {
            assert_eq!(parse_order_id(&order_id(OrderNo(no))), Some(OrderNo(no)));
        }
        for bad in ["", "00000000-0000-0000-0000-000000000001", "é0000000-0000-0000-0000-00000000001"] {
            assert_eq!(parse_order_id(bad), None);
        }
    }
}
