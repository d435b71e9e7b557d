//! `GET /v1/{tenant}/views/{view}`: rows of a view in Postgres, filtered and sorted, a page at a time.
//!
//! Columns are those of the live generation, as the registry has it: a model that differs is not live yet.

use std::sync::Arc;

use aqueduct_model::{ColumnType, Type, View};
use aqueduct_views::ReadError;
use aqueduct_views::postgres::select::{OWN_COLUMNS, Operator, Row, columns};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::openapi::{self, Operation};
use crate::problem::{Problem, Result};
use crate::reads::waiting::Store;
use crate::reads::{PROBLEMS, named};
use crate::request::context::Context;
use crate::request::freshness::AtLeast;
use crate::request::path::ViewPath;
use crate::request::query::Query;
use crate::request::selection;

/// Bytes of most rows.
const ROOM: usize = 512;

/// A page of rows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rows {
    rows: Vec<Row>,
    next_cursor: Option<String>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    path: ViewPath,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    Context(origin): Context,
) -> Result<impl IntoResponse> {
    let tables = &api.reads.tables;
    let generations = tables.consumed().await?;
    let generation = named(&generations, &path.view, "Postgres")?;
    let columns: Vec<_> = generation.definition.postgres.iter().flat_map(columns).collect();
    let mut selection = selection::read(&path.tenant, &path.view, &columns, &parameters)?;
    let at_least = AtLeast::read(&path.tenant, selection.token.as_deref(), &headers)?;
    api.until_held(Store::Postgres, generation, &at_least).await?;
    selection.select.own = api.own_rows(&origin.caller, &path.tenant, generation).await?;
    let page = match tables.select(&selection.select, &path.tenant).await {
        // A value of the caller's that no column takes: the worker will set it aside, and the view goes on without.
        Err(ReadError::Refused(_)) if !selection.select.own.is_empty() => {
            selection.select.own.clear();
            tables.select(&selection.select, &path.tenant).await?
        }
        read => read?,
    };
    let next_cursor = page.next.map(|keys| selection.query.cursor(&keys));
    // A page is a few thousand small writes, which a buffer that has room for all takes best.
    let mut body = Vec::with_capacity(page.rows.len().saturating_add(1).saturating_mul(ROOM));
    serde_json::to_writer(&mut body, &Rows { rows: page.rows, next_cursor })
        .map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body))
}

/// The operation for a view that has a table.
pub(crate) fn operation(of: &Type, view: &View) -> Option<Value> {
    let columns: Vec<(&str, ColumnType)> = columns(view.postgres.as_ref()?).collect();
    let row: Map<String, Value> = columns
        .iter()
        .map(|(name, column_type)| {
            let mut schema = schema(*column_type);
            if let (Some(one), false) = (schema["type"].as_str().map(str::to_owned), is_own(name)) {
                schema["type"] = json!([one, "null"]);
            }
            ((*name).to_owned(), schema)
        })
        .collect();
    let row = json!({ "type": "object", "properties": row });
    let mut operation = Operation {
        name: "view",
        summary: "Read rows of a view",
        description: "From Postgres, as sync-rds has seen them: a write is here a moment later, and a deleted item is not. \
                      `nextCursor` of a page is `cursor` of the next; null ends it. A row shows the columns that `fields` \
                      names, all by default. Null sorts as if it were larger than any value.",
        parameters: &["tenant", "limit", "cursor", "sort", "fields", "token", "prefer"],
        body: None,
        success: ("200", openapi::page("A page of rows", ("rows", row), ("nextCursor", "string"))),
        problems: &PROBLEMS,
    }
    .to_json(of);
    operation["operationId"] = format!("view-{}", view.name).into();
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.extend(columns.iter().map(|(name, column_type)| filter(name, *column_type)));
    }
    Some(operation)
}

fn is_own(name: &str) -> bool {
    OWN_COLUMNS.iter().any(|(own, _)| *own == name)
}

/// One parameter a column, with what can be compared.
fn filter(name: &str, column_type: ColumnType) -> Value {
    let operators = Operator::ALL.into_iter().filter(|operator| operator.applies_to(column_type));
    let properties: Map<String, Value> = operators
        .map(|operator| {
            let schema = match operator {
                Operator::Null => json!({ "type": "boolean" }),
                Operator::In => {
                    json!({ "type": "string", "description": "Values between commas; `\\,` is a comma" })
                }
                Operator::Contains => json!({ "type": "string", "contentMediaType": "application/json" }),
                _ => schema(column_type),
            };
            (operator.name().to_owned(), schema)
        })
        .collect();
    let equal = if Operator::Eq.applies_to(column_type) {
        format!("; `filter[{name}]=…` is short for `filter[{name}][eq]=…`")
    } else {
        String::new()
    };
    json!({
        "name": format!("filter[{name}]"),
        "in": "query",
        "style": "deepObject",
        "explode": true,
        "description": format!("Rows whose {name} compares so{equal}"),
        "schema": { "type": "object", "additionalProperties": false, "properties": properties },
    })
}

/// A value of the type in JSON.
fn schema(column_type: ColumnType) -> Value {
    match column_type {
        ColumnType::Text => json!({ "type": "string" }),
        ColumnType::Bigint => json!({ "type": "integer", "format": "int64" }),
        ColumnType::Integer => json!({ "type": "integer", "format": "int32" }),
        ColumnType::Boolean => json!({ "type": "boolean" }),
        ColumnType::Numeric { .. } => json!({ "type": "string", "format": "decimal" }),
        ColumnType::DoublePrecision => json!({ "type": "number", "format": "double" }),
        ColumnType::Timestamptz => json!({ "type": "string", "format": "date-time" }),
        ColumnType::Date => json!({ "type": "string", "format": "date" }),
        ColumnType::Uuid => json!({ "type": "string", "format": "uuid" }),
        ColumnType::Jsonb => json!({}),
    }
}
