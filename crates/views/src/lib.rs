//! Views: what they are, where that is registered, and the row or document that an item becomes.
//!
//! ```text
//! model ──▶ definition ──ensure──▶ registry (Postgres table, OpenSearch index) ──▶ Generation
//!                                      │ makes what is missing                        │
//!                                      ▼                                              ▼
//!                        table orders__g1, SQL view orders              row(view, item) · document(view, item)
//!                        index orders-g1, aliases orders-g1-write, orders
//! ```
//!
//! The model proposes, the registry decides. A view that no registry knows becomes generation 1; from then on every
//! worker serves the registered definition, and a model that differs is reported and changes nothing. So a new model
//! can be rolled out at any time, and two workers with different models write the same rows.
//!
//! `postgres` and `opensearch` have the same modules: `settings`, `registry`, what is made (`ddl`, `mappings`) and what
//! an item maps to (`row`, `document`), and for readers a `reader` with what it asks (`select`, `search`).

mod condition;
pub mod definition;
mod error;
mod generation;
mod live;
pub mod load;
mod metrics;
pub mod opensearch;
pub mod plan;
pub mod postgres;
mod reach;
mod read_error;
mod registry;
mod setup;
mod swap;
mod tls;
pub mod tombstones;

pub use error::{Error, MappingError};
pub use generation::{Change, ForeignItem, Generation, Served, State};
pub use metrics::Metrics;
pub use reach::until_reached;
pub use read_error::ReadError;
pub use registry::{Followed, Registry};
pub use setup::setup;
pub use swap::{Patience, Reason};
