//! What update, patch and delete have in common: they change an item that is there, at the version that is expected.

use aqueduct_commands::{Command, Origin};
use aqueduct_contract::{Attributes, ItemKey, Version};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::problem::{Code, Result};
use crate::request::freshness::Wait;
use crate::request::precondition::Precondition;
use crate::{Api, answer};

/// The body of an update and of a patch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    pub(crate) attributes: Attributes,
    #[serde(default)]
    pub(crate) version: Option<Version>,
}

/// Problems that each of them may answer with; those with attributes may find them invalid too.
pub(super) const PROBLEMS: [Code; 11] = [
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
];

/// Makes the item's next version. `version` is the one that the body expects.
pub(super) async fn make(
    api: &Api,
    key: &ItemKey,
    command: &Command,
    headers: &HeaderMap,
    version: Option<Version>,
    origin: &Origin,
    wait: Wait,
) -> Result<Response> {
    let of = api.type_named(key.type_name())?;
    let precondition = Precondition::of(headers, version)?;
    let event = api.write(of, key, command, &precondition, origin).await?;
    let waited = api.waited(&event.item, wait).await;
    Ok(answer::written(&event.item, StatusCode::OK, waited))
}
