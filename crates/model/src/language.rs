//! The form of a model file: which keys there are and what may stand at each.
//!
//! `model.schema.json` says it once, for editors and for this reader alike. Only what a JSON Schema cannot say (names
//! that collide, expressions, formats of ids) is checked in Rust.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::document::Node;
use crate::problem::Report;
use crate::schema::{Finding, findings, options};

/// Keys of the language that this release does not have yet.
const LATER: [&str; 14] = [
    "rules",
    "commands",
    "unique",
    "refs",
    "schema_from",
    "quotas",
    "events",
    "upcast",
    "ttl",
    "access",
    "parent",
    "derived",
    "reactions",
    "children",
];

struct Language {
    schema: Value,
    validator: Validator,
}

#[expect(clippy::expect_used, reason = "the file is part of the program, and every test reads it")]
static LANGUAGE: LazyLock<Language> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).expect("model.schema.json is JSON");
    let validator = options().build(&schema).expect("model.schema.json is a JSON Schema");
    Language { schema, validator }
});

/// The JSON Schema of a model file, for editors.
pub const SCHEMA: &str = include_str!("model.schema.json");

/// Reports everything in `file` that the language does not have.
pub(crate) fn check(file: &Node, report: &mut Report) {
    for (key, place) in file.duplicates() {
        report.add(place, format!("`{key}` stands twice"));
    }
    let json = file.json();
    for error in LANGUAGE.validator.iter_errors(&json) {
        for finding in findings(&LANGUAGE.schema, &error) {
            let place = file.place_at(&finding.pointer);
            let (message, suggestion) = in_model_words(&finding);
            report.suggest(place, message, suggestion);
        }
    }
}

/// The finding as said of a model file, where keys are keys and no one sent a field.
fn in_model_words(finding: &Finding) -> (String, Option<String>) {
    let (_, key) = finding.pointer.rsplit_once('/').unwrap_or_default();
    match finding.keyword.as_str() {
        "additionalProperties" if LATER.contains(&key) => {
            (format!("`{key}` is not supported by this release"), None)
        }
        "additionalProperties" => (format!("unknown key `{key}`"), finding.suggestion.clone()),
        "required" => (format!("the key {}", finding.message), None),
        _ if key.is_empty() => (format!("a model file {}", finding.message), None),
        _ => (format!("`{key}`: {}", finding.message), finding.suggestion.clone()),
    }
}
