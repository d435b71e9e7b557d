//! The document that an item becomes.
//!
//! ```json
//! { "tenant": "acme", "id": "ORD-1", "item_version": 3, "deleted": false, "created_at": "…", "updated_at": "…",
//!   "document": { "customerName": "Ann", "total": "12.50" } }
//! ```
//!
//! What the view holds stands under `document` and is searched as `document.customerName`. At the top it could meet the
//! fields that keep tenants apart and deletions hidden: an attribute called `tenant` or `deleted` is a user's own.

use aqueduct_contract::{Item, ItemKey, format_time};
use aqueduct_model::{Scope, SearchView};
use serde_json::{Map, Value, json};

use crate::MappingError;

/// `{tenant}|{id}`. A tenant has no `|`, so no two items share one; at most 63 + 1 + 253 of the 512 bytes that OpenSearch
/// allows.
#[must_use]
pub fn document_id(key: &ItemKey) -> String {
    format!("{}|{}", key.tenant(), key.id())
}

/// Maps an item to its document in `view`. A deleted item's document keeps its key and version only, and nothing is
/// evaluated for it: it stays so that an older event cannot bring the item back.
pub fn document(view: &SearchView, item: &Item) -> Result<Value, MappingError> {
    let mut fields = json!({
        "tenant": item.key.tenant(),
        "id": item.key.id(),
        "item_version": item.version,
        "deleted": item.deleted,
    });
    if !item.deleted {
        fields["created_at"] = format_time(item.created_at).into();
        fields["updated_at"] = format_time(item.updated_at).into();
        fields["document"] = Value::Object(own_fields(view, item)?);
    }
    Ok(fields)
}

fn own_fields(view: &SearchView, item: &Item) -> Result<Map<String, Value>, MappingError> {
    let Some(expression) = &view.document else { return Ok(item.attributes.clone()) };
    let fail = |message: String| MappingError { part: "document".to_owned(), message };
    match expression.evaluate(&Scope::of(item)).map_err(|error| fail(error.to_string()))? {
        Value::Object(fields) => Ok(fields),
        other => Err(fail(format!("`{}` gives {other}, which is not an object", expression.source()))),
    }
}
