//! `PATCH /v1/{tenant}/{type}/{id}`: changes some attributes of an item by an RFC 7396 merge patch.
//!
//! The envelope is a merge patch of the item as a GET shows it, of which `attributes` can be changed and `version` is
//! checked; so `application/merge-patch+json` is its honest name. `application/json` is read alike.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_contract::{Attributes, Version};
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openapi::{self, Operation};
use crate::problem::{Code, Result};
use crate::request::body::{self, PatchBody};
use crate::request::context::Context;
use crate::request::path::ItemPath;
use crate::request::precondition::Precondition;
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    attributes: Attributes,
    #[serde(default)]
    version: Option<Version>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    ItemPath(key): ItemPath,
    Context(origin): Context,
    headers: HeaderMap,
    PatchBody(body): PatchBody<Patch>,
) -> Result<Response> {
    let of = api.type_named(key.type_name())?;
    let precondition = Precondition::of(&headers, body.version)?;
    let command = Command::Patch { patch: body.attributes };
    let event = api.write(of, &key, &command, &precondition, &origin).await?;
    Ok(answer::ok(&event.item))
}

pub(crate) fn operation(of: &Type) -> Value {
    let body = openapi::change(json!({ "type": "object", "description": "A merge patch of the attributes" }));
    Operation {
        name: "patch",
        summary: "Change some attributes of an item",
        description: "`attributes` is an RFC 7396 merge patch: null removes a field, an object is merged, anything else replaces.",
        parameters: &["tenant", "id", "ifMatch"],
        body: Some((body::PATCH, body)),
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
