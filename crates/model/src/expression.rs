//! Expressions over an item: CEL, compiled once.
//!
//! `self` is the item's attributes; beside it stand `id`, `version`, `tenant`, `createdAt` and `updatedAt`. A plain path
//! (`self.address.city`) is a lookup, and null where a part of it is absent. In any other expression a missing key is an
//! error, as CEL has it: write `has(self.address) ? self.address.city : null`.

use std::marker::PhantomData;

use aqueduct_contract::Item;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A compiled expression. Cheap to clone; equal when the sources are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    source: String,
}

/// What an expression can see of one item. The item is converted once, for all expressions.
#[derive(Debug)]
pub struct Scope<'a> {
    item: PhantomData<&'a Item>,
}

/// An expression that does not compile, or gives no value for an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct ExpressionError {
    /// Its source.
    pub expression: String,
    /// What went wrong.
    pub message: String,
}

impl Expression {
    /// As the model file has it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value for an item. Never panics.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        let _ = scope;
        Err(ExpressionError {
            expression: self.source.clone(),
            message: "cannot be evaluated yet".to_owned(),
        })
    }
}

impl TryFrom<String> for Expression {
    type Error = ExpressionError;

    fn try_from(source: String) -> Result<Expression, ExpressionError> {
        Ok(Expression { source })
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> String {
        expression.source
    }
}

impl Scope<'_> {
    /// The scope of `item`.
    #[must_use]
    pub fn of(item: &Item) -> Scope<'_> {
        let _ = item;
        Scope { item: PhantomData }
    }
}
