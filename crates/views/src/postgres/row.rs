//! The row that an item becomes.
//!
//! Values are text, as Postgres would be given them in a literal, and cast there: a number arrives with the digits it
//! has in JSON. What cannot be cast is refused by Postgres, which names the row's fault better than a second
//! implementation of its input syntax here could.

use aqueduct_contract::{Item, format_time};
use aqueduct_model::{Column, ColumnType, PostgresView, Scope};
use serde_json::Value;

use crate::MappingError;

/// One row, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// First half of the key.
    pub tenant: String,
    /// Second half of the key, not encoded.
    pub id: String,
    /// What the guard compares.
    pub item_version: i64,
    /// A deleted item's row stays, with null in every column of the view: an older event must not bring it back.
    pub deleted: bool,
    /// When the first version was written, RFC 3339.
    pub created_at: String,
    /// When this version was written, RFC 3339.
    pub updated_at: String,
    /// The view's own columns, in its order.
    pub values: Vec<Option<String>>,
}

/// Maps an item to its row in `view`. Nothing is evaluated for a deleted item.
pub fn row(view: &PostgresView, item: &Item) -> Result<Row, MappingError> {
    let values = if item.deleted {
        vec![None; view.columns.len()]
    } else {
        let scope = Scope::of(item);
        view.columns.iter().map(|column| value(column, &scope)).collect::<Result<_, _>>()?
    };
    Ok(Row {
        tenant: item.key.tenant().to_string(),
        id: item.key.id().to_string(),
        item_version: item.version.as_i64(),
        deleted: item.deleted,
        created_at: format_time(item.created_at),
        updated_at: format_time(item.updated_at),
        values,
    })
}

fn value(column: &Column, scope: &Scope<'_>) -> Result<Option<String>, MappingError> {
    let fail = |message: String| MappingError { part: format!("column {}", column.name), message };
    let value = column.from.evaluate(scope).map_err(|error| fail(error.to_string()))?;
    let text = text(column.column_type, value);
    match &text {
        Some(moment) if is_moment(column.column_type) && !moment.bytes().all(is_of_a_moment) => {
            Err(fail(format!("{moment:?} is not a date or time in ISO 8601")))
        }
        _ => Ok(text),
    }
}

fn text(column_type: ColumnType, value: Value) -> Option<String> {
    match (column_type, value) {
        (_, Value::Null) => None,
        (ColumnType::Jsonb, value) => Some(value.to_string()),
        (_, Value::String(text)) => Some(text),
        (ColumnType::Bigint | ColumnType::Integer, Value::Number(number)) => Some(integer(&number)),
        (_, other) => Some(other.to_string()),
    }
}

/// `5.0` and `5e0` are the integer 5 in JSON Schema; Postgres would refuse both spellings in a `bigint`.
fn integer(number: &serde_json::Number) -> String {
    /// Up to here a double holds every integer exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            format!("{float:.0}")
        }
        _ => number.to_string(),
    }
}

fn is_moment(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::Timestamptz | ColumnType::Date)
}

/// Postgres also reads words there, and `now` or `today` would be another moment in every delivery of the same event.
fn is_of_a_moment(byte: u8) -> bool {
    byte.is_ascii_digit() || b":.+-TtZz ".contains(&byte)
}
