//! The I/O around a decision: read the latest version, decide, put, publish.
//!
//! The conditional Put is the commit. Whoever loses the race for a version decides again on the new state, a few
//! times; a writer that expects a version finds it gone when it decides again, and is refused. The answer waits for
//! the Put and not for Kafka: the row itself says that it is still to be published, and a sweeper sees to it if this
//! process dies.

use aqueduct_contract::{Attributes, Event, Item, ItemKey, NameError, Tenant, Version};
use aqueduct_model::{SequenceError, Type};
use aqueduct_store::{Appended, EventStore, Publisher, Sequences};

use crate::{Change, Command, Expected, Moments, Origin, Refused, decide, stamp};

/// How often a lost race is decided again.
const AGAIN: usize = 5;

/// Makes versions.
#[derive(Clone)]
pub struct Writer {
    events: EventStore,
    sequences: Sequences,
    publisher: Publisher,
    moments: Moments,
}

/// Why a command made no version.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Others were faster each time.
    #[error("the item changed {} times while the command was decided", AGAIN + 1)]
    Contended {
        /// The version it is at now.
        current: Version,
    },
    /// The type has no sequence, so an id has to be given.
    #[error("{0} has no sequence: give an id")]
    NoSequence(aqueduct_contract::TypeName),
    /// The ids that the sequence gave are all taken.
    #[error("the sequence gave {} ids that are taken, the last one {last}", AGAIN + 1)]
    SequenceTaken {
        /// The last one.
        last: ItemKey,
    },
    /// The sequence makes no id of its next number.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The sequence makes an id that no key can hold.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The store failed. After a write whether it happened is not known, unless the error says so.
    #[error(transparent)]
    Store(#[from] aqueduct_store::Error),
}

impl Writer {
    /// A writer over the store.
    #[must_use]
    pub fn new(events: EventStore, sequences: Sequences, publisher: Publisher, moments: Moments) -> Writer {
        Writer { events, sequences, publisher, moments }
    }

    /// Makes the next version of the item and returns its event. It is stored, and on its way to its topic.
    pub async fn write(
        &self,
        of: &Type,
        key: &ItemKey,
        command: &Command,
        expected: &Expected,
        origin: &Origin,
    ) -> Result<Event, Error> {
        let mut again = 0;
        loop {
            let latest = self.events.latest(key).await?.map(|event| event.item);
            let change = decide(&of.schema, latest.as_ref(), command, expected)?;
            match self.append(of, key, latest.as_ref(), change, origin).await? {
                Written::Stored(event) => return Ok(*event),
                Written::Lost(current) if again == AGAIN => return Err(Error::Contended { current }),
                Written::Lost(_) => again += 1,
            }
        }
    }

    /// Creates an item under the next id of the type's sequence. No number is drawn for attributes that are not valid.
    pub async fn create_numbered(
        &self,
        of: &Type,
        tenant: &Tenant,
        attributes: Attributes,
        origin: &Origin,
    ) -> Result<Event, Error> {
        let sequence = of.sequence.as_ref().ok_or_else(|| Error::NoSequence(of.name.clone()))?;
        let change = decide(&of.schema, None, &Command::Create { attributes }, &Expected::Any)?;
        let key = |count, now| {
            Ok::<_, Error>(ItemKey::new(tenant.clone(), of.name.clone(), sequence.format(count, now)?)?)
        };
        // Under the first id of all, to know before a number is drawn that the event is not too large.
        let moment = (self.moments)();
        self.events.check(&stamp(
            change.clone(),
            key(1, moment.now)?,
            None,
            of.schema_version,
            origin,
            moment,
        ))?;
        let mut again = 0;
        loop {
            let now = (self.moments)().now;
            let count = self.sequences.next(tenant, &of.name, &sequence.counter(now)).await?;
            let key = key(count, now)?;
            // No read before: a fresh number names nothing, unless a client chose the very id, and then not even a
            // deleted item may come back under it.
            match self.append(of, &key, None, change.clone(), origin).await? {
                Written::Stored(event) => return Ok(*event),
                Written::Lost(_) if again == AGAIN => return Err(Error::SequenceTaken { last: key }),
                Written::Lost(_) => again += 1,
            }
        }
    }

    async fn append(
        &self,
        of: &Type,
        key: &ItemKey,
        previous: Option<&Item>,
        change: Change,
        origin: &Origin,
    ) -> Result<Written, Error> {
        let event = stamp(change, key.clone(), previous, of.schema_version, origin, (self.moments)());
        match self.events.append(&event).await? {
            Appended::Stored => {
                self.publisher.submit(&event);
                Ok(Written::Stored(Box::new(event)))
            }
            Appended::Lost { current } => Ok(Written::Lost(current)),
        }
    }
}

enum Written {
    Stored(Box<Event>),
    Lost(Version),
}
