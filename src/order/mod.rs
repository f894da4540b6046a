//! Open orders and their life.
//!
//! Thread: core. Allocates: at construction. Blocks: never. One table of fixed capacity; one order's life, a pure function of
//! its news (`life.rs`); one state machine whose every transition stands in `state.rs`. Positions are not kept here: they
//! follow from executions alone.

mod exec_ids;
mod life;
mod state;
mod table;

pub use exec_ids::{Estimate, Estimates, ExecIds};
pub use life::{LifeRules, News, Order, Told};
pub use state::{Input, OrderState, Transition};
pub use table::{Change, OrderCounts, OrderTable, TableFull};
