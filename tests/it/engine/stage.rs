//! A topic, a group, and a sink that does what a test tells it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Event, EventId, Happened, Item, ItemKey, Names, TypeName, Version, Worker};
use aqueduct_engine::{
    Engine, Error, Group, Metrics, Needs, Outcome, Progress, Record, Settings, Sink, SinkError, WorkerLanes,
};
use aqueduct_store::letters::{Filed, State};
use aqueduct_store::{Appended, EventStore, Letter, Letters, dynamodb, kafka, setup, topics};
use aqueduct_tests::{Servers, asked, eventually, read_topic, servers, unique};
use futures::future::BoxFuture;
use jiff::Timestamp;
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Topics and tables of one test.
pub(crate) struct Stage {
    pub(crate) names: Names,
    pub(crate) topic: String,
    pub(crate) kafka: kafka::Settings,
    pub(crate) letters: Letters,
    pub(crate) events: EventStore,
    pub(crate) settings: Settings,
    pub(crate) type_name: TypeName,
    pub(crate) partitions: i32,
    producer: FutureProducer,
}

/// A member of the group, at work.
pub(crate) struct Member {
    pub(crate) registry: Registry,
    pub(crate) progress: Progress,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

/// A record as it is found in a topic.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Stage {
    pub(crate) async fn new(partitions: i32) -> Stage {
        let stage = Stage::without_topics(partitions).await;
        stage.make_topics().await;
        stage
    }

    pub(crate) async fn make_topics(&self) {
        topics::ensure(&self.kafka, &self.names, [(&self.type_name, self.partitions)]).await.unwrap();
    }

    pub(crate) async fn without_topics(partitions: i32) -> Stage {
        Stage::on(servers().await, partitions).await
    }

    /// On these servers; without topics.
    pub(crate) async fn on(servers: &Servers, partitions: i32) -> Stage {
        let names = Names::new(unique());
        let properties = [
            // A rebalance is noticed by the next heartbeat.
            ("heartbeat.interval.ms", "200"),
            ("session.timeout.ms", "6000"),
            ("topic.metadata.refresh.interval.ms", "500"),
        ];
        let kafka = kafka::Settings {
            brokers: servers.kafka.clone(),
            properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let dynamodb =
            dynamodb::Settings { endpoint: servers.dynamodb.clone(), region: "eu-central-1".into() };
        let client = dynamodb.connect().await;
        setup(&client, &names).await.unwrap();
        let type_name: TypeName = "ORDER".parse().unwrap();
        Stage {
            topic: names.events_topic(&type_name),
            letters: Letters::new(client.clone(), &names),
            events: EventStore::new(client, &names),
            names,
            settings: settings(),
            type_name,
            partitions,
            producer: kafka.client_config().set("partitioner", "murmur2_random").create().unwrap(),
            kafka,
        }
    }

    pub(crate) fn group(&self) -> Group {
        Group {
            id: self.names.view_group(Worker::SyncRds, "orders", 1),
            worker: Worker::SyncRds,
            sink: "orders.g1".into(),
            topics: vec![self.topic.clone()],
        }
    }

    pub(crate) fn join<S: Sink>(&self, sink: S) -> Member {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let (letters, events) = (self.letters.clone(), self.events.clone());
        let engine =
            Engine::new(&self.kafka, &self.names, self.settings.clone(), letters, events, metrics).unwrap();
        let progress = Progress::new(self.settings.stall_timeout);
        let stop = CancellationToken::new();
        let (group, shared, stopped) = (self.group(), progress.clone(), stop.clone());
        let task = tokio::spawn(async move { engine.run(group, sink, shared, stopped).await });
        Member { registry, progress, stop, task }
    }

    /// Stores a version and publishes it, as command-api does.
    pub(crate) async fn write(&self, id: &str, version: u64) {
        let event = event(id, version);
        assert_eq!(self.events.append(&event).await.unwrap(), Appended::Stored);
        self.produce(&found(&event)).await;
    }

    /// Publishes as the publisher does, one version after the other.
    pub(crate) async fn publish(&self, id: &str, version: u64) {
        self.produce(&found(&event(id, version))).await;
    }

    pub(crate) async fn produce(&self, record: &Found) {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_deref() })
        });
        let mut future: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic).headers(headers);
        future.key = record.key.as_deref();
        future.payload = record.value.as_deref();
        self.producer.send(future, PATIENCE).await.unwrap();
    }

    /// The committed offset of each partition, `None` where there is none.
    pub(crate) async fn committed(&self) -> Vec<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let consumer: BaseConsumer =
            self.kafka.client_config().set("group.id", self.group().id).create().unwrap();
        let committed =
            asked("committed offsets", move || consumer.committed_offsets(list.clone(), PATIENCE)).await;
        let offsets = committed.elements().into_iter().map(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        offsets.collect()
    }

    /// The end of each partition.
    pub(crate) async fn ends(&self) -> Vec<i64> {
        let consumer: BaseConsumer = self.kafka.client_config().create().unwrap();
        let (topic, partitions) = (self.topic.clone(), self.partitions);
        asked("ends", move || {
            (0..partitions)
                .map(|one| consumer.fetch_watermarks(&topic, one, PATIENCE).map(|(_, end)| end))
                .collect()
        })
        .await
    }

    pub(crate) async fn all_committed(&self) {
        let ends = self.ends().await;
        eventually("every offset is committed", PATIENCE, || async {
            let committed = self.committed().await;
            (committed.iter().zip(&ends).all(|(offset, end)| *offset == Some(*end))).then_some(())
        })
        .await;
    }

    pub(crate) async fn filed(&self) -> Vec<Filed> {
        let mut filed = Vec::new();
        for partition in 0..self.partitions {
            filed.extend(self.letters.load(&self.group().id, &self.topic, partition).await.unwrap());
        }
        filed
    }

    /// Waits for the letter of an item and asks for its redrive.
    pub(crate) async fn redrive(&self, id: &str) {
        let filed = eventually("there is a letter", PATIENCE, || async { self.letter(id).await }).await;
        let redrive = Letter { state: State::Redrive, ..filed.letter.clone() };
        self.letters.replace_if_unchanged(&filed, &redrive).await.unwrap().unwrap();
    }

    pub(crate) async fn letter(&self, id: &str) -> Option<Filed> {
        let item = key(id).to_string();
        self.filed().await.into_iter().find(|filed| filed.letter.item == item)
    }

    /// Waits until an item has no letter.
    pub(crate) async fn letter_gone(&self, id: &str) {
        eventually("the letter is gone", PATIENCE, || async {
            self.letter(id).await.is_none().then_some(())
        })
        .await;
    }

    /// What the dead-letter topic holds.
    pub(crate) async fn dead_letters(&self) -> Vec<Found> {
        let topic = self.names.dead_letter_topic(Worker::SyncRds);
        let config = self.kafka.client_config();
        let read = move || read_topic(&config, &topic, copied).unwrap();
        tokio::task::spawn_blocking(read).await.unwrap()
    }
}

