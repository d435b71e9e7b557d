//! What can go wrong between a model and a registry, and between a view and an item.

use sqlx::migrate::MigrateError;

use crate::postgres::quote::QuoteError;

/// Why a registry could not be read, or a view not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres did not do it.
    #[error("Postgres: {0}")]
    Postgres(#[source] sqlx::Error),
    /// No connection to Postgres came about in time.
    #[error("Postgres was not reached within postgres.connect_timeout")]
    PostgresNotReached,
    /// The registry's own tables could not be made.
    #[error("the registry's migrations: {0}")]
    Migrations(#[source] MigrateError),
    /// OpenSearch was not reached, or its answer not understood.
    #[error("OpenSearch: {}", chain(.0))]
    OpenSearch(#[from] opensearch::Error),
    /// OpenSearch answered that it would not do it.
    #[error("OpenSearch answered {status} to {request}: {answer}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Method and path.
        request: String,
        /// The beginning of the answer.
        answer: String,
    },
    /// The address is not a URL.
    #[error("the URL of OpenSearch is not valid: {0}")]
    Url(String),
    /// The name that a view needs is in use for something that is not ours.
    #[error("view {view} needs the name {name}, which is in use for something else: rename one of the two")]
    Taken {
        /// The view.
        view: String,
        /// The name of the table, SQL view, index or alias.
        name: String,
    },
    /// A name of the model cannot stand in SQL.
    #[error("view {view}: {source}")]
    Name {
        /// The view.
        view: String,
        /// What is wrong with it.
        source: QuoteError,
    },
    /// What the registry holds cannot be read by this release.
    #[error("the registry of views: {0}")]
    Registry(String),
}

/// A part of a view that has no value for an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {message}")]
pub struct MappingError {
    /// The column, or `document`.
    pub part: String,
    /// What is wrong.
    pub message: String,
}

impl MappingError {
    /// The code of the dead letter that it becomes.
    pub const CODE: &'static str = "ExpressionFailed";
}

impl Error {
    /// Whether trying again can help. What is down comes up again; a name that is taken stays so until somebody acts.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Postgres(_) | Error::PostgresNotReached | Error::OpenSearch(_) => true,
            // 400 speaks of the request itself, such as mappings of a view that OpenSearch does not know.
            Error::Refused { status, .. } => *status != 400,
            Error::Migrations(_)
            | Error::Url(_)
            | Error::Taken { .. }
            | Error::Name { .. }
            | Error::Registry(_) => false,
        }
    }
}

/// The whole chain of causes: an HTTP client's error alone says that it could not send, and not why. Some repeat their
/// cause.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match error {
            // The pool tries to connect for as long as it may and then says only that time is up.
            sqlx::Error::PoolTimedOut => Error::PostgresNotReached,
            other => Error::Postgres(other),
        }
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Error {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Error::Migrations(other),
        }
    }
}
