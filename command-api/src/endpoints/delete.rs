//! `DELETE /v1/{tenant}/{type}/{id}`: marks an item deleted. Its versions stay, and this is one of them.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_contract::Version;
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Api;
use crate::endpoints::change;
use crate::openapi::{self, Operation};
use crate::problem::Result;
use crate::request::body::OptionalBody;
use crate::request::context::Context;
use crate::request::freshness::Wait;
use crate::request::path::ItemPath;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delete {
    #[serde(default)]
    version: Option<Version>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Context(origin): Context,
    wait: Wait,
    headers: HeaderMap,
    OptionalBody(body): OptionalBody<Delete>,
) -> Result<Response> {
    change::make(&api, &key, &Command::Delete, &headers, body.version, &origin, wait).await
}

pub(crate) fn operation(of: &Type) -> Value {
    let body = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "version": openapi::expected_version() },
    });
    Operation {
        name: "delete",
        summary: "Delete an item",
        description: "A version like any other, with the last attributes: its history stays, and a create makes the \
                      next version. The body may be left out.",
        parameters: &["tenant", "id", "ifMatch", "preferOfWrite"],
        body: Some((&["application/json"], body)),
        success: ("200", openapi::item_response(of)),
        problems: &change::PROBLEMS,
    }
    .to_json(of)
}
