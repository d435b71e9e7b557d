//! The document that an item becomes.
//!
//! ```json
//! { "tenant": "acme", "id": "ORD-1", "item_version": 3, "deleted": false, "created_at": "…", "updated_at": "…",
//!   "document": { "customerName": "Ann", "total": "12.50" } }
//! ```
//!
//! What the view holds stands under `document` and is searched as `document.customerName`. At the top it could meet the
//! fields that keep tenants apart and deletions hidden: an attribute called `tenant` or `deleted` is a user's own.

use std::borrow::Cow;

use aqueduct_contract::{ItemKey, RawItem, Tenant, Version, micros};
use aqueduct_model::{Scope, SearchView};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::MappingError;

/// What an index holds of an item. Of a deleted one its key and version only: it stays so that an older event cannot bring the item
/// back.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'i> {
    tenant: &'i Tenant,
    id: &'i str,
    item_version: Version,
    deleted: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    shown: Option<Shown<'i>>,
}

#[derive(Clone, Debug, Serialize)]
struct Shown<'i> {
    #[serde(with = "micros")]
    created_at: Timestamp,
    #[serde(with = "micros")]
    updated_at: Timestamp,
    document: Cow<'i, RawValue>,
}

/// `{tenant}|{id}`. A tenant has no `|`, so no two items share one; at most 63 + 1 + 253 of the 512 bytes that OpenSearch
/// allows.
#[must_use]
pub fn document_id(key: &ItemKey) -> String {
    format!("{}|{}", key.tenant(), key.id())
}

/// Maps an item to its document in `view`. Nothing is evaluated for a deleted item.
pub fn document<'i>(view: &SearchView, item: &'i RawItem<'_>) -> Result<Document<'i>, MappingError> {
    let shown = if item.deleted {
        None
    } else {
        let (created_at, updated_at) = (item.created_at, item.updated_at);
        Some(Shown { created_at, updated_at, document: own_fields(view, item)? })
    };
    Ok(Document {
        tenant: item.key.tenant(),
        id: item.key.id().as_str(),
        item_version: item.version,
        deleted: item.deleted,
        shown,
    })
}

fn own_fields<'i>(view: &SearchView, item: &'i RawItem<'_>) -> Result<Cow<'i, RawValue>, MappingError> {
    let Some(expression) = &view.document else { return Ok(Cow::Borrowed(&item.attributes)) };
    let fail = |message: String| MappingError { part: "document".to_owned(), message };
    let parsed = item.parsed().map_err(|error| fail(error.to_string()))?;
    let fields = expression.evaluate(&Scope::of(&parsed)).map_err(|error| fail(error.to_string()))?;
    if !fields.is_object() {
        return Err(fail(format!("`{}` gives {fields}, which is not an object", expression.source())));
    }
    Ok(Cow::Owned(to_raw_value(&fields).map_err(|error| fail(error.to_string()))?))
}
