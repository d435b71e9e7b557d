//! The `opensearch` of a view.

use super::expression;
use crate::document::Node;
use crate::problem::Report;
use crate::view::fit::{Known, never};
use crate::view::{Routing, SearchView, analysis};

pub(super) fn read(node: &Node, known: &Known<'_>, report: &mut Report) -> SearchView {
    let document = node.get("document").and_then(|node| {
        let document = expression(node, "document", known, report)?;
        if let Some(types) = never("object", &document, known) {
            report
                .add(node.place, format!("`document`: a document is an object, and this is of type {types}"));
        }
        Some(document)
    });
    let given = node.get("settings").and_then(|settings| settings.get("analysis"));
    let mappings = node.get("mappings");
    if let Some(mappings) = mappings {
        analysis::check(mappings, given, report);
    }
    SearchView {
        mappings: mappings.map(Node::json),
        document,
        condition: None,
        analysis: given.map(Node::json),
        // The language has no other.
        routing: node.get("routing").map(|_| Routing::Tenant),
    }
}
