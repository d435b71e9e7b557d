//! JSON without the silent losses: a field that stands twice or a number too long for 64 bits is an error here, where
//! `serde_json` would keep the last one, or round.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::problem::{Code, Problem};

/// Reads a body. Nesting is limited to 128 levels.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice::<Strict>(body).map(|strict| strict.0).map_err(|error| {
        Problem::new(Code::JsonInvalid, error.to_string())
            .with("line", error.line())
            .with("column", error.column())
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // An integer of more digits than 64 bits hold arrives here already rounded.
        const LIMIT: f64 = 18_446_744_073_709_551_616.0;
        match Number::from_f64(value) {
            Some(number) if value.abs() < LIMIT => Ok(Value::Number(number)),
            _ => Err(E::custom("a number beyond 64 bits would be rounded: send it as a string")),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                let shown: String = name.chars().take(80).collect();
                return Err(A::Error::custom(format!("the field {shown:?} stands twice in one object")));
            }
            let Strict(value) = fields.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use serde_json::{Value, json};

    use super::parse;

    fn refused(body: &[u8]) -> Value {
        let problem = parse(body).expect_err("the body must be refused");
        problem.to_json(&Uri::from_static("/"), &"c".parse().unwrap())
    }

    #[test]
    fn what_json_can_say_is_read_unchanged() {
        let value =
            json!({"a": [null, true, 1, -1, 0.5, 18_446_744_073_709_551_615_u64, "ü"], "b": {"c": {}}});
        assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
    }

    #[test]
    fn malformed_json_is_refused_with_line_and_column() {
        let body = refused(b"{\n  \"a\": 1,\n  \"b\": }");
        assert_eq!(
            (&body["code"], &body["line"], &body["column"]),
            (&json!("JsonInvalid"), &json!(3), &json!(8))
        );
        assert_eq!(refused(b"")["code"], "JsonInvalid");
        assert_eq!(refused(b"{\"a\": \"\xff\"}")["code"], "JsonInvalid");
        assert_eq!(refused(b"{} trailing")["code"], "JsonInvalid");
    }

    #[test]
    fn a_field_that_stands_twice_is_refused_at_any_depth() {
        let body = refused(br#"{"a": [{"b": 1, "b": 2}]}"#);
        assert!(body["detail"].as_str().unwrap().contains("\"b\" stands twice"), "{body}");
        assert_eq!(body["line"], 1);
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        for number in ["18446744073709551616", "-99999999999999999999999", "1e400", "1e30"] {
            assert_eq!(refused(number.as_bytes())["code"], "JsonInvalid", "{number}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert_eq!(refused("[".repeat(100_000).as_bytes())["code"], "JsonInvalid");
    }
}
