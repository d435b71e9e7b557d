//! What the attributes of an item must be: JSON Schema 2020-12, compiled when the model is loaded.
//!
//! Beyond the standard: formats are checked, not only noted; `format: decimal` is an exact decimal in a string, with
//! limits of its own (see [`decimal`]); a `pattern` is matched in linear time, so it has no look-around and no
//! back-references; nothing outside the file is ever fetched. Whatever the schema says, U+0000 and deep nesting are
//! refused (see [`guard`]).

mod applied;
mod check;
mod decimal;
mod defaults;
mod finding;
mod guard;
mod shape;

use std::sync::Arc;

use aqueduct_contract::Attributes;
use jsonschema::{Draft, PatternOptions, ValidationOptions, Validator};
use serde_json::Value;

pub(crate) use finding::{Finding, findings};
pub(crate) use shape::{Field, Shape};

/// More violations of one item help nobody.
const VIOLATIONS_LIMIT: usize = 1000;

/// A compiled schema. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    json: Arc<Value>,
    validator: Arc<Validator>,
    has_defaults: bool,
}

/// One thing that is wrong with attributes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// JSON pointer to the field within the attributes, also to one that is missing: `/items/0/price`.
    pub pointer: String,
    /// What is wrong with it, for people.
    pub message: String,
    /// The keyword of the schema that it breaks, such as `required`; `characters`, `length`, `amount` and `depth` for
    /// what no store could hold.
    pub keyword: String,
}

impl Schema {
    /// Mistakes in a schema that has the right form or does not. They point into `json`.
    pub(crate) fn mistakes(json: &Value) -> Vec<Finding> {
        check::before_compiling(json)
    }

    /// Compiles a schema that is known to have the right form; needs a large stack. The findings point into `json`.
    pub(crate) fn compile(json: Value) -> Result<Schema, Vec<Finding>> {
        let validator = options().build(&json).map_err(|error| vec![not_compiled(&error)])?;
        let has_defaults = check::subschemas(&json).iter().any(|(_, schema)| schema.contains_key("default"));
        if has_defaults {
            let parts = options().build_map(&json).map_err(|error| vec![not_compiled(&error)])?;
            let wrong = check::defaults(&json, &parts);
            if !wrong.is_empty() {
                return Err(wrong);
            }
        }
        Ok(Schema { json: Arc::new(json), validator: Arc::new(validator), has_defaults })
    }

    /// The schema as the model file has it, for OpenAPI and documentation.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Fills in the defaults and checks the result. Every violation is listed, up to a thousand.
    pub fn accept(&self, attributes: Attributes) -> Result<Attributes, Vec<Violation>> {
        let mut value = Value::Object(attributes);
        let unstorable = guard::unstorable(&value);
        if !unstorable.is_empty() {
            return Err(unstorable.into_iter().take(VIOLATIONS_LIMIT).map(Violation::from).collect());
        }
        if self.has_defaults && defaults::fill(&self.json, &self.json, &mut value).is_err() {
            let message = "the schema has too many defaults for it".to_owned();
            return Err(vec![Violation { pointer: String::new(), message, keyword: "default".to_owned() }]);
        }
        let violations: Vec<Violation> = self
            .validator
            .iter_errors(&value)
            .flat_map(|error| findings(&self.json, &error))
            .take(VIOLATIONS_LIMIT)
            .map(Violation::from)
            .collect();
        match value {
            Value::Object(accepted) if violations.is_empty() => Ok(accepted),
            _ => Err(violations),
        }
    }
}

/// How every schema of ours is read, the model language's own included.
pub(crate) fn options() -> ValidationOptions<'static> {
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false);
    decimal::register(options)
}

/// What is left after [`check`]. The error is of the schema as a value, or of a keyword as it was compiled.
fn not_compiled(error: &jsonschema::ValidationError<'_>) -> Finding {
    let instance = error.instance_path().as_str();
    let pointer = if instance.is_empty() { error.schema_path().as_str() } else { instance };
    let message = error.to_string();
    Finding { pointer: pointer.to_owned(), keyword: "schema".to_owned(), message, suggestion: None }
}

