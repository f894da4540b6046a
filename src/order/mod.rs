//! Open orders and their life.
//!
//! Thread: core. Allocates: at construction. Blocks: never. One table of fixed capacity, one state machine whose every
//! transition stands in `state.rs`. Positions are not kept here: they follow from executions alone.

mod exec_ids;
mod state;
mod table;

pub use exec_ids::ExecIds;
pub use state::{Input, OrderState, Transition};
pub use table::{Change, Order, OrderCounts, OrderTable, TableFull};
