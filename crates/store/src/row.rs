//! Reading a row back: every attribute that is not as Aqueduct writes it is [`Error::Corrupt`], with its place.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::{BoxError, Error, Result};

/// The attributes of one row, as the SDK has them.
pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// A row that was read, and where it stood.
pub(crate) struct Row<'a> {
    /// The table, for messages.
    pub(crate) table: &'a str,
    /// The row's attributes.
    pub(crate) attributes: Attributes,
}

impl Row<'_> {
    /// A string attribute that every row has.
    pub(crate) fn take_text(&mut self, name: &str) -> Result<String> {
        match self.attributes.remove(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            found => Err(self.unexpected(name, found.as_ref())),
        }
    }

    /// A string or number attribute that every row has, parsed.
    pub(crate) fn parse<T: FromStr<Err: Into<BoxError>>>(&self, name: &str) -> Result<T> {
        match self.attributes.get(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => {
                text.parse().map_err(|error: T::Err| self.corrupt(error))
            }
            found => Err(self.unexpected(name, found)),
        }
    }

    /// The same for an attribute that a row may lack.
    pub(crate) fn parse_optional<T: FromStr<Err: Into<BoxError>>>(&self, name: &str) -> Result<Option<T>> {
        if self.attributes.contains_key(name) { self.parse(name).map(Some) } else { Ok(None) }
    }

    /// A boolean attribute that every row has.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.attributes.get(name) {
            Some(AttributeValue::Bool(flag)) => Ok(*flag),
            found => Err(self.unexpected(name, found)),
        }
    }

    /// This row cannot be what Aqueduct wrote.
    pub(crate) fn corrupt(&self, reason: impl Into<BoxError>) -> Error {
        let mut place: Vec<String> = Vec::new();
        for key in ["item", "version", "pk", "sk", "partition"] {
            if let Some(AttributeValue::S(text) | AttributeValue::N(text)) = self.attributes.get(key) {
                place.push(format!("{key}={text}"));
            }
        }
        Error::corrupt(format!("row {} of table {}", place.join(","), self.table), reason)
    }

    fn unexpected(&self, name: &str, found: Option<&AttributeValue>) -> Error {
        self.corrupt(match found {
            None => format!("attribute {name} is missing"),
            Some(_) => format!("attribute {name} is of another type"),
        })
    }
}

/// A string attribute.
pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub(crate) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Bytes that DynamoDB counts for a row: at most 400 KB. The rules are those of its developer guide, "DynamoDB item
/// sizes and formats"; numbers count for the most they can take.
pub(crate) fn size(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value_size(value)).sum()
}

/// The most a row may count.
pub(crate) const SIZE_LIMIT: usize = 400 * 1024;

fn value_size(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        // A byte for each two digits and one more; a sign takes another.
        AttributeValue::N(digits) => (digits.len() / 2 + 2).min(21),
        AttributeValue::L(elements) => {
            3 + elements.iter().map(|element| 1 + value_size(element)).sum::<usize>()
        }
        AttributeValue::M(entries) => 3 + entries.len() + size(entries),
        _ => 1,
    }
}
