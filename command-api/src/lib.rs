//! The HTTP API that takes commands and answers with versions.
//!
//! ```text
//! request ─▶ request/context ─▶ router ─▶ endpoints/… ─▶ Api ─▶ Writer (aqueduct-commands) ─▶ store, publisher
//!            correlation id               request/…                decide, put, publish
//!            log, metrics                 strict reading
//!                ▲                            │
//!                └──── problem ◀──────────────┘   answer: item, ETag, token
//! ```

mod answer;
mod api;
mod endpoints;
mod lag;
mod metrics;
pub mod openapi;
pub mod problem;
mod reads;
mod request;
mod router;
mod serving;

pub use api::{Api, Parts};
pub use lag::GroupLag;
pub use metrics::Metrics;
pub use reads::Reads;
pub use router::router;
pub use serving::{Passed, StartCheck, bind, http, publish};
