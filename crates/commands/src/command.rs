//! What can be asked for, and by whom.

use aqueduct_contract::{Attributes, CorrelationId, EventId, Traceparent, Version};

/// A request to make the next version of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make an item that is not there, or is there no more.
    Create {
        /// Its fields; defaults are filled in.
        attributes: Attributes,
    },
    /// Replace all attributes.
    Update {
        /// The new ones; defaults are filled in, what is not named is gone.
        attributes: Attributes,
    },
    /// Replace some attributes by an RFC 7396 merge patch.
    Patch {
        /// The patch: null removes a field, an object is merged, anything else replaces.
        patch: Attributes,
    },
    /// Mark the item deleted: a version like any other, with the last attributes.
    Delete,
}

impl Command {
    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Command::Create { .. } => "create",
            Command::Update { .. } => "update",
            Command::Patch { .. } => "patch",
            Command::Delete => "delete",
        }
    }
}

/// Which version the writer believes to be changing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Whatever there is: a lost race is decided again on the new state.
    #[default]
    Any,
    /// One of these, or the command is refused.
    OneOf(Vec<Version>),
}

/// Where a command comes from; it travels in the event, unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Who asks, as `createdBy` will say.
    pub caller: String,
    /// The request.
    pub correlation_id: CorrelationId,
    /// The event that caused the command, if an event did.
    pub causation_id: Option<EventId>,
    /// The trace that the request belongs to.
    pub traceparent: Option<Traceparent>,
}
