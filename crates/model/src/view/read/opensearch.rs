//! The `opensearch` of a view.

use super::expression;
use crate::document::Node;
use crate::problem::Report;
use crate::view::SearchView;
use crate::view::fit::{Known, never};

pub(super) fn read(node: &Node, known: &Known<'_>, report: &mut Report) -> SearchView {
    let document = node.get("document").and_then(|node| {
        let document = expression(node, "document", known, report)?;
        if let Some(types) = never("object", &document, known) {
            report
                .add(node.place, format!("`document`: a document is an object, and this is of type {types}"));
        }
        Some(document)
    });
    SearchView { mappings: node.get("mappings").map(Node::json), document }
}
