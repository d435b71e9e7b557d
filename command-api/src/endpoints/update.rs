//! `PUT /v1/{tenant}/{type}/{id}`: replaces all attributes of an item.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;

use crate::Api;
use crate::endpoints::change::{self, Change};
use crate::openapi::{self, Operation};
use crate::problem::{Code, Result};
use crate::request::body::Body;
use crate::request::context::Context;
use crate::request::freshness::Wait;
use crate::request::path::ItemPath;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Context(origin): Context,
    wait: Wait,
    headers: HeaderMap,
    Body(body): Body<Change>,
) -> Result<Response> {
    let command = Command::Update { attributes: body.attributes };
    change::make(&api, &key, &command, &headers, body.version, &origin, wait).await
}

pub(crate) fn operation(of: &Type) -> Value {
    let body = openapi::change(openapi::attributes_of(of));
    Operation {
        name: "update",
        summary: "Replace all attributes of an item",
        description: "What the body does not name is gone, unless it has a default.",
        parameters: &["tenant", "id", "ifMatch", "preferOfWrite"],
        body: Some((&["application/json"], body)),
        success: ("200", openapi::item_response(of)),
        problems: &[&change::PROBLEMS[..], &[Code::AttributesInvalid]].concat(),
    }
    .to_json(of)
}
