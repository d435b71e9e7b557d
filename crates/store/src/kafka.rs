//! The connection to Kafka.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

/// Where Kafka is: the `[kafka]` section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Bootstrap brokers: `host:port,host:port`.
    pub brokers: String,
    /// Properties for librdkafka, by its own names: security, timeouts, compression.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl Settings {
    /// What every client of the fleet starts from; the properties come last and win.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        self.apply_properties(&mut config);
        config
    }

    /// Lets the properties win over what a client set for itself.
    pub fn apply_properties(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }
}
