//! What can go wrong with a server, sorted by how to react. One place maps the AWS SDK's errors to it.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// An error of any kind, kept for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a read or write did not happen. Each variant says how to react.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server cannot be reached, is too slow, or failed: try again, for as long as it takes. A write may have
    /// happened all the same.
    #[error("the store is unavailable: {}", chain(.0.as_ref()))]
    Unavailable(#[source] BoxError),
    /// No broker of Kafka answers, or none can prove who it is: try again, for as long as it takes.
    #[error("{0}")]
    KafkaNotReached(String),
    /// The server asks for fewer requests: slow down, then try again.
    #[error("the store asks to slow down: {}", chain(.0.as_ref()))]
    Throttled(#[source] BoxError),
    /// Another transaction holds a row of this one: try again soon.
    #[error("the rows are held by another transaction: {}", chain(.0.as_ref()))]
    Conflict(#[source] BoxError),
    /// What was to be written is larger than the store or the topic takes. Nothing was written.
    #[error("too large: it takes {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Bytes it would take.
        size: usize,
        /// Bytes there may be.
        limit: usize,
    },
    /// An item that DynamoDB cannot hold as native attributes: the message says what of it. Nothing was written.
    #[error("not storable: {0}")]
    Unstorable(String),
    /// The store holds something that Aqueduct never writes. Somebody has to look.
    #[error("{place} is corrupt: {reason}")]
    Corrupt {
        /// The table and key.
        place: String,
        /// What is wrong there.
        reason: BoxError,
    },
    /// The server understood and refused: a missing table, missing permission. Trying again does not help.
    #[error("the store refused: {}", chain(.0.as_ref()))]
    Refused(#[source] BoxError),
    /// Settings that no waiting heals: credentials that the brokers refuse, properties that make no client.
    #[error("{0}")]
    Denied(String),
    /// A topic does not take the largest record that is accepted: it would be stored and never published.
    #[error(
        "topic {topic} takes {actual} bytes at most (`max.message.bytes`), and the largest event needs {needed}. Raise it with \
         kafka-configs, or lower `message.max.bytes` in [kafka.properties]"
    )]
    RecordBytes {
        /// The topic.
        topic: String,
        /// What it takes.
        actual: usize,
        /// What it should take.
        needed: usize,
    },
    /// A topic stands with another number of partitions than its model says.
    #[error(
        "topic {topic} has {actual} partitions, the model says {expected}. The number is fixed for a topic's life: with \
         another one, an item's next version would go to another partition and overtake the last. Set `partitions: \
         {actual}` in the model file of the type, or start a new fleet under another `prefix`"
    )]
    PartitionCount {
        /// The topic.
        topic: String,
        /// How many it has.
        actual: usize,
        /// How many it should have.
        expected: i32,
    },
}

impl Error {
    /// Whether the same call can succeed later without anyone's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Unavailable(_) | Error::KafkaNotReached(_) | Error::Throttled(_) | Error::Conflict(_)
        )
    }

    /// Something that Aqueduct never writes, at `place`.
    pub(crate) fn corrupt(place: impl Into<String>, reason: impl Into<BoxError>) -> Error {
        Error::Corrupt { place: place.into(), reason: reason.into() }
    }

    /// Sorts what the SDK returned after its own few retries.
    pub(crate) fn of<E, R>(error: SdkError<E, R>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let code = error.as_service_error().and_then(E::code).unwrap_or_default();
        let sorted = match (&error, code) {
            (
                _,
                "TransactionConflictException"
                | "TransactionInProgressException"
                | "ReplicatedWriteConflictException",
            ) => Error::Conflict,
            (
                _,
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException",
            ) => Error::Throttled,
            (_, "InternalServerError" | "ServiceUnavailable" | "ExpiredTokenException") => Error::Unavailable,
            (SdkError::ServiceError(_) | SdkError::ConstructionFailure(_), _) => Error::Refused,
            _ => Error::Unavailable,
        };
        sorted(Box::new(error))
    }
}

/// Whether a write was refused because its condition does not hold.
pub(crate) fn condition_failed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.as_service_error().and_then(E::code) == Some("ConditionalCheckFailedException")
}

/// The whole chain of causes: an SDK error alone says only "service error".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
