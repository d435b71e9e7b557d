//! One operation as the endpoints describe it, and the pieces they describe it with.

use std::collections::BTreeMap;

use aqueduct_model::Type;
use serde_json::{Map, Value, json};

use super::components::{item_of, reference};
use crate::problem::{self, Code};

/// What any request may be answered with.
const ALWAYS: [Code; 4] = [Code::PathInvalid, Code::HeaderInvalid, Code::Internal, Code::StoreUnavailable];

/// What one endpoint does for one type.
pub(crate) struct Operation<'a> {
    /// Its name, from which the operation id is made.
    pub(crate) name: &'a str,
    pub(crate) summary: &'a str,
    pub(crate) description: &'a str,
    /// Names of parameter components; the correlation id comes by itself.
    pub(crate) parameters: &'a [&'a str],
    /// Media types and schema; left out where a request has no body.
    pub(crate) body: Option<(&'a [&'a str], Value)>,
    /// Status and response.
    pub(crate) success: (&'a str, Value),
    /// Problems beside those that any request may meet.
    pub(crate) problems: &'a [Code],
}

impl Operation<'_> {
    /// The OpenAPI operation object.
    pub(crate) fn to_json(&self, of: &Type) -> Value {
        let parameters = self.parameters.iter().chain(&["correlationId", "traceparent"]);
        let parameters: Vec<Value> = parameters.map(|name| reference("parameters", name)).collect();
        let mut responses = Map::from_iter([(self.success.0.to_owned(), self.success.1.clone())]);
        if self.parameters.contains(&"ifNoneMatch") {
            responses.insert("304".to_owned(), json!({ "description": "The client has this version" }));
        }
        if self.parameters.contains(&"preferOfWrite") {
            let applied = || reference("headers", "PreferenceApplied");
            let mut pending = self.success.1.clone();
            pending["description"] =
                "Stored, and not in every read model yet: `pending` says in which it is not".into();
            pending["headers"]["Preference-Applied"] = applied();
            pending["content"]["application/json"]["schema"] = json!({
                "allOf": [item_of(of)],
                "required": ["pending"],
                "properties": { "pending": { "type": "array", "items": reference("schemas", "ReadModel") } },
            });
            responses[self.success.0]["headers"]["Preference-Applied"] = applied();
            responses.insert("202".to_owned(), pending);
        }
        responses.extend(problem_responses(self.problems));
        let mut operation = json!({
            "operationId": format!("{}-{}", self.name, of.name),
            "tags": [of.name],
            "summary": self.summary,
            "description": self.description,
            "parameters": parameters,
            "responses": responses,
        });
        if let Some((media_types, schema)) = &self.body {
            let content: Map<String, Value> =
                media_types.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect();
            let required = schema.get("required").is_some();
            operation["requestBody"] = json!({ "required": required, "content": content });
        }
        operation
    }
}

/// The operation of a route that is the same for all types.
pub(crate) fn operation_of_all(
    name: &str,
    summary: &str,
    description: &str,
    parameters: &[&str],
    (answer, media_type, schema): (&str, &str, Value),
    problems: &[Code],
) -> Value {
    let parameters = parameters.iter().chain(&["correlationId", "traceparent"]);
    let mut responses = Map::from_iter([(
        "200".to_owned(),
        json!({
            "description": answer,
            "headers": { "X-Correlation-Id": reference("headers", "CorrelationId") },
            "content": { media_type: { "schema": schema } },
        }),
    )]);
    responses.extend(problem_responses(problems));
    json!({
        "operationId": name,
        "summary": summary,
        "description": description,
        "parameters": parameters.map(|name| reference("parameters", name)).collect::<Vec<_>>(),
        "responses": responses,
    })
}

fn problem_responses(codes: &[Code]) -> impl Iterator<Item = (String, Value)> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in ALWAYS.iter().chain(codes) {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    let response = |codes: Vec<Code>| {
        let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let schema = json!({
            "allOf": [reference("schemas", "Problem")],
            "properties": { "code": { "enum": names } },
        });
        json!({
            "description": codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect::<Vec<_>>().join("; "),
            "headers": { "X-Correlation-Id": reference("headers", "CorrelationId") },
            "content": { problem::MEDIA_TYPE: { "schema": schema } },
        })
    };
    by_status.into_iter().map(move |(status, codes)| (status.to_string(), response(codes)))
}

/// The body of a change: `attributes`, and the version expected.
pub(crate) fn change(attributes: Value) -> Value {
    json!({
        "type": "object",
        "required": ["attributes"],
        "additionalProperties": false,
        "properties": { "attributes": attributes, "version": expected_version() },
    })
}

/// The `version` of a body.
pub(crate) fn expected_version() -> Value {
    json!({
        "allOf": [reference("schemas", "Version")],
        "description": "Refuse with 409 unless the item is at this version",
    })
}

/// The answer with one item.
pub(crate) fn item_response(of: &Type) -> Value {
    json!({
        "description": "The item",
        "headers": {
            "ETag": reference("headers", "ETag"),
            "X-Correlation-Id": reference("headers", "CorrelationId"),
        },
        "content": { "application/json": { "schema": item_of(of) } },
    })
}

/// The answer with a page of entries and where the next one begins.
pub(crate) fn page(
    description: &str,
    (entries, entry): (&str, Value),
    (next, cursor): (&str, &str),
) -> Value {
    json!({
        "description": description,
        "headers": { "X-Correlation-Id": reference("headers", "CorrelationId") },
        "content": { "application/json": { "schema": {
            "type": "object",
            "required": [entries, next],
            "properties": {
                entries: { "type": "array", "items": entry },
                next: { "type": [cursor, "null"] },
            },
        } } },
    })
}
