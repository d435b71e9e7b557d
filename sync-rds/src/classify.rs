//! What each error of Postgres asks for: the one place where a SQLSTATE becomes a reaction.
//!
//! Only what Postgres says about the *values* of a row is a record's fault. Everything else (down, full, locked,
//! not allowed, table gone) concerns all records alike: none of them is set aside for it, the view waits and is tried again
//! for as long as it takes, and goes on by itself once somebody has put the cause right. Nothing here stops the
//! process either: it serves other views, which are well.
//!
//! | SQLSTATE | is | reaction |
//! | --- | --- | --- |
//! | 22… 23… | a value that its column cannot hold | the row is refused |
//! | 54000 | a value too large for the index on its column | the row is refused |
//! | 40… 55P03 | serialisation, deadlock, lock timeout | slow down, again |
//! | 57014 | statement timeout | slow down, again |
//! | 53300 | too many connections | slow down, again |
//! | 42P01 42703 | the table or a column of it is gone | say so, wait, again |
//! | all others, and errors without one | not the row's fault | wait, again |

use aqueduct_engine::{Reason, SinkError};

/// The code of a row that Postgres refuses for its values.
pub const ROW_REFUSED: &str = "RowRefused";

/// What the engine is to do about `error`.
#[must_use]
pub fn classify(error: sqlx::Error) -> SinkError {
    let Some(refusal) = error.as_database_error() else { return unavailable(error) };
    let state = refusal.code().unwrap_or_default().into_owned();
    match (state.get(..2), state.as_str()) {
        (Some("22" | "23"), _) | (_, "54000") => {
            SinkError::Poison(Reason::new(ROW_REFUSED, format!("{} (SQLSTATE {state})", refusal.message())))
        }
        (Some("40"), _) | (_, "55P03" | "57014" | "53300") => SinkError::Saturated,
        (_, "42P01" | "42703") => SinkError::Unavailable(Box::new(TableGone(error))),
        _ => unavailable(error),
    }
}

fn unavailable(error: sqlx::Error) -> SinkError {
    SinkError::Unavailable(Box::new(aqueduct_views::Error::from(error)))
}

/// Making the table again, empty, would not bring back what it held: its events are behind the committed offsets.
#[derive(Debug, thiserror::Error)]
#[error("the view's table, or a column of it, is gone; its events wait until it is restored: {0}")]
struct TableGone(sqlx::Error);

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error as StdError;
    use std::fmt;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    #[derive(Debug)]
    struct Answer(&'static str);

    impl fmt::Display for Answer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Answer {}

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            "no"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn reaction(state: &'static str) -> &'static str {
        match classify(sqlx::Error::Database(Box::new(Answer(state)))) {
            SinkError::Poison(reason) => reason.code,
            SinkError::Saturated => "saturated",
            SinkError::Unavailable(_) => "unavailable",
            SinkError::Fatal(_) => "fatal",
        }
    }

    #[test]
    fn a_value_that_does_not_fit_refuses_its_row() {
        for state in ["22P02", "22003", "22021", "22P05", "23502", "54000"] {
            assert_eq!(reaction(state), ROW_REFUSED, "{state}");
        }
    }

    #[test]
    fn contention_slows_down() {
        for state in ["40001", "40P01", "55P03", "57014", "53300"] {
            assert_eq!(reaction(state), "saturated", "{state}");
        }
    }

    #[test]
    fn everything_else_waits() {
        for state in [
            "08006", "57P01", "57P03", "53100", "53200", "58030", "25006", "28P01", "3D000", "42501",
            "42P01", "42703", "42804", "XX000", "", "?",
        ] {
            assert_eq!(reaction(state), "unavailable", "{state}");
        }
        assert!(matches!(classify(sqlx::Error::PoolTimedOut), SinkError::Unavailable(_)));
    }
}
