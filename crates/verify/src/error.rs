//! What stops a comparison. A difference does not.

use aqueduct_contract::{EventError, ItemKey};

/// A store that could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No read model is called so.
    #[error("there is no view called {0}: `aqueduct views list` shows those there are")]
    UnknownView(String),
    /// DynamoDB did not answer, or holds what Aqueduct did not write.
    #[error(transparent)]
    Store(#[from] aqueduct_store::Error),
    /// The list of views cannot be had, or a view has names that its store cannot hold.
    #[error(transparent)]
    Views(#[from] aqueduct_views::Error),
    /// Postgres did not answer.
    #[error("Postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// OpenSearch did not answer.
    #[error("OpenSearch: {0}")]
    OpenSearch(#[from] opensearch::Error),
    /// OpenSearch answered otherwise than it should.
    #[error("OpenSearch answered {path} with {answer}")]
    Answer {
        /// What was asked.
        path: String,
        /// What it said.
        answer: String,
    },
    /// A row or document whose key is none of an item.
    #[error("{read_model} holds an entry that is no item's: {key}")]
    Stranger {
        /// Where.
        read_model: String,
        /// Its key there.
        key: String,
    },
    /// An item or version that the event store had a moment ago.
    #[error("{0} is gone from the event store")]
    Gone(String),
    /// The event store holds a value that is no event.
    #[error("{key}: {source}")]
    Event {
        /// Of which item.
        key: Box<ItemKey>,
        /// What is wrong.
        source: EventError,
    },
    /// Metrics that are registered already.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
    /// A part of the comparison panicked.
    #[error(transparent)]
    Ended(#[from] tokio::task::JoinError),
}

impl Error {
    pub(crate) fn event(key: &ItemKey, source: impl Into<EventError>) -> Error {
        Error::Event { key: Box::new(key.clone()), source: source.into() }
    }
}
