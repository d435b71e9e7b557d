//! What a request may compare a column with.

use aqueduct_model::ColumnType;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

/// The value as Postgres is given it, or what is expected instead.
pub fn check(column_type: ColumnType, text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("expected text without U+0000".to_owned());
    }
    let plain = |fits: bool, expected: &str| {
        if fits {
            Ok(text.to_owned())
        } else {
            Err(format!("expected {expected}, such as {}", example(column_type)))
        }
    };
    match column_type {
        ColumnType::Text => Ok(text.to_owned()),
        ColumnType::Bigint => plain(text.parse::<i64>().is_ok(), "a whole number of 64 bits"),
        ColumnType::Integer => plain(text.parse::<i32>().is_ok(), "a whole number of 32 bits"),
        ColumnType::Boolean => plain(matches!(text, "true" | "false"), "true or false"),
        ColumnType::Numeric { .. } => plain(is_decimal(text), "a decimal number"),
        ColumnType::DoublePrecision => plain(text.parse::<f64>().is_ok_and(f64::is_finite), "a number"),
        ColumnType::Timestamptz => match text.parse::<Timestamp>() {
            Ok(time) => Ok(aqueduct_contract::format_time(time)),
            Err(_) => plain(false, "a time in RFC 3339 (a + is %2B in a URL)"),
        },
        ColumnType::Date => match text.parse::<Date>() {
            Ok(date) => Ok(date.to_string()),
            Err(_) => plain(false, "a date"),
        },
        ColumnType::Uuid => plain(Uuid::try_parse(text).is_ok(), "a UUID"),
        ColumnType::Jsonb => plain(serde_json::from_str::<Value>(text).is_ok(), "JSON"),
    }
}

/// Digits without an exponent: `1e1000000` is short to send and long to compare.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 1000 && are_digits(whole) && are_digits(fraction)
}

fn example(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "abc",
        ColumnType::Bigint | ColumnType::Integer => "42",
        ColumnType::Boolean => "true",
        ColumnType::Numeric { .. } | ColumnType::DoublePrecision => "19.90",
        ColumnType::Timestamptz => "2026-11-21T13:15:00Z",
        ColumnType::Date => "2026-11-21",
        ColumnType::Uuid => "0190b6c8-7f3e-7b1a-9a55-0f1e2d3c4b5a",
        ColumnType::Jsonb => r#"{"code": "LAMP-1"}"#,
    }
}
