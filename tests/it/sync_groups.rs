//! What holds of a whole consumer group: topic, engine, sink and letters together.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Item, Names, Worker};
use aqueduct_engine::{Engine, Group, Metrics, Progress, Sink};
use aqueduct_service::Settings;
use aqueduct_store::{EventStore, Letters, topics};
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::eventually;
use aqueduct_views::{opensearch, postgres};
use futures::TryStreamExt;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::sync::{ORDER, deletion, event, model, order, settings};

const PATIENCE: Duration = Duration::from_secs(60);

/// The topics and tables of a fleet of its own.
struct Stage {
    settings: Settings,
    names: Names,
    letters: Letters,
    events: EventStore,
}

impl Stage {
    async fn new() -> Stage {
        let settings = settings().await;
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        aqueduct_store::setup(&client, &names).await.unwrap();
        topics::ensure(&settings.kafka, &names, [(&"ORDER".parse().unwrap(), 1)]).await.unwrap();
        Stage {
            letters: Letters::new(client.clone(), &names),
            events: EventStore::new(client, &names),
            names,
            settings,
        }
    }

    fn topic(&self) -> String {
        self.names.events_topic(&"ORDER".parse().unwrap())
    }

    async fn publish(&self, items: impl IntoIterator<Item = Item>) {
        let producer: FutureProducer = self.settings.kafka.client_config().create().unwrap();
        let sent: Vec<_> = items
            .into_iter()
            .map(|item| {
                let event = event(item);
                let headers = Headers::of(&event)
                    .to_pairs()
                    .into_iter()
                    .fold(OwnedHeaders::new(), |headers, (key, value)| {
                        headers.insert(Header { key, value: Some(&value) })
                    });
                let (key, value) = (event.item.key.to_string(), event.to_json());
                let topic = self.topic();
                let record = FutureRecord::to(&topic).key(&key).payload(&value).headers(headers);
                producer.send_result(record).map_err(|(error, _)| error).unwrap()
            })
            .collect();
        for sent in sent {
            sent.await.unwrap().unwrap();
        }
    }

    /// Runs the group of `sink` until `done` is.
    async fn run<S: Sink>(&self, worker: Worker, sink: S, done: impl Future<Output = ()>) {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let engine = self.settings.engine.clone();
        let engine = Engine::new(
            &self.settings.kafka,
            &self.names,
            engine,
            self.letters.clone(),
            self.events.clone(),
            metrics,
        )
        .unwrap();
        let group = Group {
            id: self.names.view_group(worker, "orders", 1),
            worker,
            sink: "orders.g1".into(),
            topics: vec![self.topic()],
        };
        let stop = CancellationToken::new();
        let progress = Progress::new(self.settings.engine.stall_timeout);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { engine.run(group, sink, progress, stop).await }
        });
        done.await;
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    /// Codes of the letters, by item.
    async fn codes(&self) -> BTreeMap<String, String> {
        let filed: Vec<_> = self.letters.all().try_collect().await.unwrap();
        filed.into_iter().map(|filed| (filed.letter.item, filed.letter.code)).collect()
    }

    fn registry(&self) -> opensearch::Registry {
        opensearch::Registry::new(&self.settings.opensearch, &self.names).unwrap()
    }
}

fn key(id: &str) -> String {
    format!("acme#ORDER|ORDER#{id}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_at_fault_are_the_only_ones_set_aside() {
    let stage = Stage::new().await;
    let pool: PgPool = stage.settings.postgres.connect_lazy().unwrap();
    let mut served = postgres::Registry::new(pool.clone()).ensure(&model(&[ORDER])).await.unwrap();
    let sink = TableSink::new(pool.clone(), served.generations.remove(0)).unwrap();

    let items = (0..200).map(|n| match n {
        17 => order("cast", 1, json!({ "total": "abc" })),
        18 => order("nul", 1, json!({ "customerName": "a\0b" })),
        90 => order("now", 1, json!({ "placedAt": "now" })),
        199 => order("last", 1, json!({})),
        n if n % 10 == 0 => deletion(&format!("o{n}"), 2),
        n => order(&format!("o{n}"), 1, json!({ "quantity": n })),
    });
    stage.publish(items).await;
    let all = "SELECT count(*) FROM orders__g1";
    let done = eventually("everything is consumed", PATIENCE, async || {
        let rows: i64 = sqlx::query_scalar(all).fetch_one(&pool).await.unwrap();
        (rows == 197 && stage.codes().await.len() == 3).then_some(())
    });
    stage.run(Worker::SyncRds, sink, done).await;
    let expected = [("cast", "RowRefused"), ("nul", "RowRefused"), ("now", "ExpressionFailed")];
    assert_eq!(stage.codes().await, expected.map(|(id, code)| (key(id), code.to_owned())).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn documents_at_fault_are_the_only_ones_set_aside() {
    let stage = Stage::new().await;
    let mut served = stage.registry().ensure(&model(&[ORDER])).await.unwrap();
    let client = stage.settings.opensearch.client().unwrap();
    let sink = IndexSink::new(stage.registry(), served.generations.remove(0)).unwrap();

    let items = (0..200).map(|n| match n {
        17 => order("conflict", 1, json!({ "customerName": { "first": "Ann" } })),
        18 => order("nul", 1, json!({ "customerName": "a\0b" })),
        90 => order("name", 1, json!({ "a..b": 1 })),
        n if n % 10 == 0 => deletion(&format!("o{n}"), 2),
        n => order(&format!("o{n}"), 1, json!({ "quantity": n })),
    });
    stage.publish(items).await;
    let index = format!("{}orders-g1", stage.settings.opensearch.index_prefix);
    let done = eventually("everything is consumed", PATIENCE, async || {
        let parts = ::opensearch::indices::IndicesRefreshParts::Index(&[&index]);
        client.indices().refresh(parts).send().await.unwrap();
        let counted = client.count(::opensearch::CountParts::Index(&[&index])).send().await.unwrap();
        let counted: serde_json::Value = counted.json().await.unwrap();
        (counted["count"] == 198 && stage.codes().await.len() == 2).then_some(())
    });
    stage.run(Worker::SyncSearch, sink, done).await;
    let expected = [("conflict", "DocumentRefused"), ("name", "DocumentRefused")];
    assert_eq!(stage.codes().await, expected.map(|(id, code)| (key(id), code.to_owned())).into());
}
