//! How to reach OpenSearch, and how indexes are made there.

use std::time::Duration;

use bytesize::ByteSize;
use opensearch::OpenSearch;
use opensearch::auth::Credentials;
use opensearch::http::Url;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The section `[opensearch]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `https://user:password@host:port`. A secret when it has a password.
    pub url: String,
    /// Stands before every index and alias, so that fleets can share a cluster.
    pub index_prefix: String,
    /// How soon a search finds what was written, as OpenSearch writes it: `1s`. Always set on an index: one without
    /// it stops refreshing when nobody searches.
    pub refresh_interval: String,
    /// Primary shards of a new index.
    pub shards: u32,
    /// Replicas of each shard of a new index.
    pub replicas: u32,
    /// How long a request may take.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Bytes of one bulk request, about.
    pub bulk_bytes: ByteSize,
}

impl Settings {
    /// What is wrong with `url`, if anything. The message does not repeat it: it may hold a password.
    pub fn check_url(&self) -> Result<(), String> {
        self.address().map(drop)
    }

    /// The URL without its user, and the user.
    fn address(&self) -> Result<(Url, Option<Credentials>), String> {
        if !["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err("must begin with http:// or https://".to_owned());
        }
        let url = Url::parse(&self.url);
        let mut url = url.map_err(|why| format!("must be https://user:password@host:port: {why}"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end with the port or a path".to_owned());
        }
        let credentials =
            url.password().map(|password| Credentials::Basic(url.username().to_owned(), password.to_owned()));
        // Neither can fail on a URL with a host; reqwest would send them a second time.
        let _ = (url.set_username(""), url.set_password(None));
        Ok((url, credentials))
    }

    /// A client. It connects when it is first used.
    pub fn client(&self) -> Result<OpenSearch, Error> {
        let (url, credentials) = self.address().map_err(Error::Url)?;
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(self.request_timeout)
            // A proxy from the environment would be a setting that `check-config` does not show.
            .disable_proxy();
        if let Some(credentials) = credentials {
            builder = builder.auth(credentials);
        }
        let transport = builder.build().map_err(|error| Error::Url(error.to_string()))?;
        Ok(OpenSearch::new(transport))
    }
}
