//! `GET /v1/{tenant}/{type}/{id}`: an item as it stands, at a version, or as of a moment. A consistent read.

use std::sync::Arc;

use aqueduct_contract::{Event, ItemKey, Token, Version};
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::openapi::{self, Operation};
use crate::problem::{Code, Problem, Result};
use crate::request::freshness::AtLeast;
use crate::request::path::ItemPath;
use crate::request::precondition::if_none_match;
use crate::request::query::{Query, from_text};
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Get {
    #[serde(default, deserialize_with = "from_text")]
    version: Option<Version>,
    #[serde(default, deserialize_with = "from_text")]
    as_of: Option<Timestamp>,
    token: Option<String>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Query(query): Query<Get>,
    headers: HeaderMap,
) -> Result<Response> {
    api.type_named(key.type_name())?;
    let held = if_none_match(&headers)?;
    let at_least = AtLeast::read(key.tenant(), query.token.as_deref(), &headers)?;
    if let Some(token) = &at_least.token
        && token.key != key
    {
        return Err(Problem::new(Code::TokenInvalid, "the token is of another item"));
    }
    // The read is consistent: whatever was answered is in it. A version that is not was never written.
    let item = read(&api, &key, &query).await?.item;
    if let Some(Token { version, .. }) = at_least.token
        && item.version < version
        && query.version.is_none()
        && query.as_of.is_none()
    {
        return Err(Problem::new(Code::TokenInvalid, format!("the item has no version {version}")));
    }
    match held {
        Some(tags) if tags.contains(item.version) => Ok(answer::not_modified(item.version)),
        _ => Ok(answer::ok(&item)),
    }
}

async fn read(api: &Api, key: &ItemKey, query: &Get) -> Result<Event> {
    match (query.version, query.as_of) {
        (None, None) => api
            .events
            .latest(key)
            .await?
            .filter(|event| !event.item.deleted)
            .ok_or_else(|| Problem::new(Code::ItemNotFound, "there is no such item, or it was deleted")),
        // A version that deleted the item is a version too, marked as what it is.
        (Some(version), None) => {
            api.events.at(key, version).await?.map(|stored| stored.event).ok_or_else(|| {
                Problem::new(Code::VersionNotFound, format!("the item has no version {version}"))
            })
        }
        (None, Some(moment)) => {
            api.events.as_of(key, moment).await?.filter(|event| !event.item.deleted).ok_or_else(|| {
                Problem::new(Code::VersionNotFound, format!("as of {moment} the item did not exist"))
            })
        }
        (Some(_), Some(_)) => Err(Problem::new(Code::QueryInvalid, "give version or as_of, not both")),
    }
}

pub(crate) fn operation(of: &Type) -> Value {
    Operation {
        name: "get",
        summary: "Read an item",
        description: "Sees every write that was answered. `version` and `as_of` look into the past.",
        parameters: &["tenant", "id", "version", "asOf", "token", "prefer", "ifNoneMatch"],
        body: None,
        success: ("200", openapi::item_response(of)),
        problems: &[Code::QueryInvalid, Code::TokenInvalid, Code::ItemNotFound, Code::VersionNotFound],
    }
    .to_json(of)
}
