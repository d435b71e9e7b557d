//! A row that was read, as the JSON object that a reader is given.

use std::sync::Arc;

use aqueduct_model::ColumnType;
use jiff::{SignedDuration, Timestamp};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::ReadError;

/// 2000-01-01T00:00:00Z in seconds: where the times of Postgres begin.
const POSTGRES_EPOCH: i64 = 946_684_800;

/// A row of a view. It is a JSON object with a member for each field that was asked for: decimals are strings, times RFC 3339 in UTC.
///
/// It is written from what Postgres sent straight into the answer. Postgres making the object itself costs three times as much.
#[derive(Debug)]
pub struct Row {
    row: PgRow,
    fields: Arc<[(String, ColumnType)]>,
}

impl Row {
    /// A row whose first columns are these, as [`expression`] reads them.
    pub(super) fn new(row: PgRow, fields: Arc<[(String, ColumnType)]>) -> Row {
        Row { row, fields }
    }

    /// The text of a column, by its place.
    pub(super) fn text(&self, place: usize, column_type: ColumnType) -> Result<Option<String>, ReadError> {
        let value = serde_json::to_value(Cell { row: &self.row, place, column_type })
            .map_err(|error| ReadError::Unavailable(crate::Error::Registry(error.to_string())))?;
        Ok(match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        })
    }
}

/// How a column is read: as text where the driver has no type for it.
pub(super) fn expression(column: &str, column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Numeric { .. } | ColumnType::Date | ColumnType::Uuid => format!("{column}::text"),
        _ => column.to_owned(),
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.fields.len()))?;
        for (place, (name, column_type)) in self.fields.iter().enumerate() {
            object.serialize_entry(name, &Cell { row: &self.row, place, column_type: *column_type })?;
        }
        object.end()
    }
}

/// One value.
struct Cell<'r> {
    row: &'r PgRow,
    place: usize,
    column_type: ColumnType,
}

impl<'r> Cell<'r> {
    fn get<T: Decode<'r, Postgres> + Type<Postgres>, E: serde::ser::Error>(&self) -> Result<Option<T>, E> {
        self.row.try_get(self.place).map_err(E::custom)
    }
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.column_type {
            ColumnType::Text | ColumnType::Numeric { .. } | ColumnType::Date | ColumnType::Uuid => {
                self.get::<&str, S::Error>()?.serialize(serializer)
            }
            ColumnType::Bigint => self.get::<i64, S::Error>()?.serialize(serializer),
            ColumnType::Integer => self.get::<i32, S::Error>()?.serialize(serializer),
            ColumnType::Boolean => self.get::<bool, S::Error>()?.serialize(serializer),
            ColumnType::DoublePrecision => self.get::<f64, S::Error>()?.serialize(serializer),
            ColumnType::Jsonb => {
                let json = self.get::<Json<&RawValue>, S::Error>()?;
                json.map(|Json(json)| json).serialize(serializer)
            }
            ColumnType::Timestamptz => {
                // Microseconds: the driver has no type for jiff's.
                let micros: Option<i64> = self.row.try_get_unchecked(self.place).map_err(S::Error::custom)?;
                let time = micros.map(|micros| {
                    let epoch = Timestamp::from_second(POSTGRES_EPOCH)?;
                    epoch.checked_add(SignedDuration::from_micros(micros))
                });
                match time.transpose().map_err(S::Error::custom)? {
                    Some(time) => aqueduct_contract::micros::serialize(&time, serializer),
                    None => serializer.serialize_none(),
                }
            }
        }
    }
}
