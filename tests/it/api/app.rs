//! A command-api of a test's own: in this process, on a free port, over tables of its own.

use std::sync::Arc;

use aqueduct_command_api::{Api, Metrics, Parts, Passed, Reads, StartCheck, bind, http, publish, router};
use aqueduct_commands::{Moment, Moments, Writer};
use aqueduct_contract::{Event, ItemKey, Names};
use aqueduct_model::Model;
use aqueduct_service::Settings;
use aqueduct_store::kafka::Tail;
use aqueduct_store::{
    DataTable, EventStore, Letters, Publisher, Sequences, Sessions, dynamodb, kafka, setup,
};
use aqueduct_tests::{servers, unique};
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Without a sequence; takes any field.
const NOTE: &str = r"
aqueduct: v1
type: NOTE
schema: { type: object, required: [title], properties: { title: { type: string } } }
";

/// With a sequence; takes no field that it does not know.
const ORDER: &str = r#"
aqueduct: v1
type: ORDER
schema:
  type: object
  required: [customer, lines]
  additionalProperties: false
  properties:
    customer: { type: string, minLength: 1 }
    status: { enum: [open, shipped], default: open }
    lines:
      type: array
      minItems: 1
      items:
        type: object
        required: [code, quantity]
        properties: { code: { type: string }, quantity: { type: integer, minimum: 1 } }
id: { sequence: { format: "ORD-{no:06}", rotate: never } }
"#;

pub(super) const BODY_LIMIT: usize = 600 * 1024;

/// Where its servers are, and what its tables and topics are called.
pub(super) struct Place {
    pub(super) dynamodb: dynamodb::Settings,
    pub(super) kafka: kafka::Settings,
    pub(super) names: Names,
    pub(super) settings: Settings,
}

impl Place {
    /// On the real servers, under a prefix of its own; no table is made.
    pub(super) async fn real() -> Place {
        let servers = servers().await;
        Place::of(&servers.dynamodb, &servers.kafka)
    }

    /// As these settings say.
    pub(super) fn in_settings(settings: &Settings) -> Place {
        Place {
            dynamodb: settings.dynamodb.clone(),
            kafka: settings.kafka.clone(),
            names: Names::new(&settings.prefix),
            settings: settings.clone(),
        }
    }

    /// Wherever.
    pub(super) fn of(dynamodb: &str, kafka: &str) -> Place {
        Place {
            dynamodb: dynamodb::Settings { endpoint: dynamodb.to_owned(), region: "local".to_owned() },
            kafka: kafka::Settings { brokers: kafka.to_owned(), properties: Default::default() },
            names: Names::new(unique()),
            settings: Settings::defaults().expect("settings"),
        }
    }
}

