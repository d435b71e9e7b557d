//! What a client is given: items and versions as JSON, with `ETag`, `Location` and the token.

use std::time::Duration;

use aqueduct_contract::{Event, Item, ItemKey, Token, Version, format_time};
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::request::precondition::etag;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// RFC 3986 "unreserved" stays as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An item as every route shows it.
pub(crate) fn item(item: &Item) -> Value {
    let token = Token { key: item.key.clone(), version: item.version };
    json!({
        "tenant": item.key.tenant(),
        "type": item.key.type_name(),
        "id": item.key.id(),
        "version": item.version,
        "attributes": item.attributes,
        "deleted": item.deleted,
        "createdAt": format_time(item.created_at),
        "createdBy": item.created_by,
        "updatedAt": format_time(item.updated_at),
        "updatedBy": item.updated_by,
        "token": token.encode(),
    })
}

/// A version in an item's history: the item after it, and what happened.
pub(crate) fn version(event: &Event) -> Value {
    let mut body = item(&event.item);
    body["event"] = json!({
        "id": event.id,
        "type": event.happened.name,
        "data": event.happened.data,
        "correlationId": event.correlation_id,
        "causationId": event.causation_id,
        "schemaVersion": event.schema_version,
    });
    body
}

/// The answer to a read of one item.
pub(crate) fn ok(shown: &Item) -> Response {
    (StatusCode::OK, tagged(shown.version), Json(item(shown))).into_response()
}

/// The answer to a write. Where its client preferred to wait: for how long, and which read models do not hold it after that.
pub(crate) fn written(
    shown: &Item,
    mut status: StatusCode,
    waited: Option<(Duration, Vec<Value>)>,
) -> Response {
    let mut headers = tagged(shown.version);
    if status == StatusCode::CREATED {
        // Percent-encoded: always a header value.
        headers
            .extend(HeaderValue::from_str(&path_of(&shown.key)).ok().map(|value| (header::LOCATION, value)));
    }
    let mut body = item(shown);
    if let Some((wait, pending)) = waited {
        let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs()));
        headers.extend(applied.ok().map(|value| (PREFERENCE_APPLIED, value)));
        if !pending.is_empty() {
            status = StatusCode::ACCEPTED;
            body["pending"] = pending.into();
        }
    }
    (status, headers, Json(body)).into_response()
}

/// The answer to a conditional read of a version that the client has.
pub(crate) fn not_modified(version: Version) -> Response {
    (StatusCode::NOT_MODIFIED, tagged(version)).into_response()
}

fn tagged(version: Version) -> HeaderMap {
    HeaderMap::from_iter([(header::ETAG, etag(version))])
}

/// Where the item is found.
fn path_of(key: &ItemKey) -> String {
    let id = utf8_percent_encode(key.id().as_str(), SEGMENT);
    format!("/v1/{}/{}/{id}", key.tenant(), key.type_name())
}

#[cfg(test)]
mod tests {
    use aqueduct_contract::ItemKey;

    use super::path_of;

    #[test]
    fn a_location_is_a_path_whatever_the_id_holds() {
        let key =
            |id: &str| ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap());
        assert_eq!(path_of(&key("ORD-000017").unwrap()), "/v1/acme/ORDER/ORD-000017");
        assert_eq!(path_of(&key("a/b?c#d|e%f ü").unwrap()), "/v1/acme/ORDER/a%2Fb%3Fc%23d%7Ce%25f%20%C3%BC");
    }
}
