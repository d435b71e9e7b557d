//! Why a read model could not be read.

use crate::Error;

/// What a reader is told.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store does not take a value or a clause of the request; the text is the store's.
    #[error("{0}")]
    Refused(String),
    /// The store gave up: the query took longer than it may.
    #[error("the query took longer than it may")]
    TooSlow,
    /// The store cannot be reached, is overloaded, or fails.
    #[error(transparent)]
    Unavailable(#[from] Error),
}
