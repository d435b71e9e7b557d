//! Types a column can have.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Postgres type that a value of JSON can become. `Display` writes it as Postgres does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnType {
    /// `text`
    Text,
    /// `bigint`
    Bigint,
    /// `integer`
    Integer,
    /// `boolean`
    Boolean,
    /// `numeric(precision, scale)`: exact decimals.
    Numeric {
        /// Digits in all, 1 to 1000.
        precision: u16,
        /// Digits after the point, at most `precision`.
        scale: u16,
    },
    /// `double precision`
    DoublePrecision,
    /// `timestamptz`
    Timestamptz,
    /// `date`
    Date,
    /// `uuid`
    Uuid,
    /// `jsonb`
    Jsonb,
}

/// Text that names no column type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnTypeError {
    /// No such type.
    #[error("unknown column type `{0}`")]
    Unknown(String),
    /// `numeric` with digits that Postgres would not take.
    #[error("`{0}` needs a precision of 1 to 1000 and a scale of at most that: numeric(14,2)")]
    Digits(String),
}

impl ColumnType {
    /// The spellings that a model file can use.
    pub const NAMES: [&str; 10] = [
        "text",
        "bigint",
        "integer",
        "boolean",
        "numeric(14,2)",
        "double precision",
        "timestamptz",
        "date",
        "uuid",
        "jsonb",
    ];
}

impl FromStr for ColumnType {
    type Err = ColumnTypeError;

    fn from_str(text: &str) -> Result<ColumnType, ColumnTypeError> {
        Ok(match text {
            "text" => ColumnType::Text,
            "bigint" => ColumnType::Bigint,
            "integer" => ColumnType::Integer,
            "boolean" => ColumnType::Boolean,
            "double precision" => ColumnType::DoublePrecision,
            "timestamptz" => ColumnType::Timestamptz,
            "date" => ColumnType::Date,
            "uuid" => ColumnType::Uuid,
            "jsonb" => ColumnType::Jsonb,
            other => return numeric(other),
        })
    }
}

fn numeric(text: &str) -> Result<ColumnType, ColumnTypeError> {
    let rest = text.strip_prefix("numeric").ok_or_else(|| ColumnTypeError::Unknown(text.to_owned()))?;
    let digits = || ColumnTypeError::Digits(text.to_owned());
    let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(digits)?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let precision: u16 = precision.trim().parse().map_err(|_| digits())?;
    let scale: u16 = scale.trim().parse().map_err(|_| digits())?;
    if (1..=1000).contains(&precision) && scale <= precision {
        Ok(ColumnType::Numeric { precision, scale })
    } else {
        Err(digits())
    }
}

impl TryFrom<String> for ColumnType {
    type Error = ColumnTypeError;

    fn try_from(text: String) -> Result<ColumnType, ColumnTypeError> {
        text.parse()
    }
}

impl From<ColumnType> for String {
    fn from(column_type: ColumnType) -> String {
        column_type.to_string()
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Text => f.write_str("text"),
            ColumnType::Bigint => f.write_str("bigint"),
            ColumnType::Integer => f.write_str("integer"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            ColumnType::DoublePrecision => f.write_str("double precision"),
            ColumnType::Timestamptz => f.write_str("timestamptz"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Uuid => f.write_str("uuid"),
            ColumnType::Jsonb => f.write_str("jsonb"),
        }
    }
}
