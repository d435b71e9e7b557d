//! Which refusal or failure is which problem.

use aqueduct_commands::{Error, Refused};
use aqueduct_contract::Version;
use aqueduct_model::Violation;
use axum::http::{HeaderValue, header};
use serde_json::{Value, json};

use super::{Code, Problem};

/// Seconds. A store that is down for longer is asked again as often.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl Problem {
    /// What became of a command. `conflict` is how the client is told that the version is not the expected one.
    pub(crate) fn of_command(error: Error, conflict: Code) -> Problem {
        let detail = error.to_string();
        match error {
            Error::Refused(refused) => Problem::of_refused(refused, conflict),
            Error::Contended { current } => Problem::new(Code::WriteContended, detail).at(current),
            Error::NoSequence(_) => Problem::new(Code::IdRequired, detail),
            Error::SequenceTaken { .. } => Problem::new(Code::SequenceTaken, detail),
            Error::Sequence(_) => Problem::new(Code::SequenceExhausted, detail),
            Error::Name(error) => Problem::internal(&error),
            Error::Store(error) => error.into(),
        }
    }

    fn of_refused(refused: Refused, conflict: Code) -> Problem {
        let detail = refused.to_string();
        match refused {
            Refused::Exists { current } => Problem::new(Code::ItemExists, detail).at(current),
            Refused::Missing => Problem::new(Code::ItemNotFound, detail),
            Refused::Deleted { current } => Problem::new(Code::ItemNotFound, detail).at(current),
            Refused::VersionConflict { current } => Problem::new(conflict, detail).at(current),
            Refused::Invalid(violations) => {
                let errors: Vec<Value> = violations.iter().map(violation).collect();
                Problem::new(Code::AttributesInvalid, detail).with("errors", errors)
            }
        }
    }

    fn at(self, current: Version) -> Problem {
        self.with("currentVersion", current.get())
    }
}

fn violation(violation: &Violation) -> Value {
    json!({ "pointer": violation.pointer, "message": violation.message, "keyword": violation.keyword })
}

impl From<aqueduct_store::Error> for Problem {
    fn from(error: aqueduct_store::Error) -> Problem {
        match error {
            aqueduct_store::Error::TooLarge { size, limit } => {
                let detail = format!(
                    "the event, with the item as it stands after the change, would have {size} bytes; the limit is {limit}"
                );
                Problem::new(Code::EventTooLarge, detail).with("limit", limit).with("size", size)
            }
            aqueduct_store::Error::Unstorable(why) => Problem::new(Code::AttributesInvalid, why),
            error if error.is_transient() => {
                tracing::warn!(%error, "the store is not available");
                let detail = "the store cannot be reached or is overloaded. Whether a write was stored is not known: \
                              read the item before repeating it";
                Problem::new(Code::StoreUnavailable, detail).header(header::RETRY_AFTER, RETRY_AFTER)
            }
            error => Problem::internal(&error),
        }
    }
}
