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
use aqueduct_model::{Expression, Paths, Scope, SearchView};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::{MappingError, condition};

/// What an index holds of an item. Of a deleted one its key, version and times only: it stays so that an older event cannot bring
/// the item back.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'i> {
    tenant: &'i Tenant,
    id: &'i str,
    item_version: Version,
    deleted: bool,
    #[serde(with = "micros")]
    created_at: Timestamp,
    #[serde(with = "micros")]
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Cow<'i, RawValue>>,
}

/// `{tenant}|{id}`. A tenant has no `|`, so no two items share one; at most 63 + 1 + 253 of the 512 bytes that OpenSearch
/// allows.
#[must_use]
pub fn document_id(key: &ItemKey) -> String {
    format!("{}|{}", key.tenant(), key.id())
}

/// Maps an item to its document in `view`. Nothing is evaluated for a deleted item, and nothing but the condition for one that
/// the view does not show: its document is that of a deleted one.
pub fn document<'i>(view: &SearchView, item: &'i RawItem<'_>) -> Result<Document<'i>, MappingError> {
    let document = if item.deleted { None } else { own_fields(view, item)? };
    Ok(Document {
        tenant: item.key.tenant(),
        id: item.key.id().as_str(),
        item_version: item.version,
        deleted: document.is_none(),
        created_at: item.created_at,
        updated_at: item.updated_at,
        document,
    })
}

/// `None` of an item that does not meet the condition.
fn own_fields<'i>(
    view: &SearchView,
    item: &'i RawItem<'_>,
) -> Result<Option<Cow<'i, RawValue>>, MappingError> {
    let fail = |message: String| MappingError { part: "document".to_owned(), message };
    let is_program = |condition: &Expression| !condition.is_path();
    let evaluates = view.document.is_some() || view.condition.as_ref().is_some_and(is_program);
    let parsed = evaluates.then(|| item.parsed()).transpose().map_err(|error| fail(error.to_string()))?;
    let scope = parsed.as_ref().map(Scope::of);
    if let Some(condition) = &view.condition {
        let given = match &scope {
            Some(scope) => condition.evaluate(scope).map_err(condition::failed)?,
            None => looked_up(condition, item).map_err(condition::failed)?,
        };
        if !condition::holds(condition, &given)? {
            return Ok(None);
        }
    }
    let (Some(expression), Some(scope)) = (&view.document, &scope) else {
        return Ok(Some(Cow::Borrowed(&item.attributes)));
    };
    let fields = expression.evaluate(scope).map_err(|error| fail(error.to_string()))?;
    if !fields.is_object() {
        return Err(fail(format!("`{}` gives {fields}, which is not an object", expression.source())));
    }
    Ok(Some(Cow::Owned(to_raw_value(&fields).map_err(|error| fail(error.to_string()))?)))
}

/// The value at a plain path.
fn looked_up(path: &Expression, item: &RawItem<'_>) -> serde_json::Result<Value> {
    let found = Paths::of([path]).look_up(&item.attributes)?;
    found.first().copied().flatten().map_or(Ok(Value::Null), |found| serde_json::from_str(found.get()))
}

#[cfg(test)]
mod tests {
    use aqueduct_contract::{Item, ItemKey};
    use serde_json::json;

    use super::*;

    fn mapped(view: Value, attributes: Value) -> Result<Value, String> {
        let item = Item {
            key: "acme#ORDER|ORDER#o".parse::<ItemKey>().unwrap(),
            version: Version::try_from(7_u64).unwrap(),
            attributes: attributes.as_object().unwrap().clone(),
            deleted: false,
            created_at: "2026-11-21T13:15:00Z".parse().unwrap(),
            created_by: "ann".into(),
            updated_at: "2026-11-21T13:16:00Z".parse().unwrap(),
            updated_by: "ben".into(),
        };
        let view: SearchView = serde_json::from_value(view).unwrap();
        let item = item.to_raw().unwrap();
        document(&view, &item).map(|document| json!(document)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_does_not_meet_the_condition_is_as_if_deleted_and_no_document_is_made() {
        let hidden = json!({
            "tenant": "acme", "id": "o", "item_version": 7, "deleted": true,
            "created_at": "2026-11-21T13:15:00.000000Z", "updated_at": "2026-11-21T13:16:00.000000Z",
        });
        for attributes in [json!({}), json!({ "on": null }), json!({ "on": false })] {
            for condition in ["self.on", "self.?on.orValue(false) == true"] {
                for document in [Value::Null, "{'a': self.absent}".into()] {
                    let view = json!({ "where": condition, "document": document });
                    assert_eq!(mapped(view, attributes.clone()), Ok(hidden.clone()));
                }
            }
        }
        for condition in ["self.on", "self.on == true"] {
            let shown = mapped(json!({ "where": condition }), json!({ "on": true })).unwrap();
            assert_eq!((&shown["deleted"], &shown["document"]), (&json!(false), &json!({ "on": true })));
        }
        let refused = mapped(json!({ "where": "self.on" }), json!({ "on": 1 })).unwrap_err();
        assert_eq!(refused, "where: `self.on` gives 1, which is neither true nor false");
    }
}
