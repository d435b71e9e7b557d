//! Mistakes in a schema that JSON Schema itself lets pass: they would only show when every write is refused, or when
//! none is.

use jsonschema::ValidatorMap;
use serde_json::{Map, Value, json};

use super::defaults::fill;
use super::finding::{Finding, below, findings};
use super::options;
use crate::spelling::nearest;

/// Limits of JSON numbers, and the same of decimals.
const LIMITS: [(&str, &str); 4] = [
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

/// What can be said before the schema is compiled, also where its form is not right.
pub(crate) fn before_compiling(root: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    for (pointer, schema) in subschemas(root) {
        let mut refuse = |below_it: String, message: String, suggestion: Option<String>| {
            let pointer = format!("{pointer}{below_it}");
            found.push(Finding { pointer, keyword: "schema".to_owned(), message, suggestion });
        };
        reference(root, schema, &mut refuse);
        limits(schema, &mut refuse);
        required(schema, &mut refuse);
        patterns(schema, &mut refuse);
    }
    found
}

type Refuse<'a> = dyn FnMut(String, String, Option<String>) + 'a;

fn reference(root: &Value, schema: &Map<String, Value>, refuse: &mut Refuse<'_>) {
    let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or("#");
    let missing = reference.strip_prefix('#').is_some_and(|target| root.pointer(target).is_none());
    if missing {
        let defined = root.get("$defs").and_then(Value::as_object);
        let known: Vec<String> =
            defined.into_iter().flatten().map(|(name, _)| below("#/$defs", name)).collect();
        let suggestion = nearest(reference, known.iter().map(String::as_str));
        refuse("/$ref".to_owned(), format!("`{reference}` is not in the schema"), suggestion);
    }
}

fn limits(schema: &Map<String, Value>, refuse: &mut Refuse<'_>) {
    let is_decimal = schema.get("format").and_then(Value::as_str) == Some("decimal");
    for (of_numbers, of_decimals) in LIMITS {
        if is_decimal && schema.contains_key(of_numbers) {
            let message = format!("`{of_numbers}` compares JSON numbers, a decimal is a string");
            refuse(format!("/{of_numbers}"), message, Some(of_decimals.to_owned()));
        }
        if !is_decimal && schema.contains_key(of_decimals) {
            refuse(
                format!("/{of_decimals}"),
                format!("`{of_decimals}` needs `format: decimal` beside it"),
                None,
            );
        }
    }
}

fn required(schema: &Map<String, Value>, refuse: &mut Refuse<'_>) {
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    if !closed || schema.contains_key("patternProperties") {
        return;
    }
    let fields: Vec<&str> = names(schema, "properties").collect();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for (index, name) in required.enumerate().filter_map(|(index, name)| Some((index, name.as_str()?))) {
        if !fields.contains(&name) {
            let message = format!("`{name}` is required, and no such field is allowed");
            refuse(format!("/required/{index}"), message, nearest(name, fields.iter().copied()));
        }
    }
}

fn patterns(schema: &Map<String, Value>, refuse: &mut Refuse<'_>) {
    let own = schema.get("pattern").and_then(Value::as_str).map(|pattern| ("/pattern".to_owned(), pattern));
    let of_names =
        names(schema, "patternProperties").map(|pattern| (below("/patternProperties", pattern), pattern));
    for (at, pattern) in own.into_iter().chain(of_names) {
        if options().build(&json!({ "pattern": pattern })).is_err() {
            let message = format!(
                "`{pattern}` is no pattern that can be matched in linear time: it is malformed, or has look-around or \
                 back-references"
            );
            refuse(at, message, None);
        }
    }
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
