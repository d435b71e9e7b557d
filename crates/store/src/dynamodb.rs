//! The connection to DynamoDB.

use std::net::IpAddr;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Credentials;
use serde::{Deserialize, Serialize};

/// Where DynamoDB is: the `[dynamodb]` section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A URL such as `http://127.0.0.1:8000`; empty for AWS.
    pub endpoint: String,
    /// The AWS region.
    pub region: String,
}

impl Settings {
    /// A client. Nothing is sent yet: an unreachable server shows on the first request.
    ///
    /// An endpoint on loopback is a local server, which takes any credentials: some are made up when the environment
    /// has none. Otherwise they come from where the AWS SDK looks.
    pub async fn connect(&self) -> Client {
        Client::new(&self.load().load().await)
    }

    pub(crate) fn load(&self) -> aws_config::ConfigLoader {
        // A request is tried four times within 10 s. Who called decides whether to go on: a worker does for ever, an
        // HTTP request answers 503.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(4))
            .operation_timeout(Duration::from_secs(10))
            .build();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(4))
            .timeout_config(timeouts);
        let loader = if self.endpoint.is_empty() { loader } else { loader.endpoint_url(&self.endpoint) };
        if is_loopback(&self.endpoint) {
            let made_up = Credentials::new("local", "local", None, None, "loopback");
            let environment = EnvironmentVariableCredentialsProvider::new();
            let chain = CredentialsProviderChain::first_try("Environment", environment);
            loader.credentials_provider(chain.or_else("Loopback", made_up))
        } else {
            loader
        }
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_an_endpoint_on_this_machine_is_loopback() {
        for local in
            ["http://127.0.0.1:8000", "http://localhost:8000/", "http://[::1]:8000", "https://localhost"]
        {
            assert!(is_loopback(local), "{local}");
        }
        for remote in [
            "",
            "https://dynamodb.eu-central-1.amazonaws.com",
            "http://10.0.0.1:8000",
            "http://localhost.example",
        ] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }
}
