//! How to reach OpenSearch, and how indexes are made there.

use std::time::Duration;

use bytesize::ByteSize;
use opensearch::OpenSearch;
use opensearch::auth::Credentials;
use opensearch::http::Url;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use percent_encoding::percent_decode_str;
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
        let credentials = match (decoded(url.username())?, decoded(url.password().unwrap_or_default())?) {
            (user, password) if user.is_empty() && password.is_empty() => None,
            (user, password) => Some(Credentials::Basic(user, password)),
        };
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

/// A part of a URL as it was meant: what is reserved in URLs stands there percent-encoded.
fn decoded(part: &str) -> Result<String, String> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded
        .map(String::from)
        .map_err(|_| "must have a user and a password in UTF-8, percent-encoded".to_owned())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytesize::ByteSize;
    use opensearch::http::Method;
    use opensearch::http::headers::HeaderMap;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// The `Authorization` of the one request that a client with this URL sends; `{}` stands for the address.
    async fn authorization(url: &str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = Settings {
            url: url.replace("{}", &listener.local_addr().unwrap().to_string()),
            index_prefix: String::new(),
            refresh_interval: "1s".to_owned(),
            shards: 1,
            replicas: 0,
            request_timeout: Duration::from_secs(10),
            bulk_bytes: ByteSize::mib(1),
        };
        let client = settings.client().unwrap();
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(&mut stream).lines();
            let mut found = None;
            while let Some(line) = lines.next_line().await.unwrap().filter(|line| !line.is_empty()) {
                let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
                if name.eq_ignore_ascii_case("authorization") {
                    found = Some(value.to_owned());
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            found
        };
        let sent = client.send::<(), ()>(Method::Get, "/", HeaderMap::new(), None, None, None);
        let (found, answer) = tokio::join!(served, sent);
        assert_eq!(answer.unwrap().status_code().as_u16(), 200);
        found
    }

    #[tokio::test]
    async fn the_user_of_the_url_is_sent_as_it_was_meant() {
        for (url, user) in [
            ("http://fleet:s3cret@{}", "fleet:s3cret"),
            ("http://fl%40eet:s%2F%3A%C3%A9%25@{}", "fl@eet:s/:é%"),
            ("http://fleet@{}", "fleet:"),
        ] {
            let expected = format!("Basic {}", STANDARD.encode(user));
            assert_eq!(authorization(url).await, Some(expected), "{url}");
        }
        assert_eq!(authorization("http://{}").await, None);
    }
}
