//! The bounds: what a loop does that is written by hand for one topic and one store, with neither engine nor model.

pub(crate) mod loads;
pub(crate) mod tables;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aqueduct_contract::{Event, Names};
use aqueduct_store::{DataTable, setup};
use aqueduct_views::opensearch;
use aqueduct_views::postgres::ddl::FILL;
use futures::stream::{StreamExt, TryStreamExt};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

use crate::measured::{Measured, Site};

/// Records of a batch: what Postgres takes most of, by trials.
const BATCH: usize = 5000;
/// Batches in flight: Postgres takes no more with four.
const IN_FLIGHT: usize = 2;
/// The status of a document that another batch has written in a later version.
const OVERTAKEN: u64 = 409;
/// As many as the projector has by default: four lanes of sixteen.
const PUTS_IN_FLIGHT: usize = 64;

/// Reads every record of the topic.
fn read(site: &Site, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<Duration> {
    let settings = site.settings()?;
    let topic = site.load.topic(&Names::new(&settings.prefix))?;
    let mut config = settings.kafka.client_config();
    // It is no member of its group and commits nothing.
    config.set("group.id", "bare").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut all = TopicPartitionList::new();
    for partition in 0..site.load.partitions {
        all.add_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    let mut begun = None;
    for number in 0..site.load.events() {
        let message = consumer.poll(Duration::from_secs(30));
        let message = message.with_context(|| format!("the topic ended after {number} events"))??;
        begun.get_or_insert_with(Instant::now);
        each(message.payload().context("no value")?)?;
    }
    Ok(begun.map(|begun| begun.elapsed()).unwrap_or_default())
}

/// Parses every event, on one thread.
pub(crate) fn parse(site: &Site) -> Result<Measured> {
    let took = read(site, |value| {
        std::hint::black_box(Event::from_json(value)?);
        Ok(())
    })?;
    Measured::of_this_process(site, took)
}

/// Of an event what a row or document has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order<'a> {
    pk: &'a str,
    sk: &'a str,
    version: i64,
    created_at: &'a str,
    #[serde(borrow)]
    item: OrderItem<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderItem<'a> {
    deleted: bool,
    created_at: &'a str,
    #[serde(borrow)]
    attributes: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderAttributes<'a> {
    customer_id: &'a str,
    customer_name: &'a str,
    status: &'a str,
    currency: &'a str,
    total: &'a str,
    lines: i32,
    placed_on: &'a str,
    express: bool,
    #[serde(borrow)]
    items: &'a RawValue,
}

impl<'a> Order<'a> {
    fn tenant(&self) -> &'a str {
        self.pk.split('#').next().unwrap_or_default()
    }

    fn id(&self) -> &'a str {
        self.sk.split_once('#').map_or(self.sk, |(_, id)| id)
    }
}

/// One batch of rows.
#[derive(Default)]
struct Rows(Vec<Row>);

struct Row {
    tenant: String,
    id: String,
    item_version: i64,
    deleted: bool,
    created_at: String,
    updated_at: String,
    customer_id: String,
    customer_name: String,
    status: String,
    currency: String,
    total: String,
    lines: i32,
    placed_on: String,
    express: bool,
    items: String,
}

impl Row {
    fn of(order: &Order<'_>) -> Result<Row> {
        let attributes: OrderAttributes<'_> = serde_json::from_str(order.item.attributes.get())?;
        Ok(Row {
            tenant: order.tenant().into(),
            id: order.id().into(),
            item_version: order.version,
            deleted: order.item.deleted,
            created_at: order.item.created_at.into(),
            updated_at: order.created_at.into(),
            customer_id: attributes.customer_id.into(),
            customer_name: attributes.customer_name.into(),
            status: attributes.status.into(),
            currency: attributes.currency.into(),
            total: attributes.total.into(),
            lines: attributes.lines,
            placed_on: attributes.placed_on.into(),
            express: attributes.express,
            items: attributes.items.get().into(),
        })
    }
}

