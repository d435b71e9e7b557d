//! What a swap in either store is told, and how long it may take.

#[cfg(test)]
mod search;

use std::time::Duration;

use crate::{Error, Generation, State};

/// The bounds of a swap. Whatever takes longer ends it, with nothing changed.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For what has to be over before anything is held up: readers that began before it.
    pub before: Duration,
    /// For which writes to the live generation may be held up: the other one gets level with it, and readers are switched.
    pub held: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { before: Duration::from_secs(60), held: Duration::from_secs(30) }
    }
}

/// Which change of what is live this is, as the history says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A new generation is ready.
    Swap,
    /// Back to one before.
    Rollback,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Reason::Swap => "swap",
            Reason::Rollback => "rollback",
        }
    }
}

/// Whether a generation may become what readers see.
pub(crate) fn can_be_live(to: &Generation) -> Result<(), Error> {
    match to.state {
        State::Building if to.loaded.is_none() => Err(Error::state(to, "is not loaded yet")),
        State::Building | State::Previous => Ok(()),
        State::Live => Err(Error::state(to, "is live already")),
        other => Err(Error::state(to, format!("is {other}: its data are not kept in step"))),
    }
}

/// Whether a generation may be retired: nobody reads it.
pub(crate) fn can_be_retired(generation: &Generation) -> Result<(), Error> {
    match generation.state {
        State::Previous | State::Retired => Ok(()),
        State::Live => Err(Error::state(generation, "is live: swap to another one first")),
        other => Err(Error::state(generation, format!("is {other}: only one that was live is retired"))),
    }
}
