//! What operations refer to: schemas, parameters, headers.

use aqueduct_model::{Model, Type};
use serde_json::{Map, Value, json};

use crate::request::query::Limit;

/// `{"$ref": …}` to a component.
pub(crate) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// The attributes of a type, as its model file says.
pub(crate) fn attributes_of(of: &Type) -> Value {
    reference("schemas", of.name.as_str())
}

/// An item of a type.
pub(crate) fn item_of(of: &Type) -> Value {
    let attributes = json!({ "attributes": attributes_of(of), "type": { "const": of.name } });
    json!({ "allOf": [reference("schemas", "Item")], "properties": attributes })
}

/// A version in the history of an item of a type.
pub(crate) fn version_of(of: &Type) -> Value {
    json!({ "allOf": [item_of(of)], "required": ["event"], "properties": { "event": reference("schemas", "Event") } })
}

/// All of them.
pub(super) fn components(model: &Model) -> Value {
    // Type names are capitals, the others are not: no component hides another.
    let mut schemas = shared_schemas();
    for of in model.types() {
        let mut schema = of.schema.json().clone();
        rebase(&mut schema, &format!("#/components/schemas/{}", of.name));
        schemas.insert(of.name.to_string(), schema);
    }
    json!({ "schemas": schemas, "parameters": parameters(), "headers": headers() })
}

/// Makes references within a model's schema hold where the schema stands in this document.
fn rebase(schema: &mut Value, base: &str) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(target) if name == "$ref" && target.starts_with('#') => {
                        *target = format!("{base}{}", &target[1..]);
                    }
                    other => rebase(other, base),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rebase(element, base)),
        _ => {}
    }
}

