//! The worker that keeps OpenSearch indexes.
//!
//! ```text
//! aqueduct.order.events ──▶ engine (lanes, batches) ──▶ sink ──▶ bulk ──▶ alias orders-g1-write ──▶ index orders-g1
//!                                                        │         │
//!                                                        │         └─ classify: what each answer asks for
//!                                                        └─ aqueduct_views::opensearch::document: what an item maps to
//! ```

pub mod bulk;
pub mod classify;
pub mod sink;
mod worker;

pub use worker::wire;
