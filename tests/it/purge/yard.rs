//! Where tombstones are made and removed: a fleet's servers, and what this process writes and reads there.

use std::time::Duration;

use ::opensearch::http::Method;
use anyhow::{Context, Result};
use aqueduct_contract::headers::Headers;
use aqueduct_contract::{Event, Item, Names, Version, Worker};
use aqueduct_service::Settings;
use aqueduct_service::purge::{Purged, Purger};
use aqueduct_store::letters::State;
use aqueduct_store::{Appended, EventStore, Letter, Letters, kafka, publisher};
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::{Fleet, PATIENCE, Scratch, SetUp, eventually, servers};
use aqueduct_verify::{Scope, verify};
use aqueduct_views::{Generation, opensearch, postgres};
use indicatif::ProgressBar;
use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use super::{STORES, days_ago, key};
use crate::sync::event;
use crate::views::{http, registry};

pub(super) const ITEM: &str = "
aqueduct: v1
type: ITEM
partitions: 1
schema: { type: object, properties: { name: { type: string }, shown: { type: boolean } } }
views:
  items:
    postgres: { columns: { name: { type: text, from: self.name } } }
    opensearch: {}
";

/// The servers' side of a fleet with items, written by this process with times of its choice.
pub(super) struct Yard {
    pub(super) settings: Settings,
    pub(super) names: Names,
    pub(super) events: EventStore,
    pub(super) letters: Letters,
    pub(super) publisher: publisher::Publisher,
    pub(super) pool: PgPool,
    pub(super) tables: postgres::Registry,
    pub(super) indexes: opensearch::Registry,
    pub(super) stop: CancellationToken,
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Yard {
    pub(super) async fn of(settings: &Settings) -> Result<Yard> {
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        let events = EventStore::new(client.clone(), &names);
        let (publisher, publishing) = publisher::Publisher::new(
            events.clone(),
            &settings.kafka,
            settings.publisher.clone(),
            &prometheus::Registry::new(),
        )?;
        let stop = CancellationToken::new();
        tokio::spawn(publishing.run(stop.clone()));
        let pool = settings.postgres.connect_lazy()?;
        Ok(Yard {
            letters: Letters::new(client, &names),
            tables: postgres::Registry::new(pool.clone()),
            indexes: registry(settings),
            settings: settings.clone(),
            names,
            events,
            publisher,
            pool,
            stop,
        })
    }

    /// Without processes.
    pub(super) async fn quiet() -> Result<(Yard, SetUp, Scratch)> {
        let model = Scratch::new()?;
        std::fs::write(model.path().join("item.yaml"), ITEM)?;
        let plan = Fleet::on(servers().await).await.model(model.path());
        let set_up = plan.set_up().await?;
        let mut settings = set_up.settings.clone();
        // Twice that a purge waits in OpenSearch.
        settings.opensearch.request_timeout = Duration::from_secs(5);
        Ok((Yard::of(&settings).await?, set_up, model))
    }

    pub(super) fn topic(&self) -> String {
        self.names.events_topic(&"ITEM".parse().unwrap())
    }

    /// Writes a version; where `publishes`, it is published soon.
    pub(super) async fn append(&self, item: Item, publishes: bool) -> Result<Event> {
        let event = event(item);
        anyhow::ensure!(self.events.append(&event).await? == Appended::Stored);
        if publishes {
            self.publisher.submit(&event);
        }
        Ok(event)
    }

    /// Writes versions one after the other; returns when all are in the topic.
    pub(super) async fn write(&self, items: impl IntoIterator<Item = Item>) -> Result<()> {
        for item in items {
            let event = self.append(item, true).await?;
            eventually("it is published", PATIENCE, async || {
                let stored = self.events.at(&event.item.key, event.item.version).await.ok()??;
                stored.published.map(drop)
            })
            .await;
        }
        Ok(())
    }

    /// Puts the record of an event into its topic once more, as if it had been written at `time`.
    pub(super) async fn produce(&self, event: &Event, time: Option<Timestamp>) -> Result<()> {
        let producer: FutureProducer = self.settings.kafka.client_config().create()?;
        let pairs = Headers::of(event).to_pairs();
        let headers = pairs.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let (key, value, topic) = (event.item.key.to_string(), event.to_json(), self.topic());
        let record = FutureRecord::to(&topic).key(&key).payload(&value).headers(headers).partition(0);
        let record = match time {
            Some(time) => record.timestamp(time.as_millisecond()),
            None => record,
        };
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    pub(super) async fn stored(&self, id: &str, version: u64) -> Result<Event> {
        let stored = self.events.at(&key(id), Version::try_from(version)?).await?;
        Ok(stored.context("an event")?.event)
    }

    pub(super) async fn table(&self) -> Generation {
        self.tables.generations().await.unwrap().remove(0)
    }

    pub(super) async fn index(&self) -> Generation {
        self.indexes.generations().await.unwrap().remove(0)
    }

    pub(super) fn group(&self, worker: Worker, number: u32) -> kafka::Group {
        let id = self.names.view_group(worker, "items", number);
        kafka::Group::new(&self.settings.kafka, &id, &[self.topic()])
    }

    /// Returns when the workers have applied all that the topic holds.
    pub(super) async fn applied(&self, number: u32) {
        for (worker, store) in STORES {
            eventually(&format!("{store} has applied everything"), PATIENCE, async || {
                let positions = self.group(worker, number).positions().await.ok()?;
                positions.iter().all(|at| at.lag() == 0 && at.committed.is_some()).then_some(())
            })
            .await;
        }
    }

    /// Id and version of the rows of a generation, and whether they stand for a deleted item.
    pub(super) async fn rows(&self, number: u32) -> Vec<(String, i64, bool)> {
        let all = format!("SELECT id, item_version, deleted FROM items__g{number} ORDER BY id");
        sqlx::query_as(AssertSqlSafe(all)).fetch_all(&self.pool).await.unwrap()
    }

    /// The same of its documents.
    pub(super) async fn documents(&self, number: u32) -> Vec<(String, i64, bool)> {
        let index = format!("{{}}items-g{number}");
        http(&self.settings, Method::Post, &format!("{index}/_refresh"), None).await;
        let all = json!({ "size": 5000, "sort": "id" });
        let (_, found) = http(&self.settings, Method::Post, &format!("{index}/_search"), Some(all)).await;
        let read = |hit: &Value| {
            let source = &hit["_source"];
            let id = source["id"].as_str().unwrap().to_owned();
            (id, source["item_version"].as_i64().unwrap(), source["deleted"].as_bool().unwrap())
        };
        found["hits"]["hits"].as_array().unwrap().iter().map(read).collect()
    }

    /// A letter of the first version of an item.
    pub(super) fn letter(&self, worker: Worker, id: &str) -> Letter {
        Letter {
            group: self.names.view_group(worker, "items", 1),
            topic: self.topic(),
            partition: 0,
            offset: 1,
            item: key(id).to_string(),
            version: Some(Version::FIRST),
            code: "RowRefused".to_owned(),
            message: String::new(),
            attempts: 1,
            redrives: 0,
            filed_at: Timestamp::now(),
            state: State::Open,
        }
    }

    pub(super) async fn agrees(&self) -> Result<()> {
        let scope = Scope { only: Some("items".to_owned()), tenant: None };
        let report = verify(&self.settings, &scope, PATIENCE, &ProgressBar::hidden()).await?;
        anyhow::ensure!(report.differences.is_empty(), "{report}");
        Ok(())
    }

    pub(super) async fn sinks(&self) -> (TableSink, IndexSink) {
        let table = TableSink::new(self.pool.clone(), self.table().await).unwrap();
        (table, IndexSink::new(self.indexes.clone(), self.index().await).unwrap())
    }

    pub(super) async fn purge_table(&self, days: i64) -> Result<Purged> {
        let (purger, table) = (Purger::new(&self.settings).await, self.table().await);
        purger.purge(&self.tables, Worker::SyncRds, &table, days_ago(days), &|_| {}).await
    }

    pub(super) async fn purge_index(&self, days: i64) -> Result<Purged> {
        let (purger, index) = (Purger::new(&self.settings).await, self.index().await);
        purger.purge(&self.indexes, Worker::SyncSearch, &index, days_ago(days), &|_| {}).await
    }
}