fn shared_schemas() -> Map<String, Value> {
    let time = json!({ "type": "string", "format": "date-time" });
    let schemas = json!({
        "Version": {
            "type": "integer", "minimum": 1, "maximum": 9_007_199_254_740_991_u64,
            "description": "1, 2, 3 … of one item, without gaps",
        },
        "Item": {
            "type": "object",
            "required": [
                "tenant", "type", "id", "version", "attributes", "deleted", "createdAt", "createdBy", "updatedAt",
                "updatedBy", "token",
            ],
            "properties": {
                "tenant": { "type": "string" },
                "type": { "type": "string" },
                "id": { "type": "string" },
                "version": reference("schemas", "Version"),
                "attributes": { "type": "object" },
                "deleted": { "type": "boolean" },
                "createdAt": time,
                "createdBy": { "type": "string" },
                "updatedAt": time,
                "updatedBy": { "type": "string" },
                "token": { "type": "string", "description": "Opaque; names this version, for reads that must not be older" },
            },
        },
        "ReadModel": {
            "type": "object",
            "description": "How a version stands in a read model; of a store that cannot be asked, in all of its own",
            "required": ["store", "state"],
            "properties": {
                "store": { "enum": ["dynamodb", "postgres", "opensearch"] },
                "view": { "type": "string" },
                "generation": { "type": ["integer", "null"] },
                "group": { "type": "string", "description": "The consumer group that writes it" },
                "state": { "enum": ["applied", "pending", "deadLettered", "parked", "unknown"] },
                "version": { "type": ["integer", "null"], "description": "What it holds" },
                "letter": { "type": ["object", "null"], "properties": {
                    "version": { "type": ["integer", "null"] },
                    "code": { "type": "string" },
                    "state": { "enum": ["open", "redrive", "parked", "quarantined"] },
                } },
            },
        },
        "Event": {
            "type": "object",
            "required": ["id", "type", "data", "correlationId", "causationId", "schemaVersion"],
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "type": { "type": "string", "examples": ["Created", "Updated", "Deleted"] },
                "data": { "description": "What was asked for: the attributes, the merge patch, or null" },
                "correlationId": { "type": "string" },
                "causationId": { "type": ["string", "null"], "format": "uuid" },
                "schemaVersion": { "type": "integer", "minimum": 1 },
            },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457 problem details",
            "required": ["type", "title", "status", "detail", "code", "instance", "correlationId"],
            "properties": {
                "type": { "type": "string", "format": "uri-reference" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "code": { "type": "string", "description": "Stable: branch on this" },
                "instance": { "type": "string", "format": "uri-reference" },
                "correlationId": { "type": "string" },
                "errors": {
                    "type": "array",
                    "description": "Every violation of the schema",
                    "items": {
                        "type": "object",
                        "required": ["pointer", "message", "keyword"],
                        "properties": {
                            "pointer": { "type": "string", "format": "json-pointer" },
                            "message": { "type": "string" },
                            "keyword": { "type": "string" },
                        },
                    },
                },
                "currentVersion": reference("schemas", "Version"),
                "limit": { "type": "integer" },
                "line": { "type": "integer" },
                "column": { "type": "integer" },
                "pointer": { "type": "string", "format": "json-pointer" },
                "header": { "type": "string" },
                "parameter": { "type": "string" },
                "missing": {
                    "type": "array",
                    "description": "What a view does not hold yet",
                    "items": { "type": "object", "properties": {
                        "view": { "type": "string" },
                        "store": { "enum": ["postgres", "opensearch"] },
                        "generation": { "type": "integer" },
                        "type": { "type": "string" },
                        "id": { "type": "string" },
                        "version": reference("schemas", "Version"),
                        "found": { "type": ["integer", "null"] },
                    } },
                },
                "supported": { "type": "array", "items": { "type": "string" } },
            },
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

fn parameters() -> Value {
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "schema": schema, "description": description });
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "schema": { "type": "string" }, "description": description });
    json!({
        "tenant": {
            "name": "tenant", "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "examples": ["acme"] },
        },
        "correlationIdInPath": {
            "name": "correlationId", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "The `X-Correlation-Id` of the answer to a write",
        },
        "id": {
            "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
            "description": "Any Unicode without control characters, percent-encoded; at most 255 bytes with the type",
        },
        "version": query("version", reference("schemas", "Version"), "The item as it was at this version"),
        "asOf": query("as_of", json!({ "type": "string", "format": "date-time" }), "The item as it was at this moment"),
        "after": query("after", reference("schemas", "Version"), "Only versions after this one"),
        "limit": query(
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": Limit::MAX, "default": Limit::DEFAULT.0 }),
            "How many a page holds",
        ),
        "cursor": query("cursor", json!({ "type": "string" }), "`nextCursor` of the page before, to the same query"),
        "token": query("token", json!({ "type": "string" }), "What a write returned: nothing older than that version is answered"),
        "sort": query(
            "sort",
            json!({ "type": "string", "examples": ["-updated_at,id"] }),
            "Columns between commas, with `-` from the greatest down; 4 at most",
        ),
        "fields": query("fields", json!({ "type": "string" }), "Columns between commas"),
        "startFromSk": query("startFromSk", json!({ "type": "string" }), "`nextStartFromSk` of the page before"),
        "ifMatch": header("If-Match", "ETags, or `*`; refuse with 412 unless the item is at one of them"),
        "ifNoneMatch": header("If-None-Match", "ETags; answer 304 when the item is at one of them"),
        "prefer": header("Prefer", "`wait=N`: seconds to wait for the version of `token`, 20 at most; 0 without it"),
        "preferOfWrite": header(
            "Prefer",
            "`wait=N`: answer once all read models that clients see hold the version, or after so many seconds, 20 at most",
        ),
        "eventTypes": query("type", json!({ "type": "string" }), "Only events of these types, between commas"),
        "eventItem": query("id", json!({ "type": "string" }), "Only events of this item; `type` says of which type"),
        "lastEventId": header("Last-Event-ID", "The id of the last event seen: go on behind it"),
        "correlationId": header("X-Correlation-Id", "1 to 128 visible ASCII characters; made when left out"),
        "traceparent": header("traceparent", "W3C Trace Context"),
    })
}

fn headers() -> Value {
    json!({
        "ETag": { "description": "The version, in double quotes", "schema": { "type": "string", "examples": ["\"3\""] } },
        "Location": { "description": "Where the item is", "schema": { "type": "string", "format": "uri-reference" } },
        "PreferenceApplied": { "description": "The `wait` applied", "schema": { "type": "string", "examples": ["wait=5"] } },
        "CorrelationId": { "description": "Follows the request through everything it causes", "schema": { "type": "string" } },
    })
}
