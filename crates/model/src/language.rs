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
const LATER: [&str; 13] = [
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

/// Which parts of a file have the form they should.
pub(crate) struct Form {
    pub(crate) schema: bool,
}

/// Reports everything in `file` that the language does not have.
pub(crate) fn check(file: &Node, report: &mut Report) -> Form {
    for (key, place) in file.duplicates() {
        report.add(place, format!("`{key}` stands twice"));
    }
    let json = file.json();
    let mut form = Form { schema: true };
    for error in LANGUAGE.validator.iter_errors(&json) {
        for finding in findings(&LANGUAGE.schema, &error) {
            form.schema &= finding.pointer != "/schema" && !finding.pointer.starts_with("/schema/");
            let (message, suggestion) = in_model_words(&finding, &json);
            report.suggest(file.place_at(&finding.pointer), message, suggestion);
        }
    }
    form
}

/// The finding as said of a model file, where keys are keys and nobody sent a field.
fn in_model_words(finding: &Finding, file: &Value) -> (String, Option<String>) {
    let (_, key) = finding.pointer.rsplit_once('/').unwrap_or_default();
    match finding.keyword.as_str() {
        "additionalProperties" if LATER.contains(&key) => {
            (format!("`{key}` is not supported by this release"), None)
        }
        "additionalProperties" => (format!("unknown key `{key}`"), finding.suggestion.clone()),
        "required" => (format!("the key {}", finding.message), None),
        "propertyNames" => (finding.message.clone(), corrected(key, str::to_lowercase)),
        "pattern" if finding.pointer == "/type" => {
            let name = file["type"].as_str().unwrap_or_default();
            (format!("`type`: {}", finding.message), corrected(name, str::to_uppercase))
        }
        _ if key.is_empty() => (format!("a model file {}", finding.message), None),
        _ => (format!("`{key}`: {}", finding.message), finding.suggestion.clone()),
    }
}

/// A name in the case it should have, with `_` between its words, if that makes it one.
fn corrected(name: &str, in_case: fn(&str) -> String) -> Option<String> {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && words.ends_with(|last: char| last.is_ascii_lowercase()) {
            words.push('_');
        }
        words.push(if letter.is_ascii_alphanumeric() { letter } else { '_' });
    }
    let valid = words.len() <= 48 && words.starts_with(|first: char| first.is_ascii_alphabetic());
    valid.then(|| in_case(&words)).filter(|corrected| corrected != name)
}
