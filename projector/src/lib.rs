//! The worker that keeps the DynamoDB read table.
//!
//! ```text
//! aqueduct.<type>.events ──▶ engine (lanes, batches) ──▶ sink ──▶ DataTable::put ──▶ table `data`
//!                                                         │
//!                                                         └─ classify: what an error asks for
//! ```

pub mod classify;
mod sink;

pub use sink::DataSink;
