//! Invariants asked from outside, of the brokers and stores alone: true at any moment, so under faults too.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_contract::{ItemKey, Names, TypeName, Worker, headers};
use aqueduct_views::opensearch::document_id;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::Fleet;
use crate::{asked, read_below};

const PATIENCE: Duration = Duration::from_secs(30);

/// The types of the shop and their views.
const VIEWS: [(&str, &str); 4] =
    [("ORDER", "orders"), ("CREDIT_NOTE", "credit_note"), ("PRODUCT", "products"), ("CUSTOMER", "customers")];

/// The version of each item in a sink.
type Versions = HashMap<ItemKey, u64>;

/// What a group has committed of each partition of a topic.
type Committed = HashMap<i32, i64>;

/// The letters that stand: group, topic and partition as their table has them; item.
type Letters = HashSet<(String, String)>;

/// A record of a topic: where it stands, and what it says that it is of.
#[derive(Debug)]
struct Found {
    partition: i32,
    offset: i64,
    item: Option<ItemKey>,
    version: Option<u64>,
}

impl Fleet {
    /// Every record below a committed offset is accounted for (invariants 5 and 7): the group's sink holds that version of the
    /// item or a later one, or a letter stands for it. And the first appearances of an item's versions are in order and
    /// without a gap (invariant 3). For all types of the shop and all groups; returns how many records were compared.
    ///
    /// # Errors
    ///
    /// When one does not hold, or a server does not answer.
    pub async fn commits_follow_effects(&self) -> Result<usize> {
        let compared = VIEWS.map(|(type_name, view)| self.account_for(type_name, view));
        Ok(try_join_all(compared).await?.into_iter().sum())
    }

    async fn account_for(&self, type_name: &str, view: &str) -> Result<usize> {
        let names = Names::new(&self.settings.prefix);
        let type_name: TypeName = type_name.parse()?;
        let topic = names.events_topic(&type_name);
        let of_view = |worker| names.view_group(worker, view, 1);
        let groups = [names.data_group(), of_view(Worker::SyncRds), of_view(Worker::SyncSearch)];
        // The commits first, then the letters, the sinks last: a sink only rises, and a letter goes when its effect is there.
        let (config, asking, of) = (self.settings.kafka.client_config(), groups.clone(), topic.clone());
        let committed = asked("what is committed", move || {
            asking.iter().map(|group| committed(&config, group, &of)).collect::<Result<Vec<_>>>()
        });
        let committed = committed.await;
        let (config, of, below) = (self.settings.kafka.client_config(), topic.clone(), committed.clone());
        let records = tokio::task::spawn_blocking(move || records(&config, &of, &below)).await??;
        ensure_order(&records)?;
        let letters = self.letters(&names).await?;
        let items: HashSet<&ItemKey> = records.iter().filter_map(|record| record.item.as_ref()).collect();
        let (data, rows, documents) = tokio::try_join!(
            self.data_versions(&names, &items),
            self.row_versions(&type_name, view),
            self.document_versions(view, &items),
        )?;
        let mut compared = 0;
        for ((group, committed), held) in groups.iter().zip(&committed).zip([data, rows, documents]) {
            for record in records.iter().filter(|record| record.is_below(committed)) {
                let held = record.item.as_ref().and_then(|item| held.get(item).copied());
                let is_held = record.version.is_some() && held >= record.version;
                ensure!(
                    is_held || record.has_letter(&letters, group, &topic),
                    "{group} has committed {record:?}, its sink holds {held:?}, and there is no letter"
                );
                compared += 1;
            }
        }
        Ok(compared)
    }

    async fn letters(&self, names: &Names) -> Result<Letters> {
        let client = self.settings.dynamodb.connect().await;
        let scan = client.scan().table_name(names.table("letters")).consistent_read(true);
        let rows = scan.into_paginator().items().send().try_collect().await?;
        Ok(rows.iter().filter_map(|row| Some((text(row, "partition")?, text(row, "item")?))).collect())
    }

