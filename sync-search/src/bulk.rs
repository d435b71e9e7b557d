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
