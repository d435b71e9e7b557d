//! The bounds of reads: whole tables, and the queries that requests become, through the clients that the fleet has.

use std::time::Instant;

use anyhow::{Result, ensure};
use aqueduct_contract::Names;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::stream::TryStreamExt;
use opensearch::SearchParts;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::measured::{Measured, Site};
use crate::reads::{HITS, ROWS, code, each_item};
use crate::topic;

/// Parts of a table, and how many are read at once: as verify does.
const SEGMENTS: i32 = 64;
const READERS: usize = 4;

/// Selects all rows of Postgres, and meanwhile scans all events of DynamoDB.
pub(crate) async fn all(site: &Site) -> Result<Measured> {
    let settings = site.settings()?;
    let (client, table) = (settings.dynamodb.connect().await, Names::new(&settings.prefix).table("events"));
    let pool = settings.postgres.connect_lazy()?;
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let scan = client.scan().table_name(&table).consistent_read(true).total_segments(SEGMENTS);
        readers.spawn(async move {
            let mut items = 0;
            for segment in (0..SEGMENTS).skip(reader).step_by(READERS) {
                let mut pages = scan.clone().segment(segment).into_paginator().send();
                while let Some(page) = pages.try_next().await? {
                    items += u64::try_from(page.items().len())?;
                }
            }
            anyhow::Ok(items)
        });
    }
    let rows = tokio::spawn(async move {
        let (mut all, mut rows) = (sqlx::query("SELECT * FROM orders__g1").fetch(&pool), 0);
        while all.try_next().await?.is_some() {
            rows += 1;
        }
        anyhow::Ok(rows)
    });
    let (mut items, rows) = (0, rows.await??);
    while let Some(of_reader) = readers.join_next().await {
        items += of_reader??;
    }
    let took = begun.elapsed();
    ensure!(items == site.load.items && rows == items, "{items} events and {rows} rows");
    Measured::of_this_process(site, took)
}

/// Reads the latest version of every item.
pub(crate) async fn items(site: &Site) -> Result<Measured> {
    let settings = site.settings()?;
    let (client, table) = (settings.dynamodb.connect().await, Names::new(&settings.prefix).table("events"));
    each_item(site, move |item| {
        let key = format!("acme#ORDER|ORDER#{}", topic::id(item));
        let query = client.query().table_name(&table).key_condition_expression("#item = :item");
        let query = query
            .expression_attribute_names("#item", "item")
            .expression_attribute_values(":item", AttributeValue::S(key))
            .scan_index_forward(false)
            .limit(1)
            .consistent_read(true);
        async move {
            ensure!(query.send().await?.items().len() == 1, "no item {item}");
            Ok(())
        }
    })
    .await
}

const PAGE: &str = "SELECT id, item_version, created_at, updated_at, customer_id, customer_name, status, currency, total, lines, \
     placed_on, express, items FROM orders WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";

/// Reads a page of rows after every item.
pub(crate) async fn pages(site: &Site) -> Result<Measured> {
    let pool = site.settings()?.postgres.connect_lazy()?;
    each_item(site, move |item| {
        let pool = pool.clone();
        async move {
            sqlx::query(PAGE)
                .bind("acme")
                .bind(topic::id(item))
                .bind(i64::try_from(ROWS)?)
                .fetch_all(&pool)
                .await?;
            Ok(())
        }
    })
    .await
}

/// Searches for what every item has.
pub(crate) async fn searches(site: &Site) -> Result<Measured> {
    let settings = site.settings()?.opensearch;
    let (client, alias) = (settings.client()?, format!("{}orders", settings.index_prefix));
    each_item(site, move |item| {
        let body = json!({
            "query": { "bool": {
                "must": [{ "match": { "document.items.code": { "query": code(item), "operator": "and" } } }],
                "filter": [{ "term": { "tenant": "acme" } }, { "term": { "deleted": false } }],
            } },
            "sort": [{ "_score": { "order": "desc" } }, { "id": { "order": "asc" } }],
            "track_scores": true,
            "size": HITS,
            "_source": ["id", "item_version", "created_at", "updated_at", "document"],
        });
        let (client, alias) = (client.clone(), alias.clone());
        async move {
            let found = client.search(SearchParts::Index(&[alias.as_str()])).body(body).send().await?;
            let found: Value = found.error_for_status_code()?.json().await?;
            ensure!(found["hits"]["total"]["value"] != 0, "nothing is found of {item}");
            Ok(())
        }
    })
    .await
}
