//! What today's code would write for an item: the sink's mapping on the item's latest version.
//!
//! A column's type is applied by Postgres itself, in a statement that touches no table. What the table and the index say of
//! their own (a constraint that somebody added, a mapping that has grown) shows when it is written, not before.

use anyhow::{Context, Result};
use aqueduct_contract::{Event, ItemKey, Worker, format_time};
use aqueduct_model::{Column, PostgresView};
use aqueduct_service::SettingsFile;
use aqueduct_service::groups::Listed;
use aqueduct_store::{Letter, data};
use aqueduct_views::postgres::{Row, RowMapper, Values};
use aqueduct_views::{Generation, opensearch};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use super::desk::Desk;
use crate::fleet::Chosen;

/// The read models, as the registries list them now.
pub(super) struct Preview {
    groups: Vec<Listed>,
    postgres: PgPool,
}

/// What would be written, or why nothing would.
pub(super) type Written = Result<Value, String>;

impl Preview {
    pub(super) async fn new(desk: &Desk, file: &SettingsFile) -> Result<Preview> {
        let chosen = Chosen { file: file.clone(), worker: None, group: None };
        Ok(Preview { groups: chosen.load().await?.groups, postgres: desk.settings.postgres.connect_lazy()? })
    }

    /// Of the letter's group, for the latest event of its item.
    pub(super) async fn of(&self, letter: &Letter, latest: Option<&Event>) -> Result<Written> {
        let Some(event) = latest else {
            return Ok(Err("the store has no event of it: it can only be discarded".to_owned()));
        };
        let Some(listed) = self.groups.iter().find(|listed| listed.group.id == letter.group) else {
            return Ok(Err("no registry lists its group any more: it can only be discarded".to_owned()));
        };
        let key = &event.item.key;
        if let Some(Err(foreign)) = listed.generation.as_ref().map(|generation| generation.check_type(key)) {
            return Ok(Err(foreign.to_string()));
        }
        match (listed.group.worker, &listed.generation) {
            (Worker::Projector, _) => Ok(stored(event)),
            (Worker::SyncRds, Some(Generation { definition, .. })) => {
                let view = definition.postgres.as_ref().context("a generation without columns")?;
                match RowMapper::new(view).row(&event.item.to_raw()?) {
                    Ok(row) => self.cast(view, row, key).await,
                    Err(error) => Ok(Err(error.to_string())),
                }
            }
            (_, Some(Generation { definition, .. })) => {
                let view = definition.opensearch.as_ref().context("a generation without a document")?;
                let item = event.item.to_raw()?;
                let document = opensearch::document(view, &item).map_err(|error| error.to_string());
                Ok(document
                    .and_then(|document| serde_json::to_value(document).map_err(|error| error.to_string())))
            }
            (_, None) => Ok(Err("a group that keeps nothing".to_owned())),
        }
    }

    /// The row with its columns as Postgres would hold them.
    async fn cast(&self, view: &PostgresView, row: Row<'_>, key: &ItemKey) -> Result<Written> {
        let columns = match self.cast_rows(&view.columns, std::slice::from_ref(&row.values)).await? {
            Ok(mut rows) => rows.pop(),
            Err(error) => return Ok(Err(error)),
        };
        let mut written = json!({
            "tenant": key.tenant(),
            "id": key.id(),
            "item_version": row.item_version,
            "deleted": row.deleted,
            "columns": columns,
        });
        for (child, rows) in view.children.iter().zip(&row.children) {
            match self.cast_rows(&child.columns, rows).await? {
                Ok(rows) => written["children"][&child.name] = rows.into(),
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(written))
    }

    /// What `columns` would hold of each of `rows`.
    async fn cast_rows(&self, columns: &[Column], rows: &[Values<'_>]) -> Result<Result<Vec<Value>, String>> {
        let numbered = || columns.iter().enumerate();
        let casts: Vec<String> =
            numbered().map(|(index, column)| format!(", c{index}::{}::text", column.column_type)).collect();
        let arrays: Vec<String> = numbered().map(|(index, _)| format!(", ${}::text[]", index + 2)).collect();
        let aliases: Vec<String> = numbered().map(|(index, _)| format!(", c{index}")).collect();
        // Types of columns come from a closed list, and no name stands in the statement.
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT place{} FROM unnest($1::bigint[]{}) AS s (place{}) ORDER BY place",
            casts.concat(),
            arrays.concat(),
            aliases.concat(),
        )));
        query = query.bind((0_i64..).take(rows.len()).collect::<Vec<_>>());
        for index in 0..columns.len() {
            query = query.bind(rows.iter().map(|row| row[index].as_deref()).collect::<Vec<_>>());
        }
        let cast = match query.fetch_all(&self.postgres).await {
            Ok(cast) => cast,
            Err(sqlx::Error::Database(error)) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error).context("Postgres"),
        };
        let mut shown = Vec::new();
        for row in cast {
            let mut values = Map::new();
            for (index, column) in numbered() {
                values.insert(column.name.clone(), row.try_get::<Option<String>, _>(index + 1)?.into());
            }
            shown.push(Value::Object(values));
        }
        Ok(Ok(shown))
    }
}

fn stored(event: &Event) -> Written {
    let item = data::as_stored(&event.item).map_err(|error| error.to_string())?;
    Ok(json!({
        "pk": item.key.pk(),
        "sk": item.key.sk(),
        "item_version": item.version,
        "deleted": item.deleted,
        "created_at": format_time(item.created_at),
        "created_by": item.created_by,
        "updated_at": format_time(item.updated_at),
        "updated_by": item.updated_by,
        "attributes": item.attributes,
    }))
}
