//! `PATCH /v1/{tenant}/{type}/{id}`: changes some attributes of an item by an RFC 7396 merge patch.
//!
//! The envelope is a merge patch of the item as a GET shows it, of which `attributes` can be changed and `version` is
//! checked; so `application/merge-patch+json` is its honest name. `application/json` is read alike.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use crate::Api;
use crate::endpoints::change::{self, Change};
use crate::openapi::{self, Operation};
use crate::problem::{Code, Result};
use crate::request::body::{self, PatchBody};
use crate::request::context::Context;
use crate::request::freshness::Wait;
use crate::request::path::ItemPath;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Context(origin): Context,
    wait: Wait,
    headers: HeaderMap,
    PatchBody(body): PatchBody<Change>,
) -> Result<Response> {
    let command = Command::Patch { patch: body.attributes };
    change::make(&api, &key, &command, &headers, body.version, &origin, wait).await
}

pub(crate) fn operation(of: &Type) -> Value {
    let body = openapi::change(json!({ "type": "object", "description": "A merge patch of the attributes" }));
    Operation {
        name: "patch",
        summary: "Change some attributes of an item",
        description: "`attributes` is an RFC 7396 merge patch: null removes a field, an object is merged, anything else replaces.",
        parameters: &["tenant", "id", "ifMatch", "preferOfWrite"],
        body: Some((body::PATCH, body)),
        success: ("200", openapi::item_response(of)),
        problems: &[&change::PROBLEMS[..], &[Code::AttributesInvalid]].concat(),
    }
    .to_json(of)
}
