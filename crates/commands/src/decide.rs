//! What a command does to an item: the rules, without I/O, clock or randomness.
//!
//! Every accepted command is a version, also one that changes nothing: the caller's intent is part of the history,
//! and a version number returned twice could not tell two writers apart.

use aqueduct_contract::{Attributes, Happened, Item, Version};
use aqueduct_model::{Schema, Violation};
use serde_json::Value;

use crate::{Command, Expected};

/// The next state of an item and what led to it: an event that has neither time nor id yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What happened.
    pub happened: Happened,
    /// The attributes after it.
    pub attributes: Attributes,
    /// Whether it deletes the item.
    pub deleted: bool,
}

/// Why a command makes no version. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A create found the item.
    #[error("the item exists already, at version {current}")]
    Exists {
        /// Its version.
        current: Version,
    },
    /// Anything but a create found no item.
    #[error("there is no such item")]
    Missing,
    /// Anything but a create found an item that was deleted.
    #[error("the item was deleted by version {current}")]
    Deleted {
        /// The version that deleted it.
        current: Version,
    },
    /// The item is not at the version that the writer expects.
    #[error("the item is at version {current}, which is not the expected one")]
    VersionConflict {
        /// Its version.
        current: Version,
    },
    /// The attributes are not what the type's schema asks for, or cannot be stored.
    #[error("{} field(s) of the attributes are not valid", .0.len())]
    Invalid(Vec<Violation>),
}

/// Decides on `current`, the latest version of the item (none if there never was one). Existence is judged before
/// the expected version, and that before the attributes.
pub fn decide(
    schema: &Schema,
    current: Option<&Item>,
    command: &Command,
    expected: &Expected,
) -> Result<Change, Refused> {
    match command {
        Command::Create { attributes } => match current {
            Some(item) if !item.deleted => Err(Refused::Exists { current: item.version }),
            _ => replaced("Created", accept(schema, attributes.clone())?),
        },
        Command::Update { attributes } => {
            present(current, expected)?;
            replaced("Updated", accept(schema, attributes.clone())?)
        }
        Command::Patch { patch } => {
            let item = present(current, expected)?;
            let attributes = accept(schema, merged(&item.attributes, patch))?;
            let happened = Happened { name: "Updated".to_owned(), data: Value::Object(patch.clone()) };
            Ok(Change { happened, attributes, deleted: false })
        }
        Command::Delete => {
            let item = present(current, expected)?;
            let happened = Happened { name: "Deleted".to_owned(), data: Value::Null };
            // Not validated: an item that an older schema let in can still be deleted.
            Ok(Change { happened, attributes: item.attributes.clone(), deleted: true })
        }
    }
}

fn replaced(name: &str, attributes: Attributes) -> Result<Change, Refused> {
    let happened = Happened { name: name.to_owned(), data: Value::Object(attributes.clone()) };
    Ok(Change { happened, attributes, deleted: false })
}

fn present<'a>(current: Option<&'a Item>, expected: &Expected) -> Result<&'a Item, Refused> {
    let item = current.ok_or(Refused::Missing)?;
    if item.deleted {
        return Err(Refused::Deleted { current: item.version });
    }
    match expected {
        Expected::OneOf(versions) if !versions.contains(&item.version) => {
            Err(Refused::VersionConflict { current: item.version })
        }
        _ => Ok(item),
    }
}

fn merged(attributes: &Attributes, patch: &Attributes) -> Attributes {
    let mut target = Value::Object(attributes.clone());
    json_patch::merge(&mut target, &Value::Object(patch.clone()));
    match target {
        Value::Object(merged) => merged,
        // An object merged into an object is an object.
        _ => Attributes::new(),
    }
}

fn accept(schema: &Schema, attributes: Attributes) -> Result<Attributes, Refused> {
    schema.accept(attributes).map_err(Refused::Invalid)
}

#[cfg(test)]
mod tests;