impl From<Finding> for Violation {
    fn from(finding: Finding) -> Violation {
        let message = match finding.suggestion {
            Some(meant) => format!("{}; did you mean `{meant}`?", finding.message),
            None => finding.message,
        };
        Violation { pointer: finding.pointer, message, keyword: finding.keyword }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Schema;

    fn refused(schema: Value, attributes: Value) -> Vec<String> {
        let Value::Object(attributes) = attributes else { panic!("attributes are an object") };
        let violations = Schema::compile(schema).ok().unwrap().accept(attributes).unwrap_err();
        violations.iter().map(|v| format!("{} [{}] {}", v.pointer, v.keyword, v.message)).collect()
    }

    fn line() -> Value {
        json!({
            "type": "object", "required": ["items"], "additionalProperties": false,
            "properties": {"status": {"enum": ["open", "closed"]}, "items": {"type": "array", "minItems": 1, "items": {
                "type": "object", "required": ["code", "price"],
                "properties": {
                    "code": {"type": "string"},
                    "quantity": {"type": "integer", "minimum": 1},
                    "price": {"type": "string", "format": "decimal", "formatExclusiveMinimum": "0"},
                },
            }}},
        })
    }

    #[test]
    fn every_violation_is_listed_with_its_pointer() {
        let order = json!({"state": "x", "status": "opne", "items": [
            {"code": 7, "quantity": 0, "price": "0.00"}, {"code": "a", "price": 2.5}, {"price": "1e3", "quantity": 1.5},
        ]});
        insta::assert_snapshot!(refused(line(), order).join("\n"));
    }

    #[test]
    fn a_missing_field_is_pointed_at() {
        assert_eq!(refused(line(), json!({})), ["/items [required] `items` is required"]);
    }

    #[test]
    fn names_in_pointers_are_escaped() {
        let closed = json!({"type": "object", "additionalProperties": false, "properties": {"a": {}}});
        assert_eq!(
            refused(closed, json!({"a/b~c": 1})),
            ["/a~1b~0c [additionalProperties] unknown field `a/b~c`"]
        );
    }

    #[test]
    fn the_null_character_is_refused_in_values_and_names() {
        let open = json!({"type": "object"});
        assert_eq!(
            refused(open, json!({"a": ["x\u{0}"], "b\u{0}": {"c": 1}})),
            [
                "/a/0 [characters] has the character U+0000, which cannot be stored",
                "/b\u{0} [characters] its name has the character U+0000, which cannot be stored",
            ]
        );
    }

    #[test]
    fn empty_names_and_numbers_of_amounts_without_measure_are_refused() {
        let open = json!({"type": "object"});
        assert_eq!(
            refused(open.clone(), json!({"a": {"": 1}, "b": 1e-131, "c": -1e126})),
            [
                "/a/ [characters] its name is empty, which cannot be stored",
                "/b [amount] is outside 1e-130 to 1e126",
                "/c [amount] is outside 1e-130 to 1e126",
            ]
        );
        let schema = Schema::compile(open).ok().unwrap();
        assert!(
            schema.accept(json!({"a": 0.0, "b": 1e-130, "c": 1e125}).as_object().unwrap().clone()).is_ok()
        );
    }

    #[test]
    fn names_that_are_too_long_are_refused_without_repeating_them() {
        let open = || json!({"type": "object"});
        let (longest, longer) = ("ü".repeat(25_000), "ü".repeat(25_000) + "x");
        assert_eq!(
            refused(open(), json!({"a": [{longer.as_str(): {"": 1}}], longer.as_str(): 1})),
            ["/a/0", ""].map(|pointer| format!(
                "{pointer} [length] has a field name of 50001 bytes, 50000 at most can be stored: `{}…`",
                "ü".repeat(40)
            ))
        );
        let schema = Schema::compile(open()).ok().unwrap();
        assert!(schema.accept(json!({longest: 1}).as_object().unwrap().clone()).is_ok());
    }

    #[test]
    fn sixteen_levels_are_storable_and_one_more_is_not() {
        let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        let schema = Schema::compile(json!({"type": "object"})).ok().unwrap();
        assert!(schema.accept(nested(16).as_object().unwrap().clone()).is_ok());
        assert_eq!(schema.accept(nested(17).as_object().unwrap().clone()).unwrap_err()[0].keyword, "depth");
    }

    #[test]
    fn defaults_are_in_what_is_accepted() {
        let schema = json!({"type": "object", "properties": {"status": {"enum": ["new"], "default": "new"}}});
        let accepted = Schema::compile(schema).ok().unwrap().accept(serde_json::Map::new()).unwrap();
        assert_eq!(Value::Object(accepted), json!({"status": "new"}));
    }
}
