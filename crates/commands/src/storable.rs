//! What no schema forbids and yet one of the stores cannot hold: refused here, or it would be a dead letter there.

use aqueduct_contract::Attributes;
use aqueduct_model::Violation;
use serde_json::Value;

/// Levels of objects and arrays below the attributes themselves. DynamoDB stores 32: the attributes are one, and the
/// innermost value is one.
const DEPTH_LIMIT: usize = 30;
/// The smallest amount that DynamoDB stores as a number.
const SMALLEST: f64 = 1e-130;

/// Every place in `attributes` that cannot be stored.
pub(crate) fn unstorable(attributes: &Attributes) -> Vec<Violation> {
    let mut found = Vec::new();
    look_into_object(attributes, &mut String::new(), 0, &mut found);
    found
}

fn look_into(value: &Value, pointer: &mut String, depth: usize, found: &mut Vec<Violation>) {
    match value {
        Value::String(text) if text.contains('\0') => found.push(null_character(pointer)),
        Value::Number(number)
            if number.as_f64().is_some_and(|float| float != 0.0 && float.abs() < SMALLEST) =>
        {
            found.push(Violation {
                pointer: pointer.clone(),
                message: "is closer to zero than 1e-130".to_owned(),
                keyword: "smallest".to_owned(),
            });
        }
        Value::Array(_) | Value::Object(_) if depth == DEPTH_LIMIT => found.push(Violation {
            pointer: pointer.clone(),
            message: format!("is nested more than {DEPTH_LIMIT} levels deep"),
            keyword: "maxDepth".to_owned(),
        }),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                within(pointer, &index.to_string(), |pointer| look_into(element, pointer, depth + 1, found));
            }
        }
        Value::Object(fields) => look_into_object(fields, pointer, depth + 1, found),
        _ => {}
    }
}

fn look_into_object(fields: &Attributes, pointer: &mut String, depth: usize, found: &mut Vec<Violation>) {
    for (name, value) in fields {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        within(pointer, &escaped, |pointer| {
            if name.contains('\0') {
                found.push(null_character(pointer));
            }
            look_into(value, pointer, depth, found);
        });
    }
}

fn within(pointer: &mut String, token: &str, look: impl FnOnce(&mut String)) {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(token);
    look(pointer);
    pointer.truncate(length);
}

fn null_character(pointer: &str) -> Violation {
    Violation {
        pointer: pointer.to_owned(),
        message: "contains the character U+0000, which Postgres cannot store".to_owned(),
        keyword: "noNull".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{DEPTH_LIMIT, unstorable};

    fn pointers(value: Value) -> Vec<String> {
        let Value::Object(attributes) = value else { panic!("attributes are an object") };
        unstorable(&attributes).into_iter().map(|violation| violation.pointer).collect()
    }

    #[test]
    fn null_characters_are_found_in_values_and_names() {
        let found = pointers(json!({"a": ["x", "y\u{0}"], "b\u{0}": 1, "c": {"d/e~": "\u{0}"}, "f": "fine"}));
        assert_eq!(found, ["/a/1", "/b\u{0}", "/c/d~1e~0"]);
    }

    #[test]
    fn numbers_next_to_zero_are_found() {
        assert_eq!(pointers(json!({"a": 0, "b": 0.0, "c": -1e-131, "d": 1e-129})), ["/c"]);
    }

    #[test]
    fn nesting_is_limited_at_the_same_depth_for_objects_and_arrays() {
        let nested = |levels: usize, wrap: fn(Value) -> Value| json!({ "a": (0..levels).fold(json!(1), |inner, _| wrap(inner)) });
        for wrap in [|inner| json!([inner]), |inner| json!({ "b": inner })] {
            assert!(pointers(nested(DEPTH_LIMIT, wrap)).is_empty());
            assert_eq!(pointers(nested(DEPTH_LIMIT + 1, wrap)).len(), 1);
        }
    }
}
