//! The event store as it is once every event of a topic was written and published.
//!
//! Rows are written in batches, which commands never are: DynamoDB Local takes some thousand writes a second, and ten times as many
//! rows in batches.

use anyhow::{Result, ensure};
use aqueduct_contract::{Names, format_time};
use aqueduct_store::events::Record;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::measured::Site;

/// The most that one request takes.
const BATCH: usize = 25;
const IN_FLIGHT: usize = 8;

/// Writes the rows of all events.
pub(crate) async fn fill(site: &Site) -> Result<()> {
    let settings = site.settings()?;
    let (client, table) = (settings.dynamodb.connect().await, Names::new(&settings.prefix).table("events"));
    let load = &site.load;
    let numbers: Vec<u64> = (0..load.events()).collect();
    stream::iter(numbers.chunks(BATCH))
        .map(|numbers| {
            let rows =
                numbers.iter().map(|number| row(&load.record(number % load.items, number / load.items + 1)?));
            let rows = rows.collect::<Result<Vec<WriteRequest>>>();
            let request = client.batch_write_item();
            let table = &table;
            async move {
                let written = request.request_items(table, rows?).send().await?;
                ensure!(
                    written.unprocessed_items().is_none_or(std::collections::HashMap::is_empty),
                    "rows were not taken"
                );
                anyhow::Ok(())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// A row as the store keeps an event that was published.
fn row(record: &Record) -> Result<WriteRequest> {
    let text = AttributeValue::S;
    let id = record.headers.iter().find(|(name, _)| name == "ce_id").map(|(_, id)| id.clone());
    let put = PutRequest::builder()
        .item("item", text(record.key.to_string()))
        .item("version", AttributeValue::N(record.version.to_string()))
        .item("id", text(id.unwrap_or_default()))
        .item("created_at", text(format_time(record.created_at)))
        .item("correlation", text(format!("{}|bench", record.key.tenant())))
        .item("value", text(record.value.clone()))
        .item("headers", text(serde_json::to_string(&record.headers)?))
        .build()?;
    Ok(WriteRequest::builder().put_request(put).build())
}
