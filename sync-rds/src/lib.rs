//! The worker that keeps Postgres tables.
//!
//! ```text
//! aqueduct.order.events ──▶ engine (lanes, batches) ──▶ sink ──▶ statements ──▶ table orders__g1
//!                                                        │            │
//!                                                        │            └─ classify: what an error asks for
//!                                                        └─ aqueduct_views::postgres::RowMapper: what an item maps to
//! ```

pub mod classify;
pub mod sink;
pub mod statements;
mod worker;

pub use worker::wire;
