//! What each error of the `data` table asks for: the one place where a store's error becomes a reaction.
//!
//! | error | is | reaction |
//! | --- | --- | --- |
//! | `TooLarge`, `Unstorable` | an item that DynamoDB cannot hold | the record is set aside |
//! | `Throttled`, `Conflict` | this Put was refused for want of capacity | this record again, for as long as it takes |
//! | `Refused` with a `ValidationException` | an item that DynamoDB does not take, and we do not know why | a few tries, then set aside |
//! | `Refused` otherwise | no table, no permission: concerns all records alike | wait, again |
//! | `Unavailable` | down, slow, broken | wait, again |

use aqueduct_engine::{Outcome, Reason, SinkError};
use aqueduct_store::{BoxError, Error};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;

/// The code of an item that is larger than a row may be.
pub const ITEM_TOO_LARGE: &str = "ItemTooLarge";
/// The code of an item with values or a depth that DynamoDB has no attribute for.
pub const ITEM_UNSTORABLE: &str = "ItemUnstorable";
/// The code of an item that DynamoDB does not take although it should.
pub const ITEM_REFUSED: &str = "ItemRefused";
/// The code of a Put that was refused for want of capacity.
pub const THROTTLED: &str = "Throttled";

/// What the engine is to do about `error`, with the record it came from or with the whole batch.
pub fn classify(error: Error) -> Result<Outcome, SinkError> {
    let reason = |code, error: &Error| Reason::new(code, error.to_string());
    match &error {
        Error::TooLarge { .. } => Ok(Outcome::Poison(reason(ITEM_TOO_LARGE, &error))),
        Error::Unstorable(_) => Ok(Outcome::Poison(reason(ITEM_UNSTORABLE, &error))),
        Error::Throttled(_) | Error::Conflict(_) => Ok(Outcome::Throttled(reason(THROTTLED, &error))),
        Error::Refused(cause) if is_validation(cause) => Ok(Outcome::Retry(reason(ITEM_REFUSED, &error))),
        Error::Refused(_) | Error::Unavailable(_) | Error::KafkaNotReached(_) => {
            Err(SinkError::Unavailable(Box::new(error)))
        }
        // None comes of a Put; whatever it is, no other record will fare better.
        Error::Corrupt { .. }
        | Error::PartitionCount { .. }
        | Error::RecordBytes { .. }
        | Error::Denied(_) => Err(SinkError::Fatal(Box::new(error))),
    }
}

fn is_validation(cause: &BoxError) -> bool {
    let error = cause.downcast_ref::<SdkError<PutItemError>>().and_then(SdkError::as_service_error);
    error.and_then(ProvideErrorMetadata::code) == Some("ValidationException")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause() -> BoxError {
        "as the server says".into()
    }

    #[test]
    fn an_item_that_cannot_stand_in_the_table_is_set_aside_with_its_reason() {
        for (error, code) in [
            (Error::TooLarge { size: 500_000, limit: 409_600 }, ITEM_TOO_LARGE),
            (Error::Unstorable("too deep".to_owned()), ITEM_UNSTORABLE),
        ] {
            let message = error.to_string();
            assert_eq!(classify(error).unwrap(), Outcome::Poison(Reason { code, message }));
        }
    }

    #[test]
    fn want_of_capacity_concerns_one_record_and_passes() {
        for error in [Error::Throttled(cause()), Error::Conflict(cause())] {
            assert!(matches!(classify(error), Ok(Outcome::Throttled(_))));
        }
    }

    #[test]
    fn an_outage_and_a_missing_table_set_nothing_aside() {
        for error in [Error::Unavailable(cause()), Error::Refused(cause())] {
            assert!(matches!(classify(error), Err(SinkError::Unavailable(_))));
        }
    }

    #[test]
    fn an_item_that_the_server_finds_invalid_is_tried_a_few_times() {
        use aws_sdk_dynamodb::config::http::HttpResponse;
        use aws_sdk_dynamodb::error::ErrorMetadata;

        let invalid = ErrorMetadata::builder().code("ValidationException").message("no such number").build();
        let response = HttpResponse::new(400_u16.try_into().unwrap(), "".into());
        let refused = SdkError::service_error(PutItemError::generic(invalid), response);
        let Ok(Outcome::Retry(reason)) = classify(Error::Refused(Box::new(refused))) else {
            panic!("not retried")
        };
        assert_eq!(reason.code, ITEM_REFUSED);
    }
}
