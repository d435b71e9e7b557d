//! The `[publisher]` section.

use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// How events get from the store to Kafka.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long another writer has to publish its version before this process does it.
    #[serde(with = "humantime_serde")]
    pub takeover_after: Duration,
    /// How often the sweeper visits a shard of the outbox, one of 64 in turn. What a dead process left is published
    /// within 64 of these.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Items whose events are being published at the same time.
    pub in_flight: usize,
    /// Bytes of events that wait in memory. What exceeds them is left to the sweeper: the store holds it anyway.
    #[serde(deserialize_with = "size")]
    pub queue_bytes: usize,
    /// How long a stop waits for what is under way.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

/// Reads `"64MiB"`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    usize::try_from(ByteSize::deserialize(deserializer)?.as_u64()).map_err(D::Error::custom)
}
