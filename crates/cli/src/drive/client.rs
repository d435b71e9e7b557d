//! Commands as any user sends them: HTTP and JSON, nothing of the fleet's own code.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One item as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) deleted: bool,
}

/// What came of a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// 2xx.
    Accepted(Shown),
    /// 409 or 412, the version has moved on; 404, it was deleted. Nothing was written.
    Conflict,
    /// No answer, or one that says nothing about the write (5xx): it may have been stored or not.
    Unknown,
}

/// The version that a command expects, and how it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// In the body: 409 when it has moved on.
    Body(u64),
    /// In `If-Match`: 412 when it has moved on.
    Header(u64),
}

/// A command API at one address, used for one tenant.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(api: &str, tenant: &str) -> anyhow::Result<Client> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Client { http, base: format!("{}/v1/{tenant}", api.trim_end_matches('/')) })
    }

    pub(crate) async fn create(
        &self,
        type_name: &str,
        id: Option<&str>,
        attributes: &Map<String, Value>,
        correlation: &str,
    ) -> anyhow::Result<Answer> {
        let mut body = json!({ "attributes": attributes });
        if let Some(id) = id {
            body["id"] = json!(id);
        }
        let request = self.http.post(format!("{}/{type_name}", self.base));
        self.send(request.json(&body).header("x-correlation-id", correlation)).await
    }

    /// PUT, PATCH or DELETE of one item.
    pub(crate) async fn change(
        &self,
        method: Method,
        (type_name, id): (&str, &str),
        attributes: Option<Value>,
        expect: Expect,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, format!("{}/{type_name}/{id}", self.base));
        let mut body = Map::new();
        match expect {
            Expect::Body(version) => drop(body.insert("version".to_owned(), json!(version))),
            Expect::Header(version) => request = request.header(header::IF_MATCH, format!("\"{version}\"")),
        }
        body.extend(attributes.map(|attributes| ("attributes".to_owned(), attributes)));
        if !body.is_empty() {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// The item as it stands, deleted ones included as `None`; waits for an API that is being restarted.
    pub(crate) async fn current(&self, type_name: &str, id: &str) -> anyhow::Result<Option<Shown>> {
        let url = format!("{}/{type_name}/{id}", self.base);
        for _ in 0..120 {
            match self.http.get(&url).send().await {
                Ok(response) if response.status().is_success() => return Ok(Some(response.json().await?)),
                Ok(response) if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) => {
                    return Ok(None);
                }
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
        bail!("{url} did not answer for 30 s")
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let Ok(response) = request.send().await else { return Ok(Answer::Unknown) };
        let status = response.status();
        if status.is_server_error() {
            return Ok(Answer::Unknown);
        }
        let Ok(body) = response.bytes().await else { return Ok(Answer::Unknown) };
        match status {
            status if status.is_success() => {
                Ok(Answer::Accepted(serde_json::from_slice(&body).context("an answer of the command API")?))
            }
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => {
                Ok(Answer::Conflict)
            }
            other => bail!("a valid command was refused with {other}: {}", String::from_utf8_lossy(&body)),
        }
    }
}
