//! Mistakes in a schema that JSON Schema itself lets pass: they would only show when every write is refused, or when
//! none is.

use jsonschema::ValidatorMap;
use serde_json::{Map, Value};

use super::defaults::fill;
use super::finding::{Finding, below, findings};
use crate::spelling::nearest;

/// Limits that compare JSON numbers, and what to write for a decimal.
const NUMBER_LIMITS: [(&str, &str); 4] = [
    ("minimum", "formatMinimum"),
    ("maximum", "formatMaximum"),
    ("exclusiveMinimum", "formatExclusiveMinimum"),
    ("exclusiveMaximum", "formatExclusiveMaximum"),
];

/// Keywords that hold one schema, a list of them, and schemas by name.
const ONE: [&str; 10] = [
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
];
const LISTS: [&str; 4] = ["prefixItems", "allOf", "anyOf", "oneOf"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// Every schema within `schema` with its JSON pointer, itself first.
pub(crate) fn subschemas(schema: &Value) -> Vec<(String, &Map<String, Value>)> {
    let mut found = Vec::new();
    let mut waiting = vec![(String::new(), schema)];
    while let Some((pointer, next)) = waiting.pop() {
        let Value::Object(next) = next else { continue };
        for (keyword, value) in next {
            let at = below(&pointer, keyword);
            match value {
                Value::Array(list) if LISTS.contains(&keyword.as_str()) => {
                    waiting
                        .extend(list.iter().enumerate().map(|(index, one)| (format!("{at}/{index}"), one)));
                }
                Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                    waiting.extend(named.iter().map(|(name, one)| (below(&at, name), one)));
                }
                _ if ONE.contains(&keyword.as_str()) => waiting.push((at, value)),
                _ => {}
            }
        }
        found.push((pointer, next));
    }
    found
}

/// What can be said before the schema is compiled.
pub(crate) fn references_and_limits(root: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut refuse = |pointer: String, message: String, suggestion: Option<String>| {
        found.push(Finding { pointer, keyword: "schema".to_owned(), message, suggestion });
    };
    for (pointer, schema) in subschemas(root) {
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = reference.and_then(|text| text.strip_prefix('#'))
            && root.pointer(target).is_none()
        {
            let defined = root.get("$defs").and_then(Value::as_object);
            let known: Vec<String> =
                defined.into_iter().flatten().map(|(name, _)| below("#/$defs", name)).collect();
            let suggestion = nearest(&format!("#{target}"), known.iter().map(String::as_str));
            refuse(below(&pointer, "$ref"), format!("`#{target}` is not in the schema"), suggestion);
        }
        if schema.get("format").and_then(Value::as_str) == Some("decimal") {
            for (keyword, instead) in
                NUMBER_LIMITS.iter().filter(|(keyword, _)| schema.contains_key(*keyword))
            {
                let message = format!("`{keyword}` compares JSON numbers, a decimal is a string");
                refuse(below(&pointer, keyword), message, Some((*instead).to_owned()));
            }
        }
        if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
            let fields: Vec<&str> = names(schema, "properties").collect();
            let patterns = schema.contains_key("patternProperties");
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            for (index, name) in required.enumerate() {
                let name = name.as_str().unwrap_or_default();
                if !patterns && !fields.contains(&name) {
                    let at = format!("{}/{index}", below(&pointer, "required"));
                    let message = format!("`{name}` is required, and no such field is allowed");
                    refuse(at, message, nearest(name, fields.iter().copied()));
                }
            }
        }
    }
    found
}

/// Defaults that their own schema refuses: each write that leaves them out would fail.
pub(crate) fn defaults(root: &Value, compiled: &ValidatorMap) -> Vec<Finding> {
    let mut found = Vec::new();
    for (pointer, schema) in subschemas(root) {
        let Some(default) = schema.get("default") else { continue };
        let at = below(&pointer, "default");
        let mut value = default.clone();
        let Some(this) = root.pointer(&pointer) else { continue };
        if fill(root, this, &mut value).is_err() {
            let message = "the defaults within it never end".to_owned();
            found.push(Finding { pointer: at, keyword: "default".to_owned(), message, suggestion: None });
            continue;
        }
        let Some(validator) = compiled.get(&format!("#{pointer}")) else { continue };
        found.extend(validator.iter_errors(&value).flat_map(|error| findings(root, &error)).map(|finding| {
            Finding {
                message: format!("the default is refused by its own schema: {}", finding.message),
                pointer: at.clone(),
                ..finding
            }
        }));
    }
    found
}

fn names<'s>(schema: &'s Map<String, Value>, keyword: &str) -> impl Iterator<Item = &'s str> {
    schema.get(keyword).and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str())
}
