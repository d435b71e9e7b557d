//! Invariants asked from outside, of the brokers and stores alone: true at any moment, so under faults too.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_contract::{ItemKey, Names, TypeName, Worker, headers};
use aqueduct_views::opensearch::document_id;
use aws_sdk_dynamodb::types::AttributeValue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::Fleet;

const PATIENCE: Duration = Duration::from_secs(30);

/// The highest version of each item.
type Versions = HashMap<ItemKey, u64>;

impl Fleet {
    /// A committed offset is never ahead of its effects (invariant 7): for every order below it, each sink holds that version or a
    /// later one. Returns how many items were compared.
    ///
    /// # Errors
    ///
    /// When one does not hold, or a server does not answer.
    pub async fn commits_follow_effects(&self) -> Result<usize> {
        let names = Names::new(&self.settings.prefix);
        let order: TypeName = "ORDER".parse()?;
        let view = |worker| names.view_group(worker, "orders", 1);
        let groups = [names.data_group(), view(Worker::SyncRds), view(Worker::SyncSearch)];
        let mut compared = 0;
        for (sink, group) in groups.into_iter().enumerate() {
            // The commit first, the sink afterwards: the sink only rises.
            let kafka = self.settings.kafka.clone();
            let topic = names.events_topic(&order);
            let read =
                tokio::task::spawn_blocking(move || below_commits(&kafka.client_config(), &group, &topic));
            let committed = read.await??;
            let held = match sink {
                0 => self.data_versions(&names, &committed).await?,
                1 => self.row_versions().await?,
                _ => self.document_versions(&committed).await?,
            };
            compared += committed.len();
            for (item, version) in committed {
                let held = held.get(&item).copied().unwrap_or_default();
                ensure!(
                    held >= version,
                    "sink {sink} holds version {held} of {item}, {version} is committed"
                );
            }
        }
        Ok(compared)
    }

    async fn data_versions(&self, names: &Names, items: &Versions) -> Result<Versions> {
        let client = self.settings.dynamodb.connect().await;
        let mut versions = Versions::new();
        for item in items.keys() {
            let row = client
                .get_item()
                .table_name(names.table("data"))
                .key("pk", AttributeValue::S(item.pk()))
                .key("sk", AttributeValue::S(item.sk()))
                .consistent_read(true)
                .send()
                .await?;
            let version = row.item().and_then(|row| row.get("item_version")?.as_n().ok()?.parse().ok());
            versions.extend(version.map(|version| (item.clone(), version)));
        }
        Ok(versions)
    }

    async fn row_versions(&self) -> Result<Versions> {
        let pool: PgPool = self.settings.postgres.connect_lazy()?;
        let all = AssertSqlSafe("SELECT tenant, id, item_version FROM orders__g1".to_owned());
        let rows: Vec<(String, String, i64)> = sqlx::query_as(all).fetch_all(&pool).await?;
        let version = |(tenant, id, version): (String, String, i64)| {
            let key = ItemKey::new(tenant.parse()?, "ORDER".parse()?, id.parse()?)?;
            anyhow::Ok((key, version.unsigned_abs()))
        };
        rows.into_iter().map(version).collect()
    }

    async fn document_versions(&self, items: &Versions) -> Result<Versions> {
        if items.is_empty() {
            return Ok(Versions::new());
        }
        let settings = &self.settings.opensearch;
        let keys: Vec<&ItemKey> = items.keys().collect();
        let ids: Vec<String> = keys.iter().map(|key| document_id(key)).collect();
        // Found as they stand, refreshed or not.
        let url = format!(
            "{}/{}orders-g1/_mget?_source=false",
            settings.url.trim_end_matches('/'),
            settings.index_prefix
        );
        let answer = reqwest::Client::new().post(url).json(&json!({ "ids": ids })).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let documents = answer["docs"].as_array().context("an answer without documents")?;
        let version =
            |(key, document): (&ItemKey, &Value)| Some((key.clone(), document["_version"].as_u64()?));
        Ok(keys.into_iter().zip(documents).filter_map(version).collect())
    }
}

/// The highest version of each item among the records that the group has committed.
fn below_commits(config: &rdkafka::ClientConfig, group: &str, topic: &str) -> Result<Versions> {
    let consumer: BaseConsumer =
        config.clone().set("group.id", group).set("enable.auto.commit", "false").create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata.topics().first().context("no such topic")?.partitions();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.id());
    }
    let mut ends = HashMap::new();
    let mut assigned = TopicPartitionList::new();
    for element in consumer.committed_offsets(list, PATIENCE)?.elements() {
        if let Offset::Offset(end @ 1..) = element.offset() {
            ends.insert(element.partition(), end);
            assigned.add_partition_offset(topic, element.partition(), Offset::Beginning)?;
        }
    }
    consumer.assign(&assigned)?;
    let mut versions = Versions::new();
    while !ends.is_empty() {
        let message = consumer.poll(PATIENCE).context("the topic ended early")??;
        let Some(end) = ends.get(&message.partition()).copied() else { continue };
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
        if message.offset() >= end {
            continue;
        }
        let version = message.headers().into_iter().flat_map(Headers::iter).find_map(|header| {
            (header.key == headers::ITEM_VERSION)
                .then(|| std::str::from_utf8(header.value?).ok()?.parse().ok())?
        });
        let item = message.key().and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
        if let (Some(item), Some(version)) = (item, version) {
            let highest = versions.entry(item).or_insert(version);
            *highest = version.max(*highest);
        }
    }
    Ok(versions)
}
