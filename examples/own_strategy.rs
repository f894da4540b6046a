//! A strategy of one's own: joins the best bid and the best ask, and steps back on the side where it holds too much.
//!
//! `cargo run --release --example own_strategy` replays it over a generated feed and prints what became of it.

use std::sync::Arc;

use tercel::journal::{Capture, Tape, synthetic};
use tercel::runtime::{ReplayOptions, replay};
use tercel::strategy::{Strategy, View, Wishes};
use tercel::types::{Lots, Nanos, Side, VenueId};

struct JoinTheTouch {
    qty: Lots,
    position_max: i64,
}

impl Strategy for JoinTheTouch {
    fn on_market(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        for side in [Side::Bid, Side::Ask] {
            match view.touch.side(side) {
                Some(best) if view.position.get() * side.sign() < self.position_max => {
                    wishes.quote(side, best.px, self.qty);
                }
                _ => wishes.no_quote(side),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = synthetic::SyntheticConfig::new(VenueId::BYBIT, 1);
    let mut capture = Capture::default();
    for (recv_ns, message) in synthetic::generate(&config).lines {
        capture.push(Nanos::new(recv_ns), &message);
    }
    let options = ReplayOptions::new(VenueId::BYBIT, synthetic::sidecar(&config).table()?);
    let strategy = JoinTheTouch { qty: Lots::new(10), position_max: 50 };
    let outcome = replay(Tape::of(Arc::new(capture)), options, Default::default(), strategy)?;
    let report = &outcome.core.engine;
    println!("{} orders, {} fills, profit {}", report.orders.sent, report.counts.fills, report.pnl.total);
    Ok(())
}
