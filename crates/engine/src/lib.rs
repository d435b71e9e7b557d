//! The consumer engine: it reads topics as a member of a consumer group and hands batches of records to a sink, so that
//! nothing is lost, nothing is reordered within a key, one bad record blocks no other, and a committed offset is
//! never ahead of its effect.
//!
//! A worker is a [`Sink`] plus [`Settings`]. The engine knows no database and no model.

mod brake;
mod coalesce;
mod consumer;
mod dead_letters;
mod delivery;
mod dispatcher;
mod engine;
mod error;
#[cfg(feature = "failpoints")]
mod failpoints;
mod group;
mod lag;
mod lanes;
mod ledger;
mod metrics;
mod open_letters;
mod pace;
mod partition;
mod progress;
mod record;
mod redrive;
mod retry;
mod settings;
mod settlement;
mod sink;
mod tenure;

pub use dead_letters::DeadLetters;
pub use engine::Engine;
pub use error::Error;
pub use group::Group;
pub use metrics::Metrics;
pub use progress::Progress;
pub use record::{Record, RecordParts, version_of};
pub use settings::{Settings, WorkerLanes};
pub use sink::{BoxError, Needs, Outcome, Reason, Sink, SinkError};
