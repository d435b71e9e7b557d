//! How far tombstones of a generation may go: not beyond an event that its group has still to apply.
//!
//! Such an event creates its item, and would be passed over as one that comes again. Times are those of events, not of records: what
//! was published late is as old as it is. The order of the questions is the way of an event, so that none slips
//! through between two of them: unpublished, then in the topic, then committed, and set aside before that.

use std::fmt;

use anyhow::{Context, Result};
use aqueduct_contract::ItemKey;
use aqueduct_engine::Group;
use aqueduct_store::kafka::{self, Waiting};
use aqueduct_store::{EventStore, Letter, Letters};
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};

/// Records that are read for when their events were written. A group that is further behind purges nothing.
const AT_MOST: i64 = 10_000;

/// How far a purge goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Tombstones of events at or before it go.
    pub through: Timestamp,
    /// Why no others do.
    pub limit: Limit,
}

/// What keeps a purge from going further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// More was not wanted.
    Wanted,
    /// An event that is not published yet.
    Unpublished(ItemKey),
    /// An event that the group has not committed, by topic and partition.
    Uncommitted(String, i32),
    /// The group is so many records behind.
    Behind(i64),
    /// An event that was set aside, by the key of its item.
    Letter(String),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Wanted => f.write_str("as far as was asked for"),
            Limit::Unpublished(item) => {
                write!(f, "no further, because an event of {item} waits to be published")
            }
            Limit::Uncommitted(topic, partition) => {
                write!(f, "no further, because the group has not committed an event in {topic}-{partition}")
            }
            Limit::Behind(records) => {
                write!(f, "nowhere, because the group is {records} records behind: let it catch up")
            }
            Limit::Letter(item) => {
                write!(f, "no further, because of the letter of {item}: redrive or discard it")
            }
        }
    }
}

impl Bound {
    /// Ends before `moment`, if it is not before that anyway.
    fn end_before(&mut self, moment: Timestamp, limit: impl FnOnce() -> Limit) {
        if moment <= self.through {
            // Times have microseconds.
            self.through = moment.checked_sub(SignedDuration::from_micros(1)).unwrap_or(moment);
            self.limit = limit();
        }
    }
}

/// The bound of a purge of what `group` keeps that is to go through `wanted`.
pub(super) async fn find(
    kafka: &kafka::Settings,
    events: &EventStore,
    letters: &Letters,
    group: &Group,
    wanted: Timestamp,
) -> Result<Bound> {
    let mut bound = Bound { through: wanted, limit: Limit::Wanted };
    if let Some((item, written)) = events.oldest_unpublished().await.context("the outbox")? {
        bound.end_before(written, || Limit::Unpublished(item));
    }
    let in_kafka = kafka::Group::new(kafka, &group.id, &group.topics);
    match in_kafka.waiting(AT_MOST).await.with_context(|| format!("the position of {}", group.id))? {
        Waiting::None => {}
        Waiting::Since { topic, partition, written } => {
            bound.end_before(written, || Limit::Uncommitted(topic, partition));
        }
        Waiting::Many(records) => bound.end_before(Timestamp::UNIX_EPOCH, || Limit::Behind(records)),
    }
    let mut all = std::pin::pin!(letters.all());
    while let Some(filed) = all.try_next().await.context("the letters")? {
        let letter = filed.letter;
        if letter.group == group.id
            && let Some(written) = written(events, &letter).await.context("the event of a letter")?
        {
            bound.end_before(written, || Limit::Letter(letter.item));
        }
    }
    Ok(bound)
}

/// When the event that was set aside was written; where its version is not known, when the item's first one was. A letter whose item
/// has no events brings nothing back: it can only be discarded.
async fn written(events: &EventStore, letter: &Letter) -> aqueduct_store::Result<Option<Timestamp>> {
    let Ok(key) = letter.item.parse::<ItemKey>() else { return Ok(None) };
    if let Some(version) = letter.version
        && let Some(stored) = events.at(&key, version).await?
    {
        return Ok(Some(stored.event.item.updated_at));
    }
    Ok(events.latest(&key).await?.map(|event| event.item.created_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_all_limits_holds() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut bound = Bound { through: at("2026-11-21T13:15:00Z"), limit: Limit::Wanted };
        bound.end_before(at("2026-11-21T13:15:00.000001Z"), || Limit::Behind(1));
        assert_eq!(bound, Bound { through: at("2026-11-21T13:15:00Z"), limit: Limit::Wanted });
        bound.end_before(at("2026-11-21T13:15:00Z"), || Limit::Letter("a".to_owned()));
        assert_eq!(bound.through, at("2026-11-21T13:14:59.999999Z"));
        bound.end_before(at("2026-11-21T13:14:59.999999Z"), || Limit::Behind(2));
        bound.end_before(at("2026-11-21T13:15:00Z"), || Limit::Behind(3));
        assert_eq!((bound.through, bound.limit), (at("2026-11-21T13:14:59.999998Z"), Limit::Behind(2)));
    }
}
