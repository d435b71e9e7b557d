//! The body of a `_bulk` request: two lines a document.
//!
//! The item's version is the document's (`version_type=external`), so OpenSearch itself refuses what is older than what it
//! holds, whatever order and however often it arrives. Never the Kafka offset: a repartitioned topic starts again.

use std::fmt::Write;

use aqueduct_contract::Item;
use aqueduct_model::SearchView;
use aqueduct_views::MappingError;
use aqueduct_views::opensearch::{document, document_id};
use serde_json::json;

/// The query of every request: only through an alias that exists, only the parts of the answer that are read, and no
/// `refresh`, which is the index's own business.
pub const QUERY: [(&str, &str); 2] = [
    ("require_alias", "true"),
    ("filter_path", "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by"),
];

/// The two lines of one item.
pub fn lines(view: &SearchView, item: &Item) -> Result<String, MappingError> {
    let action = json!({ "index": {
        "_id": document_id(&item.key),
        "version": item.version,
        "version_type": "external",
    } });
    let mut lines = action.to_string();
    // Writing to a string cannot fail.
    let _ = write!(lines, "\n{}\n", document(view, item)?);
    Ok(lines)
}

/// Cuts documents into requests of about `bytes`, in order. One that is larger alone is a request of its own.
pub fn requests(documents: &[String], bytes: usize) -> Vec<&[String]> {
    let mut requests = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, lines) in documents.iter().enumerate() {
        if index > start && size + lines.len() > bytes {
            requests.push(&documents[start..index]);
            (start, size) = (index, 0);
        }
        size += lines.len();
    }
    if start < documents.len() {
        requests.push(&documents[start..]);
    }
    requests
}

#[cfg(test)]
mod tests {
    use aqueduct_contract::{ItemKey, Version};
    use serde_json::Value;

    use super::*;

    fn item(key: &str, version: u64, deleted: bool, attributes: Value) -> Item {
        Item {
            key: key.parse::<ItemKey>().unwrap(),
            version: Version::try_from(version).unwrap(),
            attributes: attributes.as_object().unwrap().clone(),
            deleted,
            created_at: "2026-11-21T13:15:00Z".parse().unwrap(),
            created_by: "ann".into(),
            updated_at: "2026-11-21T13:16:00.25Z".parse().unwrap(),
            updated_by: "ben".into(),
        }
    }

    #[test]
    fn a_body_names_the_version_and_holds_the_document() {
        let view = SearchView { mappings: None, document: None };
        let reserved =
            json!({ "tenant": "other", "deleted": true, "customerName": "Ann \"A\"\n", "total": "12.50" });
        let items = [
            item("acme#ORDER|ORDER#ORD-1", 3, false, reserved),
            item("acme#ORDER|ORDER#a%7Cb✓", 1, false, json!({})),
            item("acme#ORDER|ORDER#ORD-2", 9, true, json!({ "customerName": "Ben" })),
        ];
        let body: Vec<String> = items.iter().map(|item| lines(&view, item).unwrap()).collect();
        insta::assert_snapshot!(body.concat());
    }

    #[test]
    fn requests_hold_every_document_in_order_and_stay_small() {
        let documents: Vec<String> = [4, 4, 4, 20, 1, 1].iter().map(|length| "x".repeat(*length)).collect();
        let lengths: Vec<Vec<usize>> = requests(&documents, 10)
            .iter()
            .map(|request| request.iter().map(String::len).collect())
            .collect();
        assert_eq!(lengths, [vec![4, 4], vec![4], vec![20], vec![1, 1]]);
        assert!(requests(&[], 10).is_empty());
    }
}
