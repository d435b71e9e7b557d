//! The event log and the read table, by plain queries.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::Stores;
use crate::drive::expected::{Difference, Expectation, Expected, Identity, compare_all};

type Row = HashMap<String, AttributeValue>;

/// Every item's log must be 1, 2 … up to the answered version, and end as answered.
pub(super) async fn events(stores: &Stores, expected: &Expectation) -> anyhow::Result<Vec<Difference>> {
    let logs = stream::iter(expected).map(|(identity, expected)| log(stores, identity, expected));
    let found: Vec<Option<Difference>> = logs.buffer_unordered(16).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn log(
    stores: &Stores,
    identity: &Identity,
    expected: &Expected,
) -> anyhow::Result<Option<Difference>> {
    let (type_name, id) = identity;
    let item = format!("{}#{type_name}|{type_name}#{id}", stores.tenant);
    let rows: Vec<Row> = stores
        .dynamodb
        .query()
        .table_name(format!("{}-events", stores.prefix))
        .key_condition_expression("#item = :item")
        .expression_attribute_names("#item", "item")
        .expression_attribute_values(":item", AttributeValue::S(item))
        .consistent_read(true)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<_, _>>()
        .await?;
    let versions: Vec<u64> = rows.iter().map(|row| number(row, "version")).collect::<anyhow::Result<_>>()?;
    let difference = |what: String| Some(Difference { store: "events", item: identity.clone(), what });
    if versions != (1..=expected.version).collect::<Vec<_>>() {
        return Ok(difference(format!("versions {versions:?}, expected 1 to {}", expected.version)));
    }
    if let Some(row) = rows.iter().find(|row| row.contains_key("outbox")) {
        return Ok(difference(format!("version {} is not published", number(row, "version")?)));
    }
    let last = rows.last().and_then(|row| row.get("value")).and_then(|value| value.as_s().ok());
    let last: Value = serde_json::from_str(last.context("an event without a value")?)?;
    let same = last["item"]["attributes"] == Value::Object(expected.attributes.clone())
        && last["item"]["deleted"] == expected.deleted;
    Ok(if same { None } else { difference(format!("the last event says {}", last["item"])) })
}

/// The read table, whole: deleted items stay in it, marked.
pub(super) async fn data(stores: &Stores, expected: &Expectation) -> anyhow::Result<Vec<Difference>> {
    let mut found: BTreeMap<Identity, Expected> = BTreeMap::new();
    let mut rows = stores
        .dynamodb
        .scan()
        .table_name(format!("{}-data", stores.prefix))
        .consistent_read(true)
        .filter_expression("begins_with(pk, :tenant)")
        .expression_attribute_values(":tenant", AttributeValue::S(format!("{}#", stores.tenant)))
        .into_paginator()
        .items()
        .send();
    while let Some(row) = rows.next().await {
        let row = row?;
        let sk = row.get("sk").and_then(|sk| sk.as_s().ok()).context("a row without sk")?;
        let (type_name, id) = sk.split_once('#').context("a sort key without a type")?;
        let attributes = row.get("attributes").map(json).context("a row without attributes")?;
        let expected = Expected {
            version: number(&row, "item_version")?,
            attributes: attributes.as_object().cloned().unwrap_or_default(),
            deleted: row.get("deleted") == Some(&AttributeValue::Bool(true)),
        };
        found.insert((type_name.to_owned(), id.to_owned()), expected);
    }
    Ok(compare_all("data", expected, &found, |_, expected, found| {
        (expected != found).then(|| format!("{found:?}, expected {expected:?}"))
    }))
}

fn number(row: &Row, name: &str) -> anyhow::Result<u64> {
    let digits = row.get(name).and_then(|value| value.as_n().ok());
    Ok(digits.with_context(|| format!("a row without {name}"))?.parse()?)
}

fn json(attribute: &AttributeValue) -> Value {
    match attribute {
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::N(digits) => digits.parse().map_or(Value::Null, Value::Number),
        AttributeValue::Bool(flag) => Value::Bool(*flag),
        AttributeValue::L(elements) => elements.iter().map(json).collect(),
        AttributeValue::M(entries) => Value::Object(
            entries.iter().map(|(name, value)| (name.clone(), json(value))).collect::<Map<_, _>>(),
        ),
        _ => Value::Null,
    }
}
