//! The one place where a name or a text becomes part of generated SQL.
//!
//! Names come from model files and from the registry. Quoted, a name is a name, whatever is in it.

/// A name or text that cannot stand in SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Postgres has no empty names.
    #[error("an empty name")]
    Empty,
    /// Postgres would cut it without an error, and two names could become one.
    #[error("the name {0:?} is longer than 63 bytes")]
    TooLong(String),
    /// Postgres cannot hold U+0000.
    #[error("{0:?} has the character U+0000")]
    Nul(String),
}

/// Bytes of a name that Postgres keeps.
pub const NAME_LIMIT: usize = 63;

/// `orders` as `"orders"`.
pub fn identifier(name: &str) -> Result<String, QuoteError> {
    if name.is_empty() {
        Err(QuoteError::Empty)
    } else if name.len() > NAME_LIMIT {
        Err(QuoteError::TooLong(name.to_owned()))
    } else if name.contains('\0') {
        Err(QuoteError::Nul(name.to_owned()))
    } else {
        Ok(format!("\"{}\"", name.replace('"', "\"\"")))
    }
}

/// `it's` as `'it''s'`; with a backslash in it as `E'…'`, which reads the same whatever `standard_conforming_strings`
/// is.
pub fn literal(text: &str) -> Result<String, QuoteError> {
    if text.contains('\0') {
        return Err(QuoteError::Nul(text.to_owned()));
    }
    let doubled = text.replace('\'', "''");
    Ok(if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_name_ends_where_it_should() {
        assert_eq!(identifier("orders").unwrap(), r#""orders""#);
        assert_eq!(identifier(r#"o"; DROP TABLE x; --"#).unwrap(), r#""o""; DROP TABLE x; --""#);
        assert_eq!(identifier("Größe ✓").unwrap(), "\"Größe ✓\"");
        assert_eq!(identifier("select").unwrap(), "\"select\"");
        assert_eq!(identifier("\\").unwrap(), "\"\\\"");
    }

    #[test]
    fn a_name_that_postgres_would_change_is_refused() {
        assert_eq!(identifier(""), Err(QuoteError::Empty));
        assert!(identifier(&"x".repeat(63)).is_ok());
        assert!(matches!(identifier(&"x".repeat(64)), Err(QuoteError::TooLong(_))));
        assert!(
            matches!(identifier(&"ä".repeat(32)), Err(QuoteError::TooLong(_))),
            "bytes count, not characters"
        );
        assert!(matches!(identifier("a\0b"), Err(QuoteError::Nul(_))));
    }

    #[test]
    fn a_quoted_text_ends_where_it_should() {
        assert_eq!(literal("it's").unwrap(), "'it''s'");
        assert_eq!(literal("").unwrap(), "''");
        assert_eq!(literal(r"\'; DROP TABLE x; --").unwrap(), r"E'\\''; DROP TABLE x; --'");
        assert!(literal("a\0b").is_err());
    }
}
