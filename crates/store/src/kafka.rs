//! The connection to Kafka, and what can be asked about consumer groups.

mod assignment;
mod group;
mod positions;
mod reach;
mod tail;
mod waiting;

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

pub use group::{Group, Member, Standing};
pub use positions::{Position, ends, positions};
pub use tail::{Next, Positions, Reader as TailReader, Tail, TailError, Tailed};
pub use waiting::Waiting;

/// librdkafka would wait for a token for ever, and say nothing.
const NO_TOKENS: &str = "OAUTHBEARER is not supported, as nothing here fetches tokens: use SCRAM-SHA-512, or the certificate of a client";

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
    /// Whether `brokers` is a list of `host:port`. librdkafka would log what it cannot read, and go on without it.
    #[must_use]
    pub fn names_brokers(&self) -> bool {
        let is_host = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        let is_broker =
            |(host, port): (&str, &str)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0);
        self.brokers.split(',').all(|broker| broker.trim().rsplit_once(':').is_some_and(is_broker))
    }

    /// What every client of the fleet starts from; the properties come last and win.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        // A broker that was away for long is found again within a second, not ten.
        config.set("reconnect.backoff.max.ms", "1000");
        // The OpenSSL that is built in looks for certificates in /usr/local/ssl, where no distribution has any; this looks
        // where they have them.
        config.set("ssl.ca.location", "probe");
        self.apply_properties(&mut config);
        config
    }

    /// The bytes that a record may have, as a producer with these settings counts them: the property `message.max.bytes`,
    /// or what it is by default. Fails on properties that librdkafka does not take.
    pub fn record_limit(&self) -> Result<usize> {
        let refused = |error| Error::Refused(Box::new(error));
        let limit =
            self.client_config().create_native_config().and_then(|config| config.get("message.max.bytes"));
        limit.map_err(refused)?.parse().map_err(|error| Error::Refused(Box::new(error)))
    }

    /// Lets the properties win over what a client set for itself.
    pub fn apply_properties(&self, config: &mut ClientConfig) {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
    }

    /// The properties that librdkafka does not know or take, by name, and what it says about them. Their values are left
    /// out: they may be secrets.
    #[must_use]
    pub fn refused_properties(&self) -> Vec<(String, String)> {
        let refusal = |(name, value): (&String, &String)| {
            let is_mechanism = name == "sasl.mechanism" || name == "sasl.mechanisms";
            if is_mechanism && value.eq_ignore_ascii_case("OAUTHBEARER") {
                return Some((name.clone(), NO_TOKENS.to_owned()));
            }
            let message = match ClientConfig::new().set(name, value).create_native_config().err()? {
                KafkaError::ClientConfig(_, message, ..) => message,
                error => error.to_string(),
            };
            Some((name.clone(), message))
        };
        self.properties.iter().filter_map(refusal).collect()
    }
}