fn settings() -> Settings {
    Settings {
        instance_id: String::new(),
        batch_records: 100,
        batch_bytes: 1 << 20,
        batch_age: Duration::from_millis(20),
        lanes: WorkerLanes::all(4),
        window: 1000,
        window_bytes: 16 << 20,
        pause_after: Duration::from_millis(500),
        commit_interval: Duration::from_millis(100),
        lag_interval: Duration::from_millis(200),
        retry_backoff_min: Duration::from_millis(10),
        retry_backoff_max: Duration::from_millis(100),
        unknown_attempts: 3,
        brake_in_a_row: 100,
        brake_share: 0.2,
        brake_window: 1000,
        brake_pause_min: Duration::from_millis(200),
        brake_pause_max: Duration::from_secs(1),
        letters_interval: Duration::from_millis(200),
        quarantine_after: 2,
        drain_timeout: Duration::from_secs(10),
        stall_timeout: Duration::from_secs(60),
    }
}

fn copied(message: &BorrowedMessage<'_>) -> Found {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Found {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
    }
}

pub(crate) fn key(id: &str) -> ItemKey {
    ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap()).unwrap()
}

pub(crate) fn event(id: &str, version: u64) -> Event {
    let now = Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap();
    Event {
        id: EventId(Uuid::now_v7()),
        happened: Happened { name: "Updated".into(), data: json!({ "version": version }) },
        item: Item {
            key: key(id),
            version: Version::try_from(version).unwrap(),
            attributes: [("version".to_owned(), json!(version))].into_iter().collect(),
            deleted: false,
            created_at: now,
            created_by: "test".into(),
            updated_at: now,
            updated_by: "test".into(),
        },
        correlation_id: "test".parse().unwrap(),
        causation_id: None,
        traceparent: None,
        schema_version: 1,
    }
}

