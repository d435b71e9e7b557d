//! The `[engine]` section of the settings.

use std::time::Duration;

use aqueduct_contract::Worker;
use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize};

/// How the engine works. The defaults, and the reason for each, stand in the embedded defaults file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of this process within its groups, for static membership: a process that comes back under the same name
    /// within `session.timeout.ms` has its partitions again, and nobody else stops for it. Empty: none.
    pub instance_id: String,
    /// Records of a batch at most.
    pub batch_records: usize,
    /// Bytes of a batch at most, unless a single record is larger.
    #[serde(deserialize_with = "size")]
    pub batch_bytes: u64,
    /// How long a record waits for its batch to fill while more records keep coming. When none come, it does not wait.
    #[serde(with = "humantime_serde")]
    pub batch_age: Duration,
    /// Batches that a group has in flight at most. Keys are hashed to lanes.
    pub lanes: WorkerLanes,
    /// Records of one partition that are read and not yet done, at most.
    pub window: usize,
    /// Bytes of all partitions of a group that are read and not yet done, at most.
    #[serde(deserialize_with = "size")]
    pub window_bytes: u64,
    /// How long a partition stays blocked by its window before its fetching is paused. Pausing throws away what was
    /// fetched ahead, so a short stall should not.
    #[serde(with = "humantime_serde")]
    pub pause_after: Duration,
    /// How often offsets are committed.
    #[serde(with = "humantime_serde")]
    pub commit_interval: Duration,
    /// How often the end offsets of the assigned partitions are asked for, for the lag metrics.
    #[serde(with = "humantime_serde")]
    pub lag_interval: Duration,
    /// The first wait after a failure.
    #[serde(with = "humantime_serde")]
    pub retry_backoff_min: Duration,
    /// The longest wait after many failures.
    #[serde(with = "humantime_serde")]
    pub retry_backoff_max: Duration,
    /// Attempts for a record that fails for an unknown reason, before it is a dead letter.
    pub unknown_attempts: u32,
    /// Dead letters of one partition in a row, at most: then it stands still.
    pub brake_in_a_row: u32,
    /// The share of dead letters among the last [`brake_window`](Settings::brake_window) records of a partition, from 0 to 1,
    /// at most: then it stands still.
    pub brake_share: f64,
    /// Records that the share is taken of. Before a partition has had so many, the share does not count.
    pub brake_window: u32,
    /// How long a partition stands still before it tries again: at first, and after many tries.
    #[serde(with = "humantime_serde")]
    pub brake_pause_min: Duration,
    /// The longest of these pauses.
    #[serde(with = "humantime_serde")]
    pub brake_pause_max: Duration,
    /// How often the letters of a partition are looked at: how soon a redrive begins. A twelfth as often while it has none.
    #[serde(with = "humantime_serde")]
    pub letters_interval: Duration,
    /// Redrives of one letter to no avail, before it is quarantined.
    pub quarantine_after: u32,
    /// How long batches in flight may take when a partition is revoked or the process stops. What is not done by then
    /// is left to the next owner.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// How long there may be work and no progress before the group counts as dead. Waiting for a store that is down is
    /// progress: a restart would not help.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
}

/// A count for each kind of worker, as their stores differ.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerLanes {
    /// Into DynamoDB.
    pub projector: usize,
    /// Into Postgres.
    pub sync_rds: usize,
    /// Into OpenSearch.
    pub sync_search: usize,
}

impl WorkerLanes {
    /// The same for every kind.
    #[must_use]
    pub fn all(lanes: usize) -> WorkerLanes {
        WorkerLanes { projector: lanes, sync_rds: lanes, sync_search: lanes }
    }

    /// That of one kind.
    #[must_use]
    pub fn of(self, worker: Worker) -> usize {
        match worker {
            Worker::Projector => self.projector,
            Worker::SyncRds => self.sync_rds,
            Worker::SyncSearch => self.sync_search,
        }
    }
}

/// Reads `"4MiB"`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    ByteSize::deserialize(deserializer).map(|size| size.as_u64())
}
