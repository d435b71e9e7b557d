//! The public SQL views, as a user would query them.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use super::Stores;
use crate::drive::expected::{Difference, Expectation, Identity, compare_all, living};
use crate::drive::shop;

/// Every living item has its row, a deleted one has none.
pub(super) async fn rows(stores: &Stores, expected: &Expectation) -> anyhow::Result<Vec<Difference>> {
    let mut found: BTreeMap<Identity, Value> = BTreeMap::new();
    for shown in &shop::SHOWN {
        let query = format!("SELECT id, to_jsonb(v) AS row FROM {} v WHERE tenant = $1", shown.view);
        for row in sqlx::query(AssertSqlSafe(query)).bind(&stores.tenant).fetch_all(&stores.postgres).await? {
            found.insert((shown.type_name.to_owned(), row.try_get("id")?), row.try_get("row")?);
        }
    }
    Ok(compare_all("postgres", &living(expected), &found, |(type_name, _), expected, row| {
        if row["item_version"] != expected.version {
            return Some(format!("version {}, expected {}", row["item_version"], expected.version));
        }
        let wrong = shop::columns(type_name, &expected.attributes)
            .into_iter()
            .find(|(column, value)| row[*column] != *value);
        wrong.map(|(column, value)| format!("column {column} is {}, expected {value}", row[column]))
    }))
}
