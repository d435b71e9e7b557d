//! What a busy or broken HTTP server answers: a proxy in front of OpenSearch or DynamoDB Local that refuses, in part or in
//! whole, what they never refuse here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use aqueduct_contract::format_time;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::faults::{WRITES, conflict, names_an_index, throttled};

/// What is done to requests, until something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing.
    None,
    /// Bulk requests are answered with this status, without effect.
    Bulk(u16),
    /// Every second item of a bulk request is refused with this status; the others take effect.
    Items(u16),
    /// Bulk requests take effect, and their answer breaks off in the middle.
    Truncated,
    /// Bulk requests of more than so many bytes are answered 413.
    Larger(usize),
    /// DynamoDB's writes are refused for want of capacity, without effect.
    Throttled,
    /// Every second write to DynamoDB is refused because a transaction holds the row, without effect.
    Conflict,
    /// An index of DynamoDB shows an even version so much later than it was written, and an odd one after twice the time:
    /// version 2 before version 1.
    LateIndexes(Duration),
}

/// A proxy, until it is dropped.
pub struct Refusing {
    /// Where clients connect.
    pub address: SocketAddr,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    server: String,
    http: reqwest::Client,
    refusal: Mutex<(Refusal, usize)>,
    writes: AtomicUsize,
}

impl Refusing {
    /// Stands in front of `server`, a URL.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn of(server: &str) -> Result<Refusing> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = server.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().build()?;
        let refusal = Mutex::new((Refusal::None, 0));
        let state = Arc::new(Shared { server, http, refusal, writes: AtomicUsize::new(0) });
        let routes = axum::Router::new().fallback(handle).with_state(state.clone());
        let serving = tokio::spawn(async move {
            // Ends with the proxy.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Refusing { address, state, serving })
    }

    /// From now on.
    pub fn set(&self, refusal: Refusal) {
        *self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = (refusal, 0);
    }

    /// Requests that were refused, or answered otherwise than by the server, since the refusal was set.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn refusal(&self) -> Refusal {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn count(&self) {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
    }

    async fn forward(
        &self,
        method: Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = headers.clone();
        for hop in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::ACCEPT_ENCODING]
        {
            headers.remove(hop);
        }
        let sent =
            self.http.request(method, format!("{}{path}", self.server)).headers(headers).body(body).send();
        let answer = sent.await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        Ok((status, headers, answer.bytes().await?))
    }
}

async fn handle(State(state): State<Arc<Shared>>, request: Request) -> Response {
    match answer(&state, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

async fn answer(state: &Shared, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await?;
    let is_bulk = parts.uri.path().ends_with("_bulk");
    let target =
        parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let writes = WRITES.contains(&operation);
    let refused =
        |status: u16| Ok((StatusCode::from_u16(status)?, "{\"error\":\"refused\"}").into_response());
    match state.refusal() {
        Refusal::Bulk(status) if is_bulk => {
            state.count();
            return refused(status);
        }
        Refusal::Larger(bytes) if is_bulk && body.len() > bytes => {
            state.count();
            return refused(413);
        }
        Refusal::Items(status) if is_bulk => {
            state.count();
            return in_part(state, parts, &body, status).await;
        }
        Refusal::Throttled if writes => {
            state.count();
            return Ok(by_dynamodb(&throttled()));
        }
        Refusal::Conflict if writes && state.writes.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => {
            state.count();
            return Ok(by_dynamodb(&conflict(operation)));
        }
        Refusal::LateIndexes(late) if operation == "Query" && names_an_index(&body) => {
            return show_late(state, parts, body, late).await;
        }
        _ => {}
    }
    let (status, headers, bytes) = state.forward(parts.method, &parts.uri, &parts.headers, body).await?;
    if state.refusal() == Refusal::Truncated && is_bulk {
        state.count();
        let half = bytes.slice(..bytes.len() / 2);
        let pieces = [Ok(half), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
        return Ok((status, headers, Body::from_stream(stream::iter(pieces))).into_response());
    }
    Ok((status, headers, bytes).into_response())
}

fn by_dynamodb(error: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (StatusCode::BAD_REQUEST, kind, error.to_string()).into_response()
}

/// Answers without the entries that the index does not show yet.
async fn show_late(
    state: &Shared,
    parts: axum::http::request::Parts,
    query: Bytes,
    late: Duration,
) -> Result<Response> {
    let (status, mut headers, bytes) = state.forward(parts.method, &parts.uri, &parts.headers, query).await?;
    let mut answer: Value = serde_json::from_slice(&bytes)?;
    let before = |ago: Duration| anyhow::Ok(format_time((SystemTime::now() - ago).try_into()?));
    let shown = [before(late)?, before(2 * late)?];
    let is_shown = |entry: &Value| {
        let odd = entry["version"]["N"]
            .as_str()
            .is_some_and(|version| version.ends_with(['1', '3', '5', '7', '9']));
        // As text it sorts as time does.
        entry["created_at"]["S"].as_str().is_none_or(|created| created < shown[usize::from(odd)].as_str())
    };
    if let Some(entries) = answer["Items"].as_array_mut() {
        let all = entries.len();
        entries.retain(is_shown);
        if entries.len() < all {
            state.count();
        }
        answer["Count"] = answer["Items"].as_array().map_or(0, Vec::len).into();
    }
    headers.remove("x-amz-crc32");
    Ok((status, headers, answer.to_string()).into_response())
}

/// Sends every second item on, and answers for the others.
async fn in_part(
    state: &Shared,
    parts: axum::http::request::Parts,
    body: &[u8],
    refused: u16,
) -> Result<Response> {
    let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
    // Aqueduct only indexes: an action and a document each.
    let items: Vec<&[&[u8]]> = lines.chunks(2).collect();
    let passed: Vec<u8> = items.iter().step_by(2).flat_map(|item| item.concat()).collect();
    let (status, _, bytes) = state.forward(parts.method, &parts.uri, &parts.headers, passed.into()).await?;
    let mut answer: Value = serde_json::from_slice(&bytes)?;
    let mut answered = answer["items"].as_array().cloned().unwrap_or_default().into_iter();
    let merged: Vec<Value> = (0..items.len())
        .map(|index| match index % 2 {
            0 => answered.next().unwrap_or_default(),
            _ => json!({"index": {"status": refused, "error": {"type": "rejected_execution_exception", "reason": "refused"}}}),
        })
        .collect();
    answer["errors"] = json!(true);
    answer["items"] = Value::from(merged);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((status, kind, answer.to_string()).into_response())
}
