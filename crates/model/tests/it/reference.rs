//! The language's reference says what is so: its examples are run, and no key is without one.

use std::collections::BTreeSet;

use aqueduct_contract::{Item, ItemKey, Version};
use aqueduct_model::{Expression, Model, SCHEMA, Scope};
use serde_json::{Value, json};

const REFERENCE: &str = include_str!("../../README.md");

/// What stands between fences of that kind.
fn fenced(kind: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in REFERENCE.lines() {
        if inside && line == "```" {
            inside = false;
        } else if inside {
            blocks.last_mut().unwrap().push_str(&format!("{line}\n"));
        } else if line == format!("```{kind}") {
            inside = true;
            blocks.push(String::new());
        }
    }
    blocks
}

#[test]
fn every_example_is_a_model() {
    for example in fenced("yaml") {
        Model::parse([("README.md", &example)]).unwrap_or_else(|problems| panic!("{problems}\n{example}"));
    }
}

#[test]
fn every_key_has_an_example() {
    let language: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut keys = BTreeSet::new();
    collect(&language, &language["properties"], &mut |key| {
        keys.insert(key);
    });
    let limits =
        ["formatMinimum", "formatMaximum", "formatExclusiveMinimum", "formatExclusiveMaximum", "x-owner"];
    keys.extend(limits.map(str::to_owned));
    let examples = fenced("yaml").join("\n");
    let missing: Vec<_> = keys.iter().filter(|key| !examples.contains(&format!("{key}:"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Names of keys in `properties` of the language's schema, and of the objects within.
fn collect(language: &Value, properties: &Value, found: &mut dyn FnMut(String)) {
    for (key, schema) in properties.as_object().into_iter().flatten() {
        found(key.clone());
        let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        let mut schema = reference.and_then(|pointer| language.pointer(pointer)).unwrap_or(schema);
        // Below names that the user gives are keys again.
        while schema["additionalProperties"].is_object() {
            schema = &schema["additionalProperties"];
        }
        if key != "schema" {
            collect(language, &schema["properties"], found);
        }
    }
}

#[test]
fn every_expression_gives_what_the_table_says() {
    let attributes: Value = serde_json::from_str(&fenced("json")[0]).unwrap();
    let item = Item {
        key: ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), "ORD-000017".parse().unwrap())
            .unwrap(),
        version: Version::try_from(3_u64).unwrap(),
        attributes: attributes.as_object().unwrap().clone(),
        deleted: false,
        created_at: "2026-11-21T13:15:00Z".parse().unwrap(),
        created_by: "ann".to_owned(),
        updated_at: "2026-11-21T13:16:00Z".parse().unwrap(),
        updated_by: "bob".to_owned(),
    };
    let scope = Scope::of(&item);
    let (_, table) = REFERENCE.split_once("| expression | gives |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut count = 0;
    for row in rows {
        let (source, gives) = row.trim_matches(['|', ' ']).rsplit_once(" | ").unwrap();
        let expression: Expression = serde_json::from_value(json!(source.trim_matches('`'))).unwrap();
        match gives.strip_prefix('`').and_then(|gives| gives.strip_suffix('`')) {
            Some(gives) => assert_eq!(expression.evaluate(&scope).unwrap().to_string(), gives, "{source}"),
            None => assert!(gives == "an error" && expression.evaluate(&scope).is_err(), "{source}"),
        }
        count += 1;
    }
    assert!(count > 10);
}
