//! What a person sees while it runs: one line a second, and a line for everything that changes what the engine may do.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::engine::CoreStatus;

/// Notable moments that are kept for the summary.
const TIMELINE_MAX: usize = 500;

/// The status line: rewritten in place on a terminal, appended where the output goes to a file. Notable changes get a line
/// of their own at once, and are kept.
pub struct StatusLine {
    is_terminal: bool,
    printed_at: Option<u64>,
    last: Option<CoreStatus>,
    held_since: Option<Duration>,
    timeline: Vec<String>,
}

impl StatusLine {
    /// Begins; nothing is printed yet.
    pub fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            printed_at: None,
            last: None,
            held_since: None,
            timeline: Vec::new(),
        }
    }

    /// Takes the newest status, `elapsed` since trading began.
    pub fn tick(&mut self, status: &CoreStatus, elapsed: Duration) {
        if let Some(last) = self.last.replace(*status) {
            for text in changes(&last, status, elapsed, &mut self.held_since) {
                self.note(&text, elapsed);
            }
        }
        if self.printed_at == Some(elapsed.as_secs()) {
            return;
        }
        self.printed_at = Some(elapsed.as_secs());
        self.print(&line(status, elapsed));
    }

    /// Prints and keeps a notable moment.
    pub fn note(&mut self, text: &str, elapsed: Duration) {
        let text = format!("{:>8.2} s  {text}", elapsed.as_secs_f64());
        let mut out = std::io::stderr();
        // Nobody is helped by an error about a status line.
        let _ = if self.is_terminal { writeln!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
        if self.timeline.len() < TIMELINE_MAX {
            self.timeline.push(text.trim_start().to_owned());
        }
    }

    fn print(&self, line: &str) {
        let mut out = std::io::stderr();
        let _ = if self.is_terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
        let _ = out.flush();
    }

    /// Ends the line; returns the notable moments.
    pub fn end(self) -> Vec<String> {
        if self.is_terminal && self.printed_at.is_some() {
            eprintln!();
        }
        self.timeline
    }
}

fn line(status: &CoreStatus, elapsed: Duration) -> String {
    let CoreStatus { events, commands, fills, open_orders, unknown, refused, pnl_micros, books_live, .. } = *status;
    let account = if status.is_synced { "trading" } else { "HELD   " };
    let doubt = if unknown > 0 { format!(" ({unknown} in doubt)") } else { String::new() };
    format!(
        "{:>5} s  {account}  books live {books_live}  events {events}  requests {commands}  open {open_orders}{doubt}  fills {fills}  refused {refused}  pnl {:.4}",
        elapsed.as_secs(),
        pnl_micros as f64 / 1e6
    )
}

/// What is different enough to say so.
fn changes(was: &CoreStatus, is: &CoreStatus, elapsed: Duration, held_since: &mut Option<Duration>) -> Vec<String> {
    let mut said = Vec::new();
    for (name, was, is) in [
        ("order entry", was.has_trade_link, is.has_trade_link),
        ("private stream", was.has_private_link, is.has_private_link),
    ] {
        match (was, is) {
            (true, false) => said.push(format!("{name} lost")),
            (false, true) => said.push(format!("{name} is back")),
            _ => {}
        }
    }
    if is.silent_streams > was.silent_streams {
        said.push(
            "the private stream keeps to itself what the venue says elsewhere: replacing its connection".to_owned(),
        );
    }
    match (was.is_synced, is.is_synced) {
        (true, false) => {
            *held_since = Some(elapsed);
            said.push("HELD: nothing new is placed until the account is reconciled".to_owned());
        }
        (false, true) => {
            let after = held_since.take().map_or(0.0, |since| elapsed.saturating_sub(since).as_secs_f64());
            said.push(format!("reconciled: trading goes on after {after:.2} s"));
        }
        _ => {}
    }
    if is.unknown > was.unknown {
        let orders = if is.unknown == 1 { "1 order" } else { "orders" };
        let count = if is.unknown == 1 { String::new() } else { format!("{} ", is.unknown) };
        said.push(format!("{count}{orders} in doubt: reserved at the worst, and the venue is asked"));
    } else if was.unknown > 0 && is.unknown == 0 {
        said.push("no order is in doubt any more".to_owned());
    }
    if is.rate_warnings > was.rate_warnings {
        said.push("the venue says that we ask too much: slowing down, cancels go on".to_owned());
    }
    if is.books_live != was.books_live {
        said.push(format!("{} books live (were {})", is.books_live, was.books_live));
    }
    if is.is_stopping && !was.is_stopping {
        said.push("stopping: cancelling what is open".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> CoreStatus {
        CoreStatus {
            has_trade_link: true,
            has_private_link: true,
            is_synced: true,
            books_live: 2,
            ..CoreStatus::default()
        }
    }

    #[test]
    fn a_lost_connection_is_told_with_what_follows_and_how_long_it_took() {
        let mut held = None;
        let second = Duration::from_secs;
        let lost = CoreStatus { has_trade_link: false, is_synced: false, unknown: 2, ..good() };
        let said = changes(&good(), &lost, second(10), &mut held).join("\n");
        for part in ["order entry lost", "HELD", "2 orders in doubt"] {
            assert!(said.contains(part), "{said}");
        }
        let said = changes(&lost, &good(), second(13), &mut held).join("\n");
        for part in ["order entry is back", "after 3.00 s", "no order is in doubt"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(changes(&good(), &good(), second(14), &mut held).is_empty());
    }
}
