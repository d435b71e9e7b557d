//! The bounds of rebuilds: one thread reads and parses the topic and keeps of each item what its last version is written as; then all
//! of that is written in one go.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::stream::{StreamExt, TryStreamExt};

use super::{BATCH, IN_FLIGHT, Index, Order, OrderAttributes, add_document, drop_table, read};
use crate::measured::{Measured, Site};

/// Bytes that are sent to Postgres at once.
const CHUNK: usize = 1 << 20;

/// Of each item its last version, as `add` writes it.
async fn last_versions(
    site: &Site,
    add: fn(&mut String, &Order<'_>) -> Result<()>,
) -> Result<impl ExactSizeIterator<Item = String>> {
    let site = site.clone();
    let reading = move || {
        let mut by_id: HashMap<String, (i64, String)> = HashMap::new();
        read(&site, |value| {
            let order: Order<'_> = serde_json::from_slice(value)?;
            if !by_id.contains_key(order.id()) {
                by_id.insert(order.id().to_owned(), (0, String::new()));
            }
            let Some((version, text)) = by_id.get_mut(order.id()) else { return Ok(()) };
            if *version < order.version {
                *version = order.version;
                text.clear();
                add(text, &order)?;
            }
            Ok(())
        })?;
        anyhow::Ok(by_id.into_values().map(|(_, text)| text))
    };
    tokio::task::spawn_blocking(reading).await?
}

/// So many of them in one.
fn joined(items: impl Iterator<Item = String>, count: usize) -> impl Iterator<Item = String> {
    let mut items = items.peekable();
    std::iter::from_fn(move || items.peek().is_some().then(|| items.by_ref().take(count).collect()))
}

fn measured(site: &Site, written: usize, took: Duration) -> Result<Measured> {
    Ok(Measured { written: u64::try_from(written)?, ..Measured::of_this_process(site, took)? })
}

/// Copies rows into a table like ours, and makes its key and indexes.
pub(crate) async fn rows(site: &Site) -> Result<Measured> {
    let pool = site.settings()?.postgres.connect_lazy()?;
    sqlx::raw_sql("CREATE TABLE bare (LIKE orders__g1)").execute(&pool).await?;
    let begun = Instant::now();
    let lines = last_versions(site, add_line).await?;
    let count = lines.len();
    let mut connection = pool.acquire().await?;
    let mut copy = connection.copy_in_raw("COPY bare FROM STDIN").await?;
    let mut chunk = String::with_capacity(CHUNK + 1024);
    for line in lines {
        chunk.push_str(&line);
        if chunk.len() >= CHUNK {
            copy.send(chunk.as_bytes()).await?;
            chunk.clear();
        }
    }
    copy.send(chunk.as_bytes()).await?;
    copy.finish().await?;
    // With all indexes that ours has.
    sqlx::raw_sql("ALTER TABLE bare ADD PRIMARY KEY (tenant, id)").execute(&mut *connection).await?;
    let measured = measured(site, count, begun.elapsed())?;
    drop_table(&pool).await?;
    Ok(measured)
}

/// No value of a bench has a byte that stands for something else.
fn add_line(line: &mut String, order: &Order<'_>) -> Result<()> {
    let attributes: OrderAttributes<'_> = serde_json::from_str(order.item.attributes.get())?;
    let OrderAttributes {
        customer_id,
        customer_name,
        status,
        currency,
        total,
        lines,
        placed_on,
        express,
        items,
    } = attributes;
    Ok(writeln!(
        line,
        "{}\t{}\t{}\t{}\t{}\t{}\t{customer_id}\t{customer_name}\t{status}\t{currency}\t{total}\t{lines}\t{placed_on}\t{express}\t{items}",
        order.tenant(),
        order.id(),
        order.version,
        order.item.deleted,
        order.item.created_at,
        order.created_at,
    )?)
}

/// Posts documents to an index like ours that does not refresh before the end.
pub(crate) async fn documents(site: &Site) -> Result<Measured> {
    let index = Index::make(&site.settings()?.opensearch, "-1").await?;
    let begun = Instant::now();
    let documents = last_versions(site, add_document).await?;
    let count = documents.len();
    let posted = futures::stream::iter(joined(documents, BATCH)).map(|body| index.post(body));
    posted.buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
    index.client.post(format!("{}/_refresh", index.url)).send().await?.error_for_status()?;
    let measured = measured(site, count, begun.elapsed())?;
    index.delete().await?;
    Ok(measured)
}
