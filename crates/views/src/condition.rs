//! Whether an item is shown: what the `where` of a view says of it.

use aqueduct_model::Expression;
use serde_json::Value;

use crate::MappingError;

/// What `condition` has given decides. Null, which a path gives that leads nowhere, shows nothing.
pub(crate) fn holds(condition: &Expression, given: &Value) -> Result<bool, MappingError> {
    match given {
        Value::Bool(holds) => Ok(*holds),
        Value::Null => Ok(false),
        other => {
            Err(failed(format!("`{}` gives {other}, which is neither true nor false", condition.source())))
        }
    }
}

pub(crate) fn failed(message: impl ToString) -> MappingError {
    MappingError { part: "where".to_owned(), message: message.to_string() }
}