pub(crate) fn found(event: &Event) -> Found {
    let headers = Headers::of(event).to_pairs();
    Found {
        key: Some(event.item.key.to_string().into_bytes()),
        value: Some(event.to_json().into_bytes()),
        headers: headers.into_iter().map(|(name, value)| (name.into(), Some(value.into_bytes()))).collect(),
    }
}

impl Member {
    pub(crate) async fn stop(self) -> Registry {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.registry
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Ends without a farewell to anybody, as a crash does.
    pub(crate) async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn ended(self) -> Result<(), Error> {
        self.task.await.unwrap()
    }

    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        metric(&self.registry, name, label)
    }
}

/// The sum of the samples of a metric, of those with a label of this value.
pub(crate) fn metric(registry: &Registry, name: &str, label: Option<&str>) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let samples = family.into_iter().flat_map(MetricFamily::get_metric);
    let chosen = samples.filter(|sample| {
        label.is_none_or(|label| sample.get_label().iter().any(|pair| pair.value() == label))
    });
    chosen
        .map(|sample| {
            let histogram = sample.get_histogram().get_sample_count();
            sample.get_counter().get_value()
                + sample.get_gauge().get_value()
                + f64::from(u32::try_from(histogram).unwrap())
        })
        .sum()
}

/// Everything that was taken up has an outcome.
pub(crate) fn assert_nothing_unaccounted(registry: &Registry) {
    let events = |outcome| metric(registry, "aqueduct_events_total", Some(outcome));
    let outcomes = ["applied", "stale", "ignored", "dead_lettered", "parked", "returned"].map(events);
    assert_eq!(
        metric(registry, "aqueduct_consumed_total", None),
        outcomes.iter().sum::<f64>(),
        "{outcomes:?}"
    );
}

type Answer = Result<Vec<Outcome>, SinkError>;

/// A sink that notes what it is given, and answers as the test says.
pub(crate) struct Puppet<const STATE: bool> {
    stage: Arc<dyn Fn(Vec<Record>) -> BoxFuture<'static, Answer> + Send + Sync>,
}

/// Sees the highest version of each key of a batch.
pub(crate) type StatePuppet = Puppet<true>;
/// Sees every event.
pub(crate) type EventPuppet = Puppet<false>;

impl<const STATE: bool> Puppet<STATE> {
    pub(crate) fn new<F>(answer: impl Fn(Vec<Record>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Puppet { stage: Arc::new(move |batch| Box::pin(answer(batch))) }
    }
}

impl<const STATE: bool> Sink for Puppet<STATE> {
    const NEEDS: Needs = if STATE { Needs::State } else { Needs::EveryEvent };

    fn apply(&self, batch: &[Record]) -> impl Future<Output = Answer> + Send {
        (self.stage)(batch.to_vec())
    }
}

/// Where the batches of a sink stop until it is opened.
#[derive(Clone)]
pub(crate) struct Gate {
    waiting: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Gate {
        Gate { waiting: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// A sink whose batches are noted once they are through.
    pub(crate) fn before(&self, applied: &Applied) -> EventPuppet {
        let (gate, applied) = (self.clone(), applied.clone());
        EventPuppet::new(move |batch| {
            let (gate, applied) = (gate.clone(), applied.clone());
            async move {
                gate.waiting.add_permits(1);
                let _through = gate.open.acquire().await.unwrap();
                applied.note_all(&batch)
            }
        })
    }

    /// Waits until a batch stands before it.
    pub(crate) async fn reached(&self) {
        self.waiting.acquire().await.unwrap().forget();
    }

    /// Lets all through, one after the other, from now on.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }
}

/// What the members of a group have applied together: of each item the versions, in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Applied(Arc<Mutex<HashMap<String, Vec<u64>>>>);

impl Applied {
    pub(crate) fn note(&self, record: &Record) -> Outcome {
        match record.event() {
            Err(reason) => Outcome::Poison(reason),
            Ok(event) => {
                let mut items = self.0.lock().unwrap();
                items.entry(event.item.key.id().to_string()).or_default().push(event.item.version.get());
                Outcome::Applied
            }
        }
    }

    pub(crate) fn note_all(&self, batch: &[Record]) -> Answer {
        Ok(batch.iter().map(|record| self.note(record)).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    pub(crate) fn of(&self, id: &str) -> Vec<u64> {
        self.0.lock().unwrap().get(id).cloned().unwrap_or_default()
    }

    pub(crate) async fn reaches(&self, count: usize) {
        eventually(&format!("{count} applied"), PATIENCE, || async { (self.count() >= count).then_some(()) })
            .await;
    }
}
