//! Expressions over an item: CEL, as in Kubernetes, compiled when the model is loaded.
//!
//! | name | is |
//! | --- | --- |
//! | `self` | the item's attributes |
//! | `id`, `tenant` | strings |
//! | `version` | an integer |
//! | `createdAt`, `updatedAt` | timestamps; a result is RFC 3339 text in UTC |
//! | `createdBy`, `updatedBy` | strings |
//! | `it` | in a child table's columns, the element that the row is of |
//!
//! **What is absent.** A plain path (`self.address.city`) is a lookup, and null where any part of it is absent. In every
//! other expression an absent field is an error, as CEL has it, and the item cannot be shown: write
//! `has(self.address) ? self.address.city : ''`, or `self.?address.?city.orValue('')`; an optional that holds nothing is
//! null.
//!
//! **What is found at load.** Syntax, unknown names, unknown functions, and fields that the type's schema cannot have.
//! **What is found at run.** Types that do not fit (`1 + 'a'`), absent fields, numbers out of range.
//!
//! Numbers of JSON without a fraction are CEL integers, exact within 64 bits; others are doubles. Work is bounded: see
//! [`cost`]. Evaluating never panics.

mod check;
mod compile;
mod convert;
mod cost;
mod paths;
mod scope;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::IdedExpr;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::large_stack::on_large_stack;
use crate::problem::Mistake;
use crate::schema::{Schema, Shape};

pub use paths::Paths;
pub use scope::{Element, Scope};

/// Characters of a message.
const MESSAGE_LIMIT: usize = 300;

/// A compiled expression. Cheap to clone; equal when the sources are.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    source: Arc<str>,
    compiled: Arc<Compiled>,
}

enum Compiled {
    /// `self` or `it`, or fields of fields of it.
    Path(Root, Vec<String>),
    /// Anything else.
    Program(IdedExpr),
}

/// Where a plain path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// `self`
    Item,
    /// `it`
    Element,
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
    /// Compiles `source`. With a schema, fields of `self` that it rules out are mistakes, too. Needs a large stack.
    pub(crate) fn compile(source: &str, schema: Option<&Schema>) -> Result<Expression, Vec<Mistake>> {
        Expression::checked(source, |program| check::mistakes(program, schema))
    }

    /// The same for an expression that also sees `it`, an element of which `element` is known.
    pub(crate) fn compile_for_elements(
        source: &str,
        schema: Option<&Schema>,
        element: Option<Shape<'_>>,
    ) -> Result<Expression, Vec<Mistake>> {
        Expression::checked(source, |program| check::mistakes_for_elements(program, schema, element))
    }

    fn checked(
        source: &str,
        mistakes: impl FnOnce(&IdedExpr) -> Vec<Mistake>,
    ) -> Result<Expression, Vec<Mistake>> {
        let program = compile::parse(source)?;
        let mistakes = mistakes(&program);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let compiled = match compile::plain_path(&program) {
            Some((root, path)) => Compiled::Path(root, path),
            None => Compiled::Program(program),
        };
        Ok(Expression { source: source.into(), compiled: Arc::new(compiled) })
    }

    /// `self`: all attributes.
    pub(crate) fn whole() -> Expression {
        Expression { source: "self".into(), compiled: Arc::new(Compiled::Path(Root::Item, Vec::new())) }
    }

    /// As the model file has it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is a plain path from `self`, which [`Paths::of`] looks up.
    #[must_use]
    pub fn is_path(&self) -> bool {
        self.path().is_some()
    }

    /// Whether it is a plain path from `it`, which [`Paths::of_elements`] looks up.
    #[must_use]
    pub fn is_element_path(&self) -> bool {
        self.element_path().is_some()
    }

    /// Its fields, if it is a plain path from `self`; empty for `self` itself.
    pub(crate) fn path(&self) -> Option<&[String]> {
        self.path_from(Root::Item)
    }

    /// Its fields, if it is a plain path from `it`; empty for `it` itself.
    pub(crate) fn element_path(&self) -> Option<&[String]> {
        self.path_from(Root::Element)
    }

    fn path_from(&self, root: Root) -> Option<&[String]> {
        match &*self.compiled {
            Compiled::Path(from, fields) if *from == root => Some(fields),
            _ => None,
        }
    }

    /// Its value for an item.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        match &*self.compiled {
            Compiled::Path(Root::Item, fields) => Ok(scope.lookup(fields)),
            Compiled::Path(Root::Element, _) => {
                Err(self.failed("`it` is known for elements only".to_owned()))
            }
            Compiled::Program(program) => {
                let cost = cost::of(program, scope.size(), 0.0);
                self.run(program, scope.context(), cost <= cost::LIMIT)
            }
        }
    }

    /// Its value for an element of an item. What all elements of an item take together is bounded as what one item takes.
    pub fn evaluate_for(&self, element: &Element<'_, '_>) -> Result<Value, ExpressionError> {
        match &*self.compiled {
            Compiled::Path(Root::Item, fields) => Ok(element.scope().lookup(fields)),
            Compiled::Path(Root::Element, fields) => Ok(element.lookup(fields)),
            Compiled::Program(program) => {
                let cost = cost::of(program, element.scope().size(), element.size());
                let affordable = element.scope().spend(cost) <= cost::LIMIT;
                self.run(program, element.context(), affordable)
            }
        }
    }

    fn failed(&self, message: String) -> ExpressionError {
        // The interpreter shows values in its messages, whole.
        let message = message.chars().take(MESSAGE_LIMIT).collect();
        ExpressionError { expression: self.source.to_string(), message }
    }

    fn run(
        &self,
        program: &IdedExpr,
        context: &cel::Context<'_, '_>,
        affordable: bool,
    ) -> Result<Value, ExpressionError> {
        if !affordable {
            return Err(self.failed("too much work for an item of this size".to_owned()));
        }
        // The interpreter is not ours: whatever it does with one item must not end the process.
        let evaluated = catch_unwind(AssertUnwindSafe(|| {
            let value = cel::Value::resolve_val(program, context).map_err(|error| error.to_string())?;
            convert::to_json(value.as_ref())
        }));
        let evaluated = evaluated.unwrap_or_else(|_| Err("the interpreter failed".to_owned()));
        evaluated.map_err(|message| self.failed(message))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl TryFrom<String> for Expression {
    type Error = ExpressionError;

    fn try_from(source: String) -> Result<Expression, ExpressionError> {
        // Whether it may see `it` was checked where it was first read.
        let compiled = on_large_stack(|| Expression::compile_for_elements(&source, None, None))
            .unwrap_or_else(|message| Err(vec![message.into()]));
        compiled.map_err(|mistakes| {
            let messages: Vec<String> = mistakes.into_iter().map(|mistake| mistake.message).collect();
            ExpressionError { expression: source, message: messages.join("; ") }
        })
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> String {
        expression.source.to_string()
    }
}
