//! The OpenAPI 3.1 document: every endpoint's `operation` for every type of the model.
//!
//! Types are spelt out as paths of their own (`/v1/{tenant}/ORDER`), so that a reader, and whatever generates clients,
//! sees an ORDER's attributes and not "some object". What many operations share is a component.

mod components;
mod operation;

use aqueduct_model::{Model, Type};
use serde_json::{Map, Value, json};

use crate::endpoints::{create, delete, events, get, history, list, patch, search, update, view, writes};

pub(crate) use components::{attributes_of, item_of, reference, version_of};
pub(crate) use operation::{Operation, change, expected_version, item_response, operation_of_all, page};

/// The document for `model`.
#[must_use]
pub fn document(model: &Model) -> Value {
    let paths: Map<String, Value> = model
        .types()
        .flat_map(|of| paths_of(of).into_iter().chain(paths_of_views(of)))
        .chain([
            ("/v1/{tenant}/writes/{correlationId}".to_owned(), json!({ "get": writes::operation() })),
            ("/v1/{tenant}/events".to_owned(), json!({ "get": events::operation() })),
        ])
        .collect();
    let tags: Vec<Value> = model.types().map(|of| json!({ "name": of.name })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Aqueduct command API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Every change of an item is a new, immutable version. A write is answered once its version \
                is stored; read models follow a moment later. Errors are RFC 9457 problem details with a stable \
                `code`, each described at its `type`.",
        },
        "tags": tags,
        "paths": paths,
        "components": components::components(model),
    })
}

fn paths_of(of: &Type) -> [(String, Value); 3] {
    let all = format!("/v1/{{tenant}}/{}", of.name);
    [
        (all.clone(), json!({ "get": list::operation(of), "post": create::operation(of) })),
        (
            format!("{all}/{{id}}"),
            json!({
                "get": get::operation(of),
                "put": update::operation(of),
                "patch": patch::operation(of),
                "delete": delete::operation(of),
            }),
        ),
        (format!("{all}/{{id}}/history"), json!({ "get": history::operation(of) })),
    ]
}

fn paths_of_views(of: &Type) -> impl Iterator<Item = (String, Value)> {
    of.views.iter().flat_map(move |one| {
        let path = |of: &str| format!("/v1/{{tenant}}/{of}/{}", one.name);
        let rows = view::operation(of, one).map(|operation| (path("views"), json!({ "get": operation })));
        let hits = search::operation(of, one).map(|operation| (path("search"), json!({ "post": operation })));
        rows.into_iter().chain(hits)
    })
}

#[cfg(test)]
mod tests;
