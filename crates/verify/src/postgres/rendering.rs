//! How Postgres writes a value of a column, worked out here.
//!
//! What Postgres is given and what it shows differ: `2.5` in a `numeric(14,2)` is `2.50`. A value whose rendering is not
//! known for certain is `None`: its row is then compared by Postgres itself, so a gap here costs time and never a wrong verdict.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aqueduct_model::ColumnType;
use jiff::Timestamp;
use serde_json::value::RawValue;

/// What `column::text` shows after `text` was cast to `column_type`.
pub(super) fn rendered(column_type: ColumnType, text: &str) -> Option<Cow<'_, str>> {
    match column_type {
        ColumnType::Text => Some(text.into()),
        ColumnType::Bigint | ColumnType::Integer => Some(text.parse::<i64>().ok()?.to_string().into()),
        ColumnType::Boolean => matches!(text, "true" | "false").then_some(text.into()),
        ColumnType::Numeric { scale, .. } => numeric(text, usize::from(scale)).map(Cow::Owned),
        ColumnType::DoublePrecision => double(text).map(Cow::Owned),
        ColumnType::Timestamptz => timestamp(text.parse().ok()?).map(Cow::Owned),
        ColumnType::Date => is_date(text).then_some(text.into()),
        ColumnType::Uuid => is_uuid(text).then(|| text.to_ascii_lowercase().into()),
        ColumnType::Jsonb => {
            let mut out = String::with_capacity(text.len() + text.len() / 8);
            jsonb(text, &mut out)?;
            Some(out.into())
        }
    }
}

/// As `quote_nullable` writes it, so that no value can be taken for two.
pub(super) fn quote(text: Option<&str>, out: &mut String) {
    let Some(text) = text else {
        out.push_str("NULL");
        return;
    };
    if text.contains('\\') {
        out.push('E');
    }
    out.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            out.push(character);
        }
        out.push(character);
    }
    out.push('\'');
}

/// A moment as Postgres shows it in UTC; of years that it writes with four digits.
pub(super) fn timestamp(at: Timestamp) -> Option<String> {
    // Postgres rounds what is below a microsecond.
    let whole = at.subsec_nanosecond() % 1000 == 0;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    (whole && (1000..=9999).contains(&at.year())).then(|| at.strftime("%Y-%m-%d %H:%M:%S%.f+00").to_string())
}

fn numeric(text: &str, scale: usize) -> Option<String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let known = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    // What has more digits is rounded.
    if whole.is_empty() || !known(whole) || !known(part) || part.len() > scale {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let zero = whole.is_empty() && part.bytes().all(|digit| digit == b'0');
    let sign = if zero { "" } else { sign };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part:0<scale$}") })
}

fn double(text: &str) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    // Beyond, Postgres writes an exponent.
    let plain = number == 0.0 || (1e-4..1e15).contains(&number.abs());
    (plain && number.is_finite() && !(number == 0.0 && number.is_sign_negative())).then(|| number.to_string())
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Keys by length and then by bytes, the last of those that are equal; numbers with the digits they have.
fn jsonb(text: &str, out: &mut String) -> Option<()> {
    let text = text.trim();
    match text.bytes().next()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let mut members: Vec<(&String, &&RawValue)> = members.iter().collect();
            members.sort_by_key(|(name, _)| (name.len(), *name));
            out.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                out.push_str(&serde_json::to_string(name).ok()?);
                out.push_str(": ");
                jsonb(member.get(), out)?;
            }
            out.push('}');
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (place, element) in elements.into_iter().enumerate() {
                out.push_str(if place > 0 { ", " } else { "" });
                jsonb(element.get(), out)?;
            }
            out.push(']');
        }
        b'"' => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(text).ok()?).ok()?),
        b'-' | b'0'..=b'9' if text.contains(['e', 'E']) || text.starts_with("-0") => return None,
        _ => out.push_str(text),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(column_type: &str, text: &str) -> Option<String> {
        rendered(column_type.parse().unwrap(), text).map(Cow::into_owned)
    }

    #[test]
    fn values_are_written_as_postgres_writes_them() {
        for (column_type, given, expected) in [
            ("text", "O'Hara \\ co", "O'Hara \\ co"),
            ("bigint", "-007", "-7"),
            ("boolean", "true", "true"),
            ("numeric(14,2)", "2.5", "2.50"),
            ("numeric(14,2)", "-0.0", "0.00"),
            ("numeric(5,0)", "012", "12"),
            ("double precision", "5.0", "5"),
            ("double precision", "0.1", "0.1"),
            ("timestamptz", "2026-11-21T13:15:00.250Z", "2026-11-21 13:15:00.25+00"),
            ("timestamptz", "2026-11-21T13:15:00+01:00", "2026-11-21 12:15:00+00"),
            ("date", "2026-11-21", "2026-11-21"),
            ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (
                "jsonb",
                r#"{"bb":1.10,"a":[1,{"c":"x\u00e9\n"}],"a":[true,null],"z":"/"}"#,
                r#"{"a": [true, null], "z": "/", "bb": 1.10}"#,
            ),
        ] {
            assert_eq!(shown(column_type, given).as_deref(), Some(expected), "{column_type} {given}");
        }
    }

    #[test]
    fn what_is_not_known_for_certain_is_left_to_postgres() {
        for (column_type, given) in [
            ("numeric(14,2)", "1e3"),
            ("numeric(14,2)", "1.005"),
            ("double precision", "1e300"),
            ("timestamptz", "2026-11-21T13:15:00.0000001Z"),
            ("timestamptz", "2026-11-21"),
            ("date", "2026-11-21T13:15:00Z"),
            ("boolean", "yes"),
            ("uuid", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"),
            ("jsonb", r#"{"a":1e2}"#),
        ] {
            assert_eq!(shown(column_type, given), None, "{column_type} {given}");
        }
    }

    #[test]
    fn no_value_is_quoted_like_another() {
        let quoted = |text| {
            let mut out = String::new();
            quote(text, &mut out);
            out
        };
        assert_eq!(quoted(None), "NULL");
        assert_eq!(quoted(Some("NULL")), "'NULL'");
        assert_eq!(quoted(Some("it's")), "'it''s'");
        assert_eq!(quoted(Some(r"a\b")), r"E'a\\b'");
    }
}
