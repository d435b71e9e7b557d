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

/// What the same is called elsewhere.
const ALIASES: [(&str, &str); 20] = [
    ("string", "text"),
    ("varchar", "text"),
    ("char", "text"),
    ("int", "integer"),
    ("int4", "integer"),
    ("smallint", "integer"),
    ("int8", "bigint"),
    ("long", "bigint"),
    ("bool", "boolean"),
    ("numeric", "numeric(14,2)"),
    ("decimal", "numeric(14,2)"),
    ("money", "numeric(14,2)"),
    ("number", "numeric(14,2)"),
    ("float", "double precision"),
    ("real", "double precision"),
    ("double", "double precision"),
    ("timestamp", "timestamptz"),
    ("datetime", "timestamptz"),
    ("json", "jsonb"),
    ("object", "jsonb"),
];

impl ColumnType {
    /// One of each; the digits of `numeric` are those that are suggested.
    pub const ALL: [ColumnType; 10] = [
        ColumnType::Text,
        ColumnType::Bigint,
        ColumnType::Integer,
        ColumnType::Boolean,
        ColumnType::Numeric { precision: 14, scale: 2 },
        ColumnType::DoublePrecision,
        ColumnType::Timestamptz,
        ColumnType::Date,
        ColumnType::Uuid,
        ColumnType::Jsonb,
    ];

    /// The type that was probably meant.
    pub(crate) fn suggestion(text: &str) -> Option<String> {
        let lower = text.to_lowercase();
        let name = lower.split('(').next().unwrap_or_default().trim();
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, name)| (*name).to_owned());
        let names = Self::ALL.map(String::from);
        alias.or_else(|| crate::spelling::nearest(&lower, names.iter().map(String::as_str)))
    }
}

impl FromStr for ColumnType {
    type Err = ColumnTypeError;

    fn from_str(text: &str) -> Result<ColumnType, ColumnTypeError> {
        match Self::ALL.into_iter().find(|known| known.to_string() == text) {
            Some(known) => Ok(known),
            None => numeric(text),
        }
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

#[cfg(test)]
mod tests {
    use super::{ALIASES, ColumnType};

    #[test]
    fn every_type_is_read_as_it_is_written() {
        for column_type in ColumnType::ALL {
            assert_eq!(column_type.to_string().parse(), Ok(column_type));
        }
        assert_eq!("numeric(30,4)".parse(), Ok(ColumnType::Numeric { precision: 30, scale: 4 }));
        assert_eq!("numeric( 5 )".parse(), Ok(ColumnType::Numeric { precision: 5, scale: 0 }));
    }

    #[test]
    fn digits_that_postgres_would_not_take_are_refused() {
        for bad in [
            "numeric",
            "numeric()",
            "numeric(0,0)",
            "numeric(1001,0)",
            "numeric(5,6)",
            "numeric(5,-1)",
            "numeric(5,2",
        ] {
            assert!(bad.parse::<ColumnType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_called_otherwise_elsewhere_is_suggested() {
        for (alias, name) in ALIASES {
            assert!(alias.parse::<ColumnType>().is_err());
            assert_eq!(ColumnType::suggestion(alias).as_deref(), Some(name));
        }
        assert_eq!(ColumnType::suggestion("VARCHAR(20)").as_deref(), Some("text"));
        assert_eq!(ColumnType::suggestion("jsnob").as_deref(), Some("jsonb"));
        assert_eq!(ColumnType::suggestion("hstore"), None);
    }
}