    async fn data_versions(&self, names: &Names, items: &HashSet<&ItemKey>) -> Result<Versions> {
        let client = self.settings.dynamodb.connect().await;
        let mut versions = Versions::new();
        for pk in items.iter().map(|item| item.pk()).collect::<HashSet<_>>() {
            let query = client
                .query()
                .table_name(names.table("data"))
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", AttributeValue::S(pk))
                .projection_expression("pk, sk, item_version")
                .consistent_read(true);
            let rows = query.into_paginator().items().send().try_collect().await?;
            let version = |row: &HashMap<String, AttributeValue>| {
                let item = format!("{}|{}", text(row, "pk")?, text(row, "sk")?).parse().ok()?;
                Some((item, row.get("item_version")?.as_n().ok()?.parse().ok()?))
            };
            versions.extend(rows.iter().filter_map(version));
        }
        Ok(versions)
    }

    async fn row_versions(&self, type_name: &TypeName, view: &str) -> Result<Versions> {
        let pool: PgPool = self.settings.postgres.connect_lazy()?;
        let all = AssertSqlSafe(format!("SELECT tenant, id, item_version FROM {view}__g1"));
        let rows: Vec<(String, String, i64)> = sqlx::query_as(all).fetch_all(&pool).await?;
        let version = |(tenant, id, version): (String, String, i64)| {
            let key = ItemKey::new(tenant.parse()?, type_name.clone(), id.parse()?)?;
            anyhow::Ok((key, version.unsigned_abs()))
        };
        rows.into_iter().map(version).collect()
    }

    async fn document_versions(&self, view: &str, items: &HashSet<&ItemKey>) -> Result<Versions> {
        if items.is_empty() {
            return Ok(Versions::new());
        }
        let settings = &self.settings.opensearch;
        let keys: Vec<&ItemKey> = items.iter().copied().collect();
        let ids: Vec<String> = keys.iter().map(|key| document_id(key)).collect();
        // Found as they stand, refreshed or not.
        let url = format!(
            "{}/{}{view}-g1/_mget?_source=false",
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

impl Found {
    fn of(message: &BorrowedMessage<'_>) -> Found {
        let utf8 = |bytes| std::str::from_utf8(bytes).ok();
        let version = message.headers().into_iter().flat_map(Headers::iter).find_map(|header| {
            (header.key == headers::ITEM_VERSION).then(|| utf8(header.value?)?.parse().ok())?
        });
        Found {
            partition: message.partition(),
            offset: message.offset(),
            item: message.key().and_then(|key| utf8(key)?.parse().ok()),
            version,
        }
    }

    fn is_below(&self, committed: &Committed) -> bool {
        committed.get(&self.partition).is_some_and(|end| self.offset < *end)
    }

    fn has_letter(&self, letters: &Letters, group: &str, topic: &str) -> bool {
        let Found { partition, offset, item, .. } = self;
        let item = item.as_ref().map_or_else(|| format!("@{offset}"), ToString::to_string);
        letters.contains(&(format!("{group}|{topic}-{partition}"), item))
    }
}

fn text(row: &HashMap<String, AttributeValue>, name: &str) -> Option<String> {
    row.get(name)?.as_s().ok().cloned()
}

/// No version stands before the one below it.
fn ensure_order(records: &[Found]) -> Result<()> {
    let mut highest = HashMap::new();
    for record in records {
        let (Some(item), Some(version)) = (&record.item, record.version) else { continue };
        let highest = highest.entry(item).or_insert(0);
        ensure!(version <= *highest + 1, "{record:?} stands before version {}", *highest + 1);
        *highest = version.max(*highest);
    }
    Ok(())
}

/// The records of a topic below the furthest of these positions, of each partition in order.
fn records(config: &ClientConfig, topic: &str, committed: &[Committed]) -> Result<Vec<Found>> {
    let mut ends = Committed::new();
    for (partition, end) in committed.iter().flatten() {
        let furthest = ends.entry(*partition).or_insert(*end);
        *furthest = *end.max(furthest);
    }
    read_below(config, topic, ends, Found::of)
}

/// What the group has committed of the topic.
fn committed(config: &ClientConfig, group: &str, topic: &str) -> Result<Committed> {
    let consumer: BaseConsumer = config.clone().set("group.id", group).create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let partitions = metadata.topics().first().context("no such topic")?.partitions();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition.id());
    }
    let committed = consumer.committed_offsets(list, PATIENCE)?;
    let committed = committed.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(end @ 1..) => Some((element.partition(), end)),
        _ => None,
    });
    Ok(committed.collect())
}
