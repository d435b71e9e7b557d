//! `PUT /v1/{tenant}/{type}/{id}`: replaces all attributes of an item.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_contract::{Attributes, Version};
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::openapi::{self, Operation};
use crate::problem::{Code, Result};
use crate::request::body::Body;
use crate::request::context::Context;
use crate::request::path::ItemPath;
use crate::request::precondition::Precondition;
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Update {
    attributes: Attributes,
    #[serde(default)]
    version: Option<Version>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Context(origin): Context,
    headers: HeaderMap,
    Body(body): Body<Update>,
) -> Result<Response> {
    let of = api.type_named(key.type_name())?;
    let precondition = Precondition::of(&headers, body.version)?;
    let command = Command::Update { attributes: body.attributes };
    let event = api.write(of, &key, &command, &precondition, &origin).await?;
    Ok(answer::ok(&event.item))
}

pub(crate) fn operation(of: &Type) -> Value {
    let body = openapi::change(openapi::attributes_of(of));
    Operation {
        name: "update",
        summary: "Replace all attributes of an item",
        description: "What the body does not name is gone, unless it has a default.",
        parameters: &["tenant", "id", "ifMatch"],
        body: Some((&["application/json"], body)),
        success: ("200", openapi::item_response(of)),
        problems: &[
            Code::JsonInvalid,
            Code::BodyInvalid,
            Code::BodyIncomplete,
            Code::VersionTwice,
            Code::ItemNotFound,
            Code::VersionConflict,
            Code::WriteContended,
            Code::PreconditionFailed,
            Code::BodyTooLarge,
            Code::EventTooLarge,
            Code::MediaTypeUnsupported,
            Code::AttributesInvalid,
        ],
    }
    .to_json(of)
}
