//! How to reach OpenSearch, and how indexes are made there.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use opensearch::OpenSearch;
use opensearch::auth::Credentials;
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::Url;
use opensearch::http::transport::{SingleNodeConnectionPool, TransportBuilder};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::aws;
use crate::Error;

/// The section `[opensearch]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `https://user:password@host:port`. A secret when it has a password.
    pub url: String,
    /// How requests say who sends them.
    pub auth: Auth,
    /// The AWS region that requests are signed for.
    pub region: String,
    /// A PEM file of certificates to trust beside those of the system; empty for none.
    pub ca_file: PathBuf,
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
    /// Bytes of one bulk request, about, before it is compressed.
    pub bulk_bytes: ByteSize,
    /// Whether bulk requests are compressed.
    pub gzip: Gzip,
}

/// Whether bulk requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gzip {
    /// Unless OpenSearch is on this machine.
    Remote,
    /// Wherever it is.
    Always,
    /// Nowhere.
    Never,
}

/// How requests say who sends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// With the user and password of the URL; not at all when it has none.
    Basic,
    /// With a signature of Amazon OpenSearch Service, by credentials from where AWS clients look for them.
    SigV4,
}

impl Settings {
    /// The URL without its user.
    pub fn address(&self) -> Result<String, Error> {
        Ok(self.parsed()?.0.into())
    }

    fn parsed(&self) -> Result<(Url, Option<Credentials>), Error> {
        self.split().map_err(|why| Error::Settings(format!("`opensearch.url` {why}")))
    }

    /// Whether bulk requests to this URL are compressed.
    pub fn compresses(&self) -> Result<bool, Error> {
        let is_remote = |url: &Url| {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
            host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        Ok(match self.gzip {
            Gzip::Always => true,
            Gzip::Never => false,
            Gzip::Remote => is_remote(&self.parsed()?.0),
        })
    }

    /// What is wrong with `url`, if anything. The message does not repeat it: it may hold a password.
    pub fn check_url(&self) -> Result<(), String> {
        match self.split()? {
            (_, Some(_)) if self.auth == Auth::SigV4 => {
                Err("must have no user when `opensearch.auth` is sigv4".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The URL without its user, and the user.
    fn split(&self) -> Result<(Url, Option<Credentials>), String> {
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
        let (url, basic) = self.parsed()?;
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .timeout(self.request_timeout)
            // A proxy from the environment would be a setting that `check-config` does not show.
            .disable_proxy();
        let credentials = match self.auth {
            Auth::Basic => basic,
            Auth::SigV4 => Some(aws::credentials(&self.region)),
        };
        if let Some(credentials) = credentials {
            builder = builder.auth(credentials);
        }
        if !self.ca_file.as_os_str().is_empty() {
            let wrong = |what: &dyn Display| {
                Error::Settings(format!("`opensearch.ca_file` {}: {what}", self.ca_file.display()))
            };
            let pem = std::fs::read(&self.ca_file).map_err(|error| wrong(&error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport =
            builder.build().map_err(|error| Error::Settings(format!("no client of OpenSearch: {error}")))?;
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

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.to_owned(),
            auth: Auth::Basic,
            region: String::new(),
            ca_file: PathBuf::new(),
            index_prefix: String::new(),
            refresh_interval: "1s".to_owned(),
            shards: 1,
            replicas: 0,
            request_timeout: Duration::from_secs(10),
            bulk_bytes: ByteSize::mib(1),
            gzip: Gzip::Remote,
        }
    }

    /// The `Authorization` of the one request that a client with this URL sends; `{}` stands for the address.
    async fn authorization(url: &str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings(&url.replace("{}", &listener.local_addr().unwrap().to_string()));
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

    #[test]
    fn what_leaves_the_machine_is_compressed() {
        for local in ["http://127.0.0.1:9200", "http://localhost:9200", "http://fleet:s3cret@[::1]:9200"] {
            assert!(!settings(local).compresses().unwrap(), "{local}");
            assert!(Settings { gzip: Gzip::Always, ..settings(local) }.compresses().unwrap(), "{local}");
        }
        for remote in ["https://search.internal:9200", "http://10.0.0.7:9200", "http://[2001:db8::1]:9200"] {
            assert!(settings(remote).compresses().unwrap(), "{remote}");
            assert!(!Settings { gzip: Gzip::Never, ..settings(remote) }.compresses().unwrap(), "{remote}");
        }
    }
}
