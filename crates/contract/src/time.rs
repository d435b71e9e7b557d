//! Time on the wire: UTC, RFC 3339, always six digits of a second, so that text sorts as time does.

use jiff::Timestamp;

/// `2026-11-21T13:15:00.000000Z`.
#[must_use]
pub fn format_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Serde for a timestamp in that form: `#[serde(with = "aqueduct_contract::micros")]`.
pub mod micros {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes six digits of a second.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{time:.6}"))
    }

    /// Reads any RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(deserializer)
    }
}