const UPSERT: &str = "INSERT INTO bare AS t \
     SELECT c1, c2, c3, c4, c5::timestamptz, c6::timestamptz, c7, c8, c9, c10, c11::numeric, c12, c13::date, c14, c15::jsonb \
     FROM (SELECT unnest($1::text[]) AS c1, unnest($2::text[]) AS c2, unnest($3::bigint[]) AS c3, unnest($4::boolean[]) AS c4, \
       unnest($5::text[]) AS c5, unnest($6::text[]) AS c6, unnest($7::text[]) AS c7, unnest($8::text[]) AS c8, \
       unnest($9::text[]) AS c9, unnest($10::text[]) AS c10, unnest($11::text[]) AS c11, unnest($12::integer[]) AS c12, \
       unnest($13::text[]) AS c13, unnest($14::boolean[]) AS c14, unnest($15::text[]) AS c15) AS s \
     ON CONFLICT (tenant, id) DO UPDATE SET item_version = excluded.item_version, deleted = excluded.deleted, \
       created_at = excluded.created_at, updated_at = excluded.updated_at, customer_id = excluded.customer_id, \
       customer_name = excluded.customer_name, status = excluded.status, currency = excluded.currency, total = excluded.total, \
       lines = excluded.lines, placed_on = excluded.placed_on, express = excluded.express, items = excluded.items \
     WHERE t.item_version < excluded.item_version";

impl Rows {
    async fn write(mut self, pool: &sqlx::PgPool) -> Result<()> {
        let Rows(rows) = &mut self;
        rows.sort_unstable_by(|one, other| (&one.tenant, &one.id).cmp(&(&other.tenant, &other.id)));
        let text = |value: fn(&Row) -> &str| rows.iter().map(value).collect::<Vec<_>>();
        sqlx::query(UPSERT)
            .bind(text(|row| &row.tenant))
            .bind(text(|row| &row.id))
            .bind(rows.iter().map(|row| row.item_version).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.deleted).collect::<Vec<_>>())
            .bind(text(|row| &row.created_at))
            .bind(text(|row| &row.updated_at))
            .bind(text(|row| &row.customer_id))
            .bind(text(|row| &row.customer_name))
            .bind(text(|row| &row.status))
            .bind(text(|row| &row.currency))
            .bind(text(|row| &row.total))
            .bind(rows.iter().map(|row| row.lines).collect::<Vec<_>>())
            .bind(text(|row| &row.placed_on))
            .bind(rows.iter().map(|row| row.express).collect::<Vec<_>>())
            .bind(text(|row| &row.items))
            .execute(pool)
            .await?;
        Ok(())
    }
}

/// Reads on a thread of its own, by `produce`, and works on what that sends, `in_flight` at a time.
async fn pipeline<Work, Done>(
    site: &Site,
    in_flight: usize,
    produce: impl FnOnce(&Site, mpsc::Sender<Work>) -> Result<Duration> + Send + 'static,
    work: impl FnMut(Work) -> Done,
) -> Result<Measured>
where
    Work: Send + 'static,
    Done: Future<Output = Result<()>>,
{
    let (send, receive) = mpsc::channel(1);
    let reading = site.clone();
    let begun = Instant::now();
    let reader = tokio::task::spawn_blocking(move || {
        let took = produce(&reading, send)?;
        // How long it was to the first record.
        anyhow::Ok(begun.elapsed() - took)
    });
    let sent = futures::stream::unfold(receive, async |mut receive| Some((receive.recv().await?, receive)));
    sent.map(work).buffer_unordered(in_flight).try_collect::<()>().await?;
    let took = begun.elapsed() - reader.await??;
    Measured::of_this_process(site, took)
}

/// Writes batches of orders.
async fn write<Batch, Written>(
    site: &Site,
    mut add: impl FnMut(&mut Batch, &Order<'_>) -> Result<()> + Send + 'static,
    write: impl FnMut(Batch) -> Written,
) -> Result<Measured>
where
    Batch: Default + Send + Sync + 'static,
    Written: Future<Output = Result<()>>,
{
    // One statement takes no item twice, and a partition has each of its items once a pass.
    let size = BATCH.min(usize::try_from(site.load.items / u64::try_from(site.load.partitions)?)?);
    let produce = move |site: &Site, send: mpsc::Sender<Batch>| {
        let (mut batch, mut count) = (Batch::default(), 0);
        let took = read(site, |value| {
            add(&mut batch, &serde_json::from_slice(value)?)?;
            count += 1;
            if count == size {
                count = 0;
                send.blocking_send(std::mem::take(&mut batch))?;
            }
            Ok(())
        })?;
        send.blocking_send(batch)?;
        Ok(took)
    };
    pipeline(site, IN_FLIGHT, produce, write).await
}

/// Writes rows into a table like ours.
pub(crate) async fn rows(site: &Site) -> Result<Measured> {
    let pool = site.settings()?.postgres.connect_lazy()?;
    // `LIKE` leaves out how far pages are filled.
    let create = format!("CREATE TABLE bare (LIKE orders__g1 INCLUDING ALL) WITH (fillfactor = {FILL})");
    // Nothing in it is from outside.
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&pool).await?;
    let add = |rows: &mut Rows, order: &Order<'_>| {
        rows.0.push(Row::of(order)?);
        Ok(())
    };
    let measured = write(site, add, async |rows: Rows| rows.write(&pool).await).await?;
    drop_table(&pool).await?;
    Ok(measured)
}

