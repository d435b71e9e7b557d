//! A duration, or `never`.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

const NEVER: &str = "never";

pub(super) fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(duration) => humantime_serde::serialize(duration, serializer),
        None => serializer.serialize_str(NEVER),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == NEVER {
        return Ok(None);
    }
    let duration = humantime_serde::re::humantime::parse_duration(&text);
    duration
        .map(Some)
        .map_err(|error| D::Error::custom(format!("must be `never` or a duration such as 30d: {error}")))
}
