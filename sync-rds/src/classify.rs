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
    let Some(refusal) = error.as_database_error() else { return SinkError::Unavailable(Box::new(error)) };
    let state = refusal.code().unwrap_or_default().into_owned();
    match (state.get(..2), state.as_str()) {
        (Some("22" | "23"), _) | (_, "54000") => {
            SinkError::Poison(Reason::new(ROW_REFUSED, format!("{} (SQLSTATE {state})", refusal.message())))
        }
        (Some("40"), _) | (_, "55P03" | "57014" | "53300") => SinkError::Saturated,
        (_, "42P01" | "42703") => SinkError::Unavailable(Box::new(TableGone(error))),
        _ => SinkError::Unavailable(Box::new(error)),
    }
}

/// Making the table again, empty, would not bring back what it held: its events are behind the committed offsets.
#[derive(Debug, thiserror::Error)]
#[error("the view's table, or a column of it, is gone; its events wait until it is restored: {0}")]
struct TableGone(sqlx::Error);