/// Leaves Postgres no work with what the bound wrote, while ours is measured.
async fn drop_table(pool: &sqlx::PgPool) -> Result<()> {
    sqlx::raw_sql("DROP TABLE bare").execute(pool).await?;
    Ok(())
}

/// Posts documents to an index like ours.
pub(crate) async fn documents(site: &Site) -> Result<Measured> {
    let opensearch = site.settings()?.opensearch;
    let index = Index::make(&opensearch, &opensearch.refresh_interval).await?;
    let measured = write(site, add_document, async |body: String| index.post(body).await).await?;
    index.delete().await?;
    Ok(measured)
}

/// Adds an order to the body of a bulk request.
fn add_document(body: &mut String, order: &Order<'_>) -> Result<()> {
    use std::fmt::Write;
    let (tenant, id) = (order.tenant(), order.id());
    Ok(writeln!(
        body,
        r#"{{"index":{{"_id":"{tenant}|{id}","version":{version},"version_type":"external"}}}}
{{"tenant":"{tenant}","id":"{id}","item_version":{version},"deleted":{deleted},"created_at":"{created}","updated_at":"{updated}","document":{document}}}"#,
        version = order.version,
        deleted = order.item.deleted,
        created = order.item.created_at,
        updated = order.created_at,
        document = order.item.attributes.get(),
    )?)
}

/// An index like ours.
struct Index {
    client: reqwest::Client,
    url: String,
}

impl Index {
    async fn make(opensearch: &opensearch::Settings, refresh_interval: &str) -> Result<Index> {
        let (client, url) =
            (reqwest::Client::new(), format!("{}/{}bare", opensearch.url, opensearch.index_prefix));
        let ours = format!("{}/{}orders/_mapping", opensearch.url, opensearch.index_prefix);
        let ours: Value = client.get(ours).send().await?.error_for_status()?.json().await?;
        let mappings =
            ours.as_object().and_then(|indexes| indexes.values().next()).context("no index")?["mappings"]
                .clone();
        let settings = json!({
            "index.refresh_interval": refresh_interval,
            "number_of_shards": opensearch.shards,
            "number_of_replicas": opensearch.replicas,
        });
        let made = client.put(&url).json(&json!({ "settings": settings, "mappings": mappings }));
        made.send().await?.error_for_status()?;
        Ok(Index { client, url })
    }

    /// Leaves OpenSearch no segments to merge while ours is measured.
    async fn delete(&self) -> Result<()> {
        self.client.delete(&self.url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Posts the body of a bulk request.
    async fn post(&self, body: String) -> Result<()> {
        if body.is_empty() {
            return Ok(());
        }
        let url = format!("{}/_bulk?filter_path=items.*.status", self.url);
        let request = self.client.post(url).header("content-type", "application/x-ndjson").body(body);
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let taken = |item: &Value| matches!(item["index"]["status"].as_u64(), Some(200 | 201 | OVERTAKEN));
        ensure!(
            answer["items"].as_array().is_some_and(|items| items.iter().all(taken)),
            "documents were refused"
        );
        Ok(())
    }
}

/// Puts items into a table like ours, on the condition that they are newer.
pub(crate) async fn puts(site: &Site) -> Result<Measured> {
    let client = site.settings()?.dynamodb.connect().await;
    let names = Names::new(format!("{}bare", site.settings()?.prefix));
    setup(&client, &names).await?;
    let table = DataTable::new(client, &names);
    let produce = |site: &Site, send: mpsc::Sender<Event>| {
        read(site, |value| Ok(send.blocking_send(Event::from_json(value)?)?))
    };
    let put = async |event: Event| {
        table.put_if_newer(&event).await?;
        Ok(())
    };
    pipeline(site, PUTS_IN_FLIGHT, produce, put).await
}
