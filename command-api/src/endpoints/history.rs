//! `GET /v1/{tenant}/{type}/{id}/history`: every version of an item, oldest first, a page at a time.

use std::sync::Arc;

use aqueduct_contract::Version;
use aqueduct_model::Type;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openapi::{self, Operation};
use crate::problem::{Code, Problem, Result};
use crate::request::path::ItemPath;
use crate::request::query::{Limit, Query, from_text};
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    #[serde(default, deserialize_with = "from_text")]
    after: Option<Version>,
    #[serde(default, deserialize_with = "from_text")]
    limit: Option<Limit>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Query(query): Query<History>,
) -> Result<Json<Value>> {
    api.type_named(key.type_name())?;
    let Limit(limit) = query.limit.unwrap_or(Limit::DEFAULT);
    let latest = api.events.latest(&key).await?;
    let latest = latest.ok_or_else(|| Problem::new(Code::ItemNotFound, "there never was such an item"))?;
    let events = api.events.history(&key, query.after, limit).await?;
    // A page may be short when versions are large, so its length does not tell whether it is the last one.
    let last = events.last().map(|event| event.item.version);
    let next = last.filter(|last| *last < latest.item.version);
    let versions: Vec<Value> = events.iter().map(answer::version).collect();
    Ok(Json(json!({ "versions": versions, "nextAfter": next })))
}

pub(crate) fn operation(of: &Type) -> Value {
    Operation {
        name: "history",
        summary: "Read an item's versions",
        description: "Oldest first, also those of an item that was deleted. `nextAfter` of a page is `after` of the \
                      next; null ends it.",
        parameters: &["tenant", "id", "after", "limit"],
        body: None,
        success: ("200", openapi::page("A page of versions", ("versions", openapi::version_of(of)), ("nextAfter", "integer"))),
        problems: &[Code::QueryInvalid, Code::ItemNotFound],
    }
    .to_json(of)
}