pub(super) struct App {
    pub(super) events: EventStore,
    pub(super) data: DataTable,
    pub(super) letters: Letters,
    pub(super) registry: Registry,
    pub(super) place: Place,
    /// Why it is not ready, if it is not; only a publishing one gets ready.
    pub(super) passed: Passed,
    /// A tenant that no other test has.
    pub(super) tenant: String,
    client: reqwest::Client,
    base: String,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl App {
    /// On the real DynamoDB, its tables made. What it writes stays unpublished.
    pub(super) async fn start() -> App {
        let place = Place::real().await;
        setup(&place.dynamodb.connect().await, &place.names).await.expect("tables");
        App::at(place, false).await
    }

    /// The same, and what it writes is published.
    pub(super) async fn publishing() -> App {
        let place = Place::real().await;
        setup(&place.dynamodb.connect().await, &place.names).await.expect("tables");
        App::at(place, true).await
    }

    /// At that place, as it is.
    pub(super) async fn at(place: Place, publishes: bool) -> App {
        let model = Model::parse([("note.yaml", NOTE), ("order.yaml", ORDER)]).expect("the model");
        App::with(place, model, publishes).await
    }

    /// The same with that model.
    pub(super) async fn with(place: Place, model: Model, publishes: bool) -> App {
        let types: Vec<_> = model.types().map(|of| (of.name.clone(), of.partitions)).collect();
        let registry = Registry::new();
        let stop = CancellationToken::new();
        let client = place.dynamodb.connect().await;
        let events = EventStore::new(client.clone(), &place.names);
        let data = DataTable::new(client.clone(), &place.names);
        let settings = &place.settings;
        let (publisher, publishing) =
            Publisher::new(events.clone(), &place.kafka, settings.publisher.clone(), &registry)
                .expect("a publisher");
        let letters = Letters::new(client.clone(), &place.names);
        let lasts = settings.api.session();
        let sessions = lasts.map(|lasts| Sessions::new(client.clone(), &place.names, lasts));
        let sequences = Sequences::new(client, &place.names);
        let moments: Moments = Arc::new(Moment::real);
        let api = Api::new(Parts {
            model,
            writer: Writer::new(events.clone(), sequences, publisher, Arc::clone(&moments)),
            events: events.clone(),
            data: data.clone(),
            letters: letters.clone(),
            names: place.names.clone(),
            sessions,
            tail: Tail::new(&place.kafka, &place.names, types.clone(), stop.clone()),
            reads: Reads::new(
                &place.names,
                &settings.postgres,
                &settings.opensearch,
                settings.api.query_timeout,
            )
            .expect("URLs"),
            moments,
            metrics: Metrics::new(&registry).expect("metrics"),
            body_limit: BODY_LIMIT,
        });
        let (listener, address) = bind(([127, 0, 0, 1], 0).into()).await.expect("a port");
        let answered = CancellationToken::new();
        let (check, passed) =
            StartCheck::new(place.kafka.clone(), place.names.clone(), types, events.clone());
        let mut tasks = Vec::new();
        if publishes {
            let published = publish(check, publishing, answered.clone());
            tasks.push(tokio::spawn(async move { published.await.expect("publishing ends in order") }));
        }
        let served = http(listener, router(Arc::new(api)), stop.clone(), answered.drop_guard());
        tasks.push(tokio::spawn(async move { served.await.expect("serving ends in order") }));
        App {
            events,
            data,
            letters,
            registry,
            place,
            passed,
            tenant: unique(),
            client: reqwest::Client::new(),
            base: format!("http://{address}"),
            stop,
            tasks,
        }
    }

    /// Stops it, and waits until it has drained.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no task panics");
        }
    }

    /// A request to a path, which is sent as it is.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A request below the tenant: `path` begins with the type.
    pub(super) fn at_tenant(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/v1/{}/{path}", self.tenant))
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        answer(self.at_tenant(Method::GET, path)).await
    }

    /// The same with these parameters, encoded.
    pub(super) async fn query(&self, path: &str, parameters: &[(&str, &str)]) -> Answer {
        answer(self.at_tenant(Method::GET, path).query(parameters)).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.at_tenant(Method::POST, path).json(&body)).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> Answer {
        answer(self.at_tenant(Method::PUT, path).json(&body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: Value) -> Answer {
        answer(self.at_tenant(Method::PATCH, path).json(&body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        answer(self.at_tenant(Method::DELETE, path)).await
    }

    /// A body that need not be JSON.
    pub(super) async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.at_tenant(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    /// A NOTE that must be accepted.
    pub(super) async fn note(&self, id: &str, title: &str) -> Answer {
        self.post("NOTE", json!({ "id": id, "attributes": { "title": title } })).await.expect(201)
    }

    pub(super) fn key(&self, type_name: &str, id: &str) -> ItemKey {
        let parse = || -> Result<_, aqueduct_contract::NameError> {
            ItemKey::new(self.tenant.parse()?, type_name.parse()?, id.parse()?)
        };
        parse().expect("a key")
    }

    /// Every version of an item as the store has it.
    pub(super) async fn versions(&self, type_name: &str, id: &str) -> Vec<Event> {
        let key = self.key(type_name, id);
        let mut versions: Vec<Event> = Vec::new();
        loop {
            let after = versions.last().map(|event| event.item.version);
            let page = self.events.history(&key, after, 1000).await.expect("history");
            if page.is_empty() {
                return versions;
            }
            versions.extend(page);
        }
    }

    /// The value of a counter with these labels, 0 if it never moved.
    pub(super) fn counted(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let metrics =
            families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
        let matching = metrics.filter(|metric| {
            labels.iter().all(|(name, value)| {
                metric.get_label().iter().any(|label| label.name() == *name && label.value() == *value)
            })
        });
        matching.map(|metric| metric.get_counter().get_value()).sum()
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Null when there was none.
    pub(super) body: Value,
}

/// Sends it. Whatever comes back has a correlation id, and an error is a problem.
pub(super) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.expect("the body");
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
    let answer = Answer { status, headers, body };
    assert!(!answer.header("x-correlation-id").is_empty());
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.body["status"], status.as_u16());
        assert_eq!(answer.body["correlationId"], answer.header("x-correlation-id"));
        assert_eq!(answer.body["type"], format!("/problems/{}", answer.code()));
        for member in ["title", "detail", "instance"] {
            assert!(answer.body[member].is_string(), "{member} is missing: {answer:?}");
        }
    }
    answer
}

impl Answer {
    /// Itself, if the status is as expected.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        self
    }

    /// Itself, if it is the problem expected.
    #[track_caller]
    pub(super) fn problem(self, status: u16, code: &str) -> Answer {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{self:#?}");
        self
    }

    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
