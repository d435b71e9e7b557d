//! `GET /v1/{tenant}/{type}`: the items of a type by sort key, a page at a time.
//!
//! Read from `data`, which the projector keeps: a write is in it a moment later, a deleted item is not.

use std::sync::Arc;

use aqueduct_contract::{Item, ItemKey};
use aqueduct_model::Type;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openapi::{self, Operation};
use crate::problem::{Code, Problem, Result};
use crate::request::context::Context;
use crate::request::path::TypePath;
use crate::request::query::{Limit, Query, from_text};
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    #[serde(default, deserialize_with = "from_text")]
    limit: Option<Limit>,
    #[serde(default, rename = "startFromSk")]
    start_from_sk: Option<String>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    path: TypePath,
    Query(query): Query<List>,
    Context(origin): Context,
) -> Result<Json<Value>> {
    api.type_named(&path.type_name)?;
    let Limit(limit) = query.limit.unwrap_or(Limit::DEFAULT);
    let start = query.start_from_sk.as_deref();
    if let Some(sk) = start {
        // Only a key of this very tenant and type, so that a cursor leads nowhere else.
        let pk = format!("{}#{}", path.tenant, path.type_name);
        ItemKey::from_pk_sk(&pk, sk).map_err(|_| {
            Problem::new(
                Code::CursorInvalid,
                "startFromSk is not a sort key of this type; send back nextStartFromSk, percent-encoded (# is %23)",
            )
        })?;
    }
    let own = api.own_items(&origin.caller, &path.tenant, &path.type_name).await?;
    let page = api.data.list(&path.tenant, &path.type_name, limit, start).await?;
    let items: Vec<Value> = merged(own, page.items, start.is_none()).iter().map(answer::item).collect();
    Ok(Json(json!({ "items": items, "nextStartFromSk": page.next })))
}

/// The caller's own writes over what the read table holds: updates in place, deleted items left out, and before the `first`
/// page those that were created.
fn merged(own: Vec<(Item, bool)>, held: Vec<Item>, first: bool) -> Vec<Item> {
    let newer = |item: &Item| {
        own.iter().map(|(own, _)| own).find(|own| own.key == item.key && own.version > item.version)
    };
    let created = own.iter().filter(|(item, listed)| first && !listed && !item.deleted);
    let mut items: Vec<Item> = created.map(|(item, _)| item.clone()).collect();
    let begin = items.len();
    for item in held {
        // What was created may have come into the table in between.
        if items[..begin].iter().all(|created| created.key != item.key) {
            items.push(newer(&item).cloned().unwrap_or(item));
        }
    }
    items.retain(|item| !item.deleted);
    items
}

pub(crate) fn operation(of: &Type) -> Value {
    Operation {
        name: "list",
        summary: "List items",
        description: "By id, without the deleted ones, as the projector has seen them: a write is here a moment \
                      later. `nextStartFromSk` of a page is `startFromSk` of the next; null ends it. A page may hold \
                      fewer than `limit` before the end.",
        parameters: &["tenant", "limit", "startFromSk"],
        body: None,
        success: ("200", openapi::page("A page of items", ("items", openapi::item_of(of)), ("nextStartFromSk", "string"))),
        problems: &[Code::QueryInvalid, Code::CursorInvalid],
    }
    .to_json(of)
}
