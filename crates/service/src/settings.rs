//! One set of settings for the whole fleet: embedded defaults, then a file, then the environment.
//!
//! `defaults.toml` holds every key, so it is at once the default, the documentation and the list of what is known.
//! [`Layers`] reads what is given on top of it, strictly; [`check`](mod@check) says what types cannot; [`print`](mod@print)
//! shows the result without its secrets. A component gets its own small section and knows nothing of where it came from.

mod check;
mod known;
mod layers;
mod or_never;
mod print;
mod problems;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

pub use layers::Layers;
pub use problems::{Problem, Problems};

/// Everything that can be set. The comments in `defaults.toml` say what each key does and why its default is what it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Begins the names of topics, consumer groups and tables.
    pub prefix: String,
    /// The model.
    pub model: Model,
    /// The brokers.
    pub kafka: aqueduct_store::kafka::Settings,
    /// The database of the events, the read table and the rest of the write side.
    pub dynamodb: aqueduct_store::dynamodb::Settings,
    /// How events get from there to the brokers.
    pub publisher: aqueduct_store::publisher::Settings,
    /// The database of the table views.
    pub postgres: aqueduct_views::postgres::Settings,
    /// The cluster of the search views.
    pub opensearch: aqueduct_views::opensearch::Settings,
    /// The generations of views.
    pub views: Views,
    /// The samples that workers compare with the event store.
    pub verify: Verify,
    /// The consumer engine of the workers.
    pub engine: aqueduct_engine::Settings,
    /// The HTTP interface of command-api.
    pub api: Api,
    /// `/metrics`, `/livez` and `/readyz`.
    pub admin: Admin,
    /// Logs.
    pub log: Log,
    /// The end of a process.
    pub shutdown: Shutdown,
}

/// `[model]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The folder of model files.
    pub dir: PathBuf,
}

/// `[views]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// How often a worker asks its registry which generations to keep.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// How old the event of a tombstone has to be for a worker to remove it; `None` is never.
    #[serde(with = "or_never")]
    pub purge_tombstones_after: Option<Duration>,
    /// How often a worker looks for such.
    #[serde(with = "humantime_serde")]
    pub purge_interval: Duration,
}

/// `[verify]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// How often a worker compares a sample of its read models; zero is never.
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
    /// About how many items of each read model, and how many of its entries.
    pub items: usize,
}

/// `[api]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Where clients are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The largest request body.
    pub body_limit: ByteSize,
    /// How long one query of a read model may take.
    #[serde(with = "humantime_serde")]
    pub query_timeout: Duration,
    /// How many minutes a read-your-writes session lasts; off when not positive.
    pub ryw_session_ttl_minutes: i64,
    /// How often the lag of every group is asked for.
    #[serde(with = "humantime_serde")]
    pub lag_interval: Duration,
}

impl Api {
    /// How long a read-your-writes session lasts after each write; `None` while they are off.
    #[must_use]
    pub fn session(&self) -> Option<Duration> {
        let minutes = u64::try_from(self.ryw_session_ttl_minutes).ok().filter(|minutes| *minutes > 0)?;
        Some(Duration::from_secs(minutes.saturating_mul(60)))
    }
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where it is served; port 0 takes a free one.
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level or filter directives, as `tracing-subscriber` reads them.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For eyes.
    Text,
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long a stopping process may drain.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
}

impl Settings {
    /// Reads the embedded defaults, then `file`, then the environment. Everything that is wrong is reported at once.
    pub fn load(file: Option<&Path>) -> Result<Settings, Problems> {
        Layers::read(file)?.settings()
    }

    /// The embedded defaults alone, for tests to adjust.
    pub fn defaults() -> Result<Settings, Problems> {
        Layers::of(None, [])?.settings()
    }
}
