//! What a network and a busy DynamoDB do, and DynamoDB Local does not: answers that get lost, throttling, transaction
//! conflicts, an index that lags.
//!
//! The faults sit below the SDK, where its requests become HTTP, so that its own retries meet them as they would meet the real ones.
//! With the same seed, the n-th request meets the same fate.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::Builder;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives.
    RequestLost,
    /// It takes effect, but its answer never arrives.
    AnswerLost,
    /// It is refused, to be sent again more slowly.
    Throttled,
    /// It is refused, because a transaction holds the row. Only writes are.
    Conflict,
}

/// How often each fault happens, between 0 and 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// [`Fault::RequestLost`].
    pub request_lost: f64,
    /// [`Fault::AnswerLost`].
    pub answer_lost: f64,
    /// [`Fault::Throttled`].
    pub throttled: f64,
    /// [`Fault::Conflict`].
    pub conflict: f64,
    /// For each change of an index since the same query was answered last: that the answer does not show it yet.
    pub index_late: f64,
}

/// Faults that happen to the requests of the clients it [wraps](Faults::wrap).
#[derive(Clone, Debug)]
pub struct Faults(Arc<Mutex<Fate>>);

#[derive(Debug)]
struct Fate {
    random: StdRng,
    rates: Rates,
    next: HashMap<&'static str, VecDeque<Fault>>,
    happened: usize,
    /// What a query on an index was answered last, if nothing lagged.
    answered: HashMap<Vec<u8>, Vec<Value>>,
}

impl Faults {
    /// None yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Fate {
            random: StdRng::seed_from_u64(seed),
            rates: Rates::default(),
            next: HashMap::new(),
            happened: 0,
            answered: HashMap::new(),
        })))
    }

    /// From now on they happen this often.
    pub fn set(&self, rates: Rates) {
        self.fate().rates = rates;
    }

    /// The next requests of an operation, such as `PutItem`, meet these, one each. The SDK sends a request again that was
    /// lost or throttled; that counts as the next.
    pub fn next(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.fate().next.entry(operation).or_default().extend(faults);
    }

    /// How many happened, late indexes not counted.
    #[must_use]
    pub fn happened(&self) -> usize {
        self.fate().happened
    }

    /// A client of the same server, over plain HTTP, whose requests meet the faults.
    #[must_use]
    pub fn wrap(&self, client: &Client) -> Client {
        let (http, faults) = (Builder::new().build_http(), self.clone());
        let faulty = http_client_fn(move |settings, components| {
            let inner = http.http_connector(settings, components);
            SharedHttpConnector::new(Faulty { inner, faults: faults.clone() })
        });
        Client::from_conf(client.config().to_builder().http_client(faulty).build())
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, operation: &str) -> Option<Fault> {
        let fate = &mut *self.fate();
        let fault = fate.next.get_mut(operation).and_then(VecDeque::pop_front).or_else(|| {
            let Rates { request_lost, answer_lost, throttled, conflict, .. } = fate.rates;
            let conflict = if WRITES.contains(&operation) { conflict } else { 0.0 };
            let rates = [
                (Fault::RequestLost, request_lost),
                (Fault::AnswerLost, answer_lost),
                (Fault::Throttled, throttled),
                (Fault::Conflict, conflict),
            ];
            let mut left: f64 = fate.random.random();
            let happens = |(_, rate): &&(Fault, f64)| {
                left -= rate;
                left < 0.0
            };
            rates.iter().find(happens).map(|(fault, _)| *fault)
        });
        fate.happened += usize::from(fault.is_some());
        fault
    }

    /// What an index that lags shows of `current`.
    fn lag(&self, query: &[u8], current: Vec<Value>) -> Vec<Value> {
        let fate = &mut *self.fate();
        let late = fate.rates.index_late;
        let before = fate.answered.insert(query.to_vec(), current.clone()).unwrap_or_default();
        let gone = before.iter().filter(|entry| !current.contains(entry));
        let still_shown: Vec<Value> = gone.filter(|_| fate.random.random_bool(late)).cloned().collect();
        let shown =
            current.into_iter().filter(|entry| before.contains(entry) || !fate.random.random_bool(late));
        shown.chain(still_shown).collect()
    }
}

pub(crate) const WRITES: [&str; 4] = ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];

#[derive(Debug)]
struct Faulty {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for Faulty {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.split('.').nth(1));
        let operation = operation.unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        HttpConnectorFuture::new(async move {
            match faults.draw(&operation) {
                Some(Fault::RequestLost) => Err(lost("the request is lost")),
                Some(Fault::AnswerLost) => {
                    inner.call(request).await?;
                    Err(lost("the answer is lost"))
                }
                Some(Fault::Throttled) => refused(&throttled()),
                Some(Fault::Conflict) => refused(&conflict(&operation)),
                None if operation == "Query" && names_an_index(&body) => {
                    let response = inner.call(request).await?;
                    show_late(&faults, &body, response).await
                }
                None => inner.call(request).await,
            }
        })
    }
}

/// What a table without capacity answers.
pub(crate) fn throttled() -> Value {
    json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded",
    })
}

/// What a write is answered while a transaction holds its row.
pub(crate) fn conflict(operation: &str) -> Value {
    if operation == "TransactWriteItems" {
        return json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
            "CancellationReasons": [{ "Code": "TransactionConflict" }],
        });
    }
    json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
        "message": "Transaction is ongoing for the item",
    })
}

fn lost(what: &'static str) -> ConnectorError {
    ConnectorError::timeout(what.into())
}

fn refused(error: &Value) -> Result<HttpResponse, ConnectorError> {
    let status = 400_u16.try_into().map_err(|_| lost("a status"))?;
    Ok(HttpResponse::new(status, SdkBody::from(error.to_string())))
}

pub(crate) fn names_an_index(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|body: Value| body.get("IndexName").is_some())
}

async fn show_late(
    faults: &Faults,
    query: &[u8],
    mut response: HttpResponse,
) -> Result<HttpResponse, ConnectorError> {
    let body = ByteStream::new(response.take_body()).collect().await;
    let body = body.map_err(|error| ConnectorError::io(error.into()))?.into_bytes();
    let mut answer: Value =
        serde_json::from_slice(&body).map_err(|error| ConnectorError::io(error.into()))?;
    if let Some(Value::Array(current)) = answer.get_mut("Items").map(Value::take) {
        let shown = faults.lag(query, current);
        answer["Count"] = shown.len().into();
        answer["Items"] = Value::Array(shown);
    }
    let body = answer.to_string();
    response.headers_mut().remove("content-length");
    response.headers_mut().remove("x-amz-crc32");
    *response.body_mut() = SdkBody::from(body);
    Ok(response)
}
