//! `POST /v1/{tenant}/{type}`: makes an item, under the given id or the next one of the type's sequence.

use std::sync::Arc;

use aqueduct_commands::Command;
use aqueduct_contract::{Attributes, ItemKey};
use aqueduct_model::Type;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::openapi::{self, Operation};
use crate::problem::{Code, Result};
use crate::request::body::Body;
use crate::request::context::Context;
use crate::request::freshness::Wait;
use crate::request::path::{TypePath, refuse};
use crate::request::precondition::Precondition;
use crate::{Api, answer};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    #[serde(default)]
    id: Option<String>,
    attributes: Attributes,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    path: TypePath,
    Context(origin): Context,
    wait: Wait,
    Body(body): Body<Create>,
) -> Result<Response> {
    let of = api.type_named(&path.type_name)?;
    let event = match body.id {
        Some(id) => {
            let id = id.parse().map_err(refuse)?;
            let key = ItemKey::new(path.tenant, path.type_name, id).map_err(refuse)?;
            let command = Command::Create { attributes: body.attributes };
            api.write(of, &key, &command, &Precondition::default(), &origin).await?
        }
        None => api.create_numbered(of, &path.tenant, body.attributes, &origin).await?,
    };
    let waited = api.waited(&event.item, wait).await;
    Ok(answer::written(&event.item, StatusCode::CREATED, waited))
}

pub(crate) fn operation(of: &Type) -> Value {
    let (id, required): (_, &[_]) = match of.sequence {
        Some(_) => ("The item's id; when left out, the next one of the sequence", &["attributes"]),
        None => ("The item's id", &["id", "attributes"]),
    };
    let body = json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "description": id },
            "attributes": openapi::attributes_of(of),
        },
    });
    let mut created = openapi::item_response(of);
    created["headers"]["Location"] = openapi::reference("headers", "Location");
    Operation {
        name: "create",
        summary: "Create an item",
        description: "An item that exists is not changed. Creating one that was deleted makes its next version.",
        parameters: &["tenant", "preferOfWrite"],
        body: Some((&["application/json"], body)),
        success: ("201", created),
        problems: &[
            Code::JsonInvalid,
            Code::BodyInvalid,
            Code::BodyIncomplete,
            Code::IdRequired,
            Code::ItemExists,
            Code::WriteContended,
            Code::SequenceTaken,
            Code::SequenceExhausted,
            Code::BodyTooLarge,
            Code::EventTooLarge,
            Code::MediaTypeUnsupported,
            Code::AttributesInvalid,
        ],
    }
    .to_json(of)
}
