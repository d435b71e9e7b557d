//! JSON values as native attributes, and back.
//!
//! | JSON | attribute |
//! | --- | --- |
//! | null | NULL |
//! | true, false | BOOL |
//! | number | N, as the same decimal number: `1.0` comes back as `1`, `-0.0` as `0` |
//! | string, also empty | S |
//! | array, also empty | L |
//! | object, also empty | M; the order of its keys is not kept |
//!
//! Three things that JSON has DynamoDB refuses: numbers not zero whose amount is below 10⁻¹³⁰ or from 10¹²⁶ on, fields
//! whose name is empty, and more than 32 levels.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Number, Value};

use crate::{Error, Result};

/// Containers within each other, the item's attributes themselves being the first; the values in the last one are the
/// 32nd level.
const CONTAINERS: usize = 31;

/// The attribute that an item's fields are stored as.
pub(super) fn encode_fields(fields: &Map<String, Value>) -> Result<AttributeValue> {
    encode_map(fields, 1)
}

fn encode_map(entries: &Map<String, Value>, level: usize) -> Result<AttributeValue> {
    if entries.contains_key("") {
        return Err(Error::Unstorable("a field has an empty name".to_owned()));
    }
    let entries = entries.iter().map(|(name, value)| Ok((name.clone(), encode(value, level)?)));
    Ok(AttributeValue::M(entries.collect::<Result<_>>()?))
}

fn encode(value: &Value, level: usize) -> Result<AttributeValue> {
    if (value.is_array() || value.is_object()) && level == CONTAINERS {
        return Err(Error::Unstorable(format!(
            "the attributes are nested more than {CONTAINERS} levels deep"
        )));
    }
    Ok(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(number) => AttributeValue::N(encode_number(number)?),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(elements) => AttributeValue::L(
            elements.iter().map(|element| encode(element, level + 1)).collect::<Result<_>>()?,
        ),
        Value::Object(entries) => encode_map(entries, level + 1)?,
    })
}

fn encode_number(number: &Number) -> Result<String> {
    if number.is_i64() || number.is_u64() {
        return Ok(number.to_string());
    }
    match number.as_f64() {
        Some(0.0) => Ok("0".to_owned()),
        // Without exponent, as DynamoDB answers: what is read back is the same text but for zeros at its ends.
        Some(float) if (1e-130..1e126).contains(&float.abs()) => Ok(float.to_string()),
        _ => Err(Error::Unstorable(format!("the number {number} is outside 10^-130 to 10^126"))),
    }
}

/// The JSON value that was stored; the reason, if none was.
pub(super) fn decode(attribute: AttributeValue) -> Result<Value, String> {
    Ok(match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(flag) => Value::Bool(flag),
        AttributeValue::N(digits) => Value::Number(decode_number(&digits)?),
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::L(elements) => {
            Value::Array(elements.into_iter().map(decode).collect::<Result<_, String>>()?)
        }
        AttributeValue::M(entries) => Value::Object(decode_fields(entries)?),
        other => return Err(format!("no JSON value is stored as {other:?}")),
    })
}

/// The fields that [`encode_fields`] stored, in order of their names.
pub(super) fn decode_fields(entries: HashMap<String, AttributeValue>) -> Result<Map<String, Value>, String> {
    let mut entries: Vec<(String, AttributeValue)> = entries.into_iter().collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    entries.into_iter().map(|(name, value)| Ok((name, decode(value)?))).collect()
}

fn decode_number(digits: &str) -> Result<Number, String> {
    let whole = digits.parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from));
    whole
        .ok()
        .or_else(|| digits.parse().ok().and_then(Number::from_f64))
        .ok_or_else(|| format!("{digits} is not a number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(".+", inner, 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back_as_it_was(value in json_value()) {
            prop_assert_eq!(decode(encode(&value, 1).unwrap()).unwrap(), value);
        }

        #[test]
        fn a_fraction_reads_back_as_the_very_same_number(number in any::<f64>()) {
            let Some(json) = Number::from_f64(number) else { return Ok(()) };
            if let Ok(digits) = encode_number(&json) {
                let back = decode_number(&digits).unwrap();
                // By amount, so that 0 is -0.
                prop_assert!(back.as_f64().unwrap() == number, "{} is not {}", back, number);
            }
        }
    }

    #[test]
    fn numbers_are_equal_by_amount() {
        let cases = [
            (json!(1.0), json!(1)),
            (json!(-0.0), json!(0)),
            (json!(1e15), json!(1_000_000_000_000_000_u64)),
        ];
        for (number, reads_back) in cases {
            assert_eq!(decode(encode(&number, 1).unwrap()).unwrap(), reads_back, "{number}");
        }
    }

    #[test]
    fn numbers_beyond_dynamodb_are_refused() {
        for number in [1e126, -1e126, 1e300, 9.9e-131, -1e-200] {
            assert!(matches!(encode(&json!(number), 1), Err(Error::Unstorable(_))), "{number}");
        }
    }

    #[test]
    fn a_field_with_an_empty_name_is_refused() {
        assert!(matches!(encode(&json!({"a": {"": 1}}), 1), Err(Error::Unstorable(_))));
    }

    #[test]
    fn nesting_beyond_dynamodb_is_refused() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(encode(&nested(CONTAINERS - 1), 1).is_ok());
        assert!(matches!(encode(&nested(CONTAINERS), 1), Err(Error::Unstorable(_))));
    }
}
