//! Defaults of columns: which values a column of a type can hold.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

use super::ColumnType;

/// Why a column of that type cannot hold `value`.
pub(super) fn misfit(value: &Value, column_type: ColumnType) -> Option<String> {
    let fits = match (column_type, value) {
        (_, Value::Null) => return Some("null is what stands there without a default".to_owned()),
        (ColumnType::Jsonb, value) => !has_nul(value),
        (ColumnType::Text, Value::String(text)) => !text.contains('\0'),
        (ColumnType::Boolean, Value::Bool(_)) | (ColumnType::DoublePrecision, Value::Number(_)) => true,
        (ColumnType::Bigint, Value::Number(number)) => number.is_i64(),
        (ColumnType::Integer, Value::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (ColumnType::Numeric { precision, scale }, Value::Number(number)) => {
            has_digits(&number.to_string(), precision, scale)
        }
        (ColumnType::Numeric { precision, scale }, Value::String(text)) => has_digits(text, precision, scale),
        (ColumnType::Timestamptz, Value::String(text)) => text.parse::<Timestamp>().is_ok(),
        (ColumnType::Date, Value::String(text)) => text.parse::<Date>().is_ok(),
        (ColumnType::Uuid, Value::String(text)) => Uuid::try_parse(text).is_ok(),
        _ => false,
    };
    (!fits).then(|| format!("{value} is never a {column_type}"))
}

/// Whether a decimal has no more digits before its point than there is room for, and none after it that would be cut.
fn has_digits(text: &str, precision: u16, scale: u16) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let room = usize::from(precision - scale);
    are_digits(whole)
        && are_digits(fraction)
        && whole.trim_start_matches('0').len() <= room
        && fraction.trim_end_matches('0').len() <= usize::from(scale)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_default_is_a_value_of_its_column() {
        for (column_type, good, bad) in [
            ("text", json!("x"), json!(5)),
            ("bigint", json!(i64::MAX), json!(1.5)),
            ("integer", json!(-5), json!(2_147_483_648_i64)),
            ("boolean", json!(false), json!("false")),
            ("numeric(4,2)", json!("-12.5"), json!("123.0")),
            ("numeric(4,2)", json!(1.5), json!("0.005")),
            ("double precision", json!(1e300), json!("1")),
            ("timestamptz", json!("2026-11-21T13:15:00Z"), json!("now")),
            ("date", json!("2026-02-28"), json!("2026-02-30")),
            ("uuid", json!("0190b6c8-7f3e-7b1a-9a55-0f1e2d3c4b5a"), json!("x")),
            ("jsonb", json!([]), json!("a\0b")),
        ] {
            let column_type: ColumnType = column_type.parse().unwrap();
            assert_eq!(misfit(&good, column_type), None, "{column_type}");
            assert!(misfit(&bad, column_type).is_some(), "{column_type}");
            assert!(misfit(&Value::Null, column_type).is_some(), "{column_type}");
        }
    }
}
