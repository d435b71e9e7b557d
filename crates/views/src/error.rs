//! What can go wrong between a model and a registry, and between a view and an item.

use sqlx::migrate::MigrateError;

use crate::postgres::quote::QuoteError;
use crate::{Generation, tls};

/// Why a registry could not be read, or a view not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres did not do it.
    #[error("Postgres: {0}{hint}", hint = tls::hint(.0, "`sslrootcert` in `postgres.url`"))]
    Postgres(#[source] sqlx::Error),
    /// Postgres does not let this user in: SQLSTATE class 28.
    #[error("Postgres refuses the login that `postgres.url` gives: {0}")]
    PostgresDenied(#[source] sqlx::Error),
    /// No connection to Postgres came about in time.
    #[error("Postgres was not reached within postgres.connect_timeout")]
    PostgresNotReached,
    /// The registry's own tables could not be made.
    #[error("the registry's migrations: {0}")]
    Migrations(#[source] MigrateError),
    /// OpenSearch was not reached, or its answer not understood.
    #[error("OpenSearch: {}{hint}", tls::causes(.0), hint = tls::hint(.0, "`opensearch.ca_file`"))]
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
    /// OpenSearch does not know these credentials: it answered 401.
    #[error(
        "OpenSearch refuses the credentials that `opensearch.url` or `opensearch.auth` give: it answered 401 to {0}"
    )]
    OpenSearchDenied(String),
    /// The settings make no client of OpenSearch.
    #[error("{0}")]
    Settings(String),
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
    /// Another generation of the view is being built.
    #[error(
        "{store}: generation {number} of the view {view} is being built since {since}: let that be finished, or cancel it",
        number = .generation.number, view = .generation.view(), since = .generation.created_at
    )]
    Building {
        /// `Postgres` or `OpenSearch`.
        store: &'static str,
        /// The one that is being built.
        generation: Box<Generation>,
    },
    /// A generation is not in the state that a step starts from.
    #[error("generation {number} of the view {view} {why}")]
    State {
        /// The view.
        view: String,
        /// The generation.
        number: u32,
        /// What is wrong with it: `is retired, not being built`.
        why: String,
    },
    /// What stands on a public view would go with it.
    #[error(
        "the view {view} cannot be swapped while other objects depend on it: {}; drop them, swap, and make them again",
        found.join(", ")
    )]
    Dependants {
        /// The view.
        view: String,
        /// As Postgres describes them.
        found: Vec<String>,
    },
    /// Sessions read as of a moment before the swap, and would miss rows after it.
    #[error(
        "transactions that began before the swap are still reading, and would miss rows after it: {}; let them end, \
         or end them with pg_terminate_backend",
        sessions.join("; ")
    )]
    Reading {
        /// Process ids, users, applications.
        sessions: Vec<String>,
    },
    /// A lock on a live table, or on its public view, was not had in time.
    #[error(
        "no lock on the view {view} or its table was had in time: somebody uses them in a long transaction"
    )]
    Locked {
        /// The view.
        view: String,
    },
    /// The other generation did not get level with the live one in time.
    #[error("generation {number} of the view {view} did not get level with the live one: {why}")]
    Behind {
        /// The view.
        view: String,
        /// The generation.
        number: u32,
        /// How far it is behind, and whether anybody works on it.
        why: String,
    },
    /// Another swap of the view is under way, or was cut off; then it is cleared away at this time.
    #[error("another swap of the view {view} is under way, until {until} at the latest")]
    Swapping {
        /// The view.
        view: String,
        /// When it is over, whatever becomes of it.
        until: jiff::Timestamp,
    },
    /// Another process removes tombstones of a generation.
    #[error(
        "tombstones of generation {number} of the view {view} are being removed by another process: wait for it; one that \
         died is forgotten after ten minutes"
    )]
    Purging {
        /// The view.
        view: String,
        /// The generation.
        number: u32,
    },
    /// No registry has this view.
    #[error("the view {0} is not registered; `aqueduct setup` registers what the model has")]
    Unregistered(String),
    /// Another process works on the load of a generation.
    #[error("{by} works on it")]
    Claimed {
        /// That process, for people.
        by: String,
    },
    /// Another process has taken over the load of a generation, or it was cancelled.
    #[error("the load was cancelled, or another process has taken it over")]
    ClaimLost,
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
    /// That `generation` is not in the state for a step.
    pub(crate) fn state(generation: &Generation, why: impl Into<String>) -> Error {
        Error::State { view: generation.view().to_owned(), number: generation.number, why: why.into() }
    }

    /// Whether trying again can help. What is down comes up again; a name that is taken stays so until somebody acts.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Postgres(_) | Error::PostgresNotReached | Error::OpenSearch(_) => true,
            // 400 speaks of the request itself, such as mappings of a view that OpenSearch does not know.
            Error::Refused { status, .. } => *status != 400,
            Error::Migrations(_)
            | Error::PostgresDenied(_)
            | Error::OpenSearchDenied(_)
            | Error::Settings(_)
            | Error::Taken { .. }
            | Error::Name { .. }
            | Error::Building { .. }
            | Error::State { .. }
            | Error::Dependants { .. }
            | Error::Reading { .. }
            | Error::Locked { .. }
            | Error::Behind { .. }
            | Error::Swapping { .. }
            | Error::Purging { .. }
            | Error::Unregistered(_)
            | Error::Claimed { .. }
            | Error::ClaimLost
            | Error::Registry(_) => false,
        }
    }

    /// Whether the settings are at fault: what they give makes no client, or is refused by the server.
    #[must_use]
    pub fn is_of_settings(&self) -> bool {
        matches!(self, Error::PostgresDenied(_) | Error::OpenSearchDenied(_) | Error::Settings(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Error {
        match error {
            // The pool tries to connect for as long as it may and then says only that time is up.
            sqlx::Error::PoolTimedOut => Error::PostgresNotReached,
            sqlx::Error::Database(ref refusal)
                if refusal.code().is_some_and(|code| code.starts_with("28")) =>
            {
                Error::PostgresDenied(error)
            }
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
