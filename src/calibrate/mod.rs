//! How far a simulation can be believed: a session that was lived, through the simulator, order by order.
//!
//! The session's journal holds the market as it was received, every request and what became of it. [`Lived`] reads the latter off it;
//! [`Simulated`] plays the same market and the same requests through [`sim::Venue`](crate::sim::Venue), one for each queue model, all in one
//! pass; [`Judgement`] compares order by order. The model is chosen on the orders of the first half and judged on those of the
//! second, so that a good result is no fit.
//!
//! **When a request meets the market.** By the engine's clock market data is late by its way from the venue, and a request arrives
//! later than it was sent. A request therefore meets the market that will have been received when its answer is received: the one
//! way replaces the other. So each request enters at the receive time of its own answer, or, if it has none, after the median one.
//!
//! **Our own orders in the market.** A live feed displays them; a simulation must not queue behind itself. What the journal
//! knows of them is taken out of each level. Trades of our own stay: they consumed the queue like any other.
//!
//! Thread: shell. Allocates: yes, with the number of orders.

mod judgement;
mod lived;
mod simulated;

pub use judgement::{Bar, Compared, Judgement, LatencyFit, Outcome};
pub use lived::{Lived, LivedOrder};
pub use simulated::{Predicted, Simulated};
