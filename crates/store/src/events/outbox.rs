//! The outbox: rows whose event is not known to be in Kafka carry the marker `outbox`, the shard of their item.

use aqueduct_contract::{ItemKey, Version};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::stored::EventRow;
use super::{EventStore, OUTBOX_INDEX, Published, Record};
use crate::error::condition_failed;
use crate::row::{Attributes, number, text};
use crate::{Error, Result};

/// Shards of the index: enough that none is hot, few enough to visit in turn.
pub(crate) const SHARDS: u8 = 64;

/// Where the event of a row stands.
const STANDS_AT: &str = "SET kafka_partition = :partition, kafka_offset = :offset";

/// The shard of an item: all its versions have one, so that a sweep sees them together. FNV-1a.
pub(super) fn shard(key: &ItemKey) -> u8 {
    let hash = key.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_be_bytes()[0] % SHARDS
}

/// An unpublished version, as the index shows it: late, and perhaps without the versions before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) key: ItemKey,
    pub(crate) version: Version,
    pub(crate) created_at: Timestamp,
}

/// What taking the marker off found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmarked {
    /// The marker.
    Now,
    /// None: another publisher was faster.
    Before,
}

/// One version as a publisher finds it.
#[derive(Debug)]
pub struct Found {
    /// Its Kafka record.
    pub record: Record,
    /// Whether it has no marker: it was acknowledged once.
    pub published: bool,
}

impl EventStore {
    /// The topic of an item's events.
    pub fn topic(&self, key: &ItemKey) -> String {
        self.names.events_topic(key.type_name())
    }

    /// A version that must exist, with its marker as it is now.
    pub(crate) async fn find(&self, key: &ItemKey, version: Version) -> Result<Found> {
        let row = self.get(key, version).send().await.map_err(Error::of)?.item;
        let missing = || Error::corrupt(format!("item {key}"), format!("version {version} is missing"));
        let mut row = EventRow::new(&self.table, row.ok_or_else(missing)?);
        Ok(Found { published: row.is_published(), record: row.record()? })
    }

    /// Takes the marker off and notes where the event stands. On condition that it has the marker: an update without one
    /// would make a row where there is none.
    pub(crate) async fn unmark(&self, key: &ItemKey, version: Version, at: Published) -> Result<Unmarked> {
        let update = self
            .stands_at(key, version, at)
            .update_expression(format!("REMOVE #outbox {STANDS_AT}"))
            .condition_expression("attribute_exists(#outbox)");
        match update.send().await {
            Ok(_) => Ok(Unmarked::Now),
            Err(error) if condition_failed(&error) => Ok(Unmarked::Before),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// Notes that an event which was published stands elsewhere now. One that carries the marker is left as it is.
    pub(crate) async fn moved(&self, key: &ItemKey, version: Version, to: Published) -> Result<()> {
        let update = self
            .stands_at(key, version, to)
            .update_expression(STANDS_AT)
            .condition_expression("attribute_exists(#item) AND attribute_not_exists(#outbox)")
            .expression_attribute_names("#item", "item");
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// An update of a version, with the values of [`STANDS_AT`] and the name of the marker.
    fn stands_at(&self, key: &ItemKey, version: Version, at: Published) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("item", text(key.to_string()))
            .key("version", number(version))
            .expression_attribute_names("#outbox", "outbox")
            .expression_attribute_values(":partition", number(at.partition))
            .expression_attribute_values(":offset", number(at.offset))
    }

    /// The item whose event has waited longest to be published, and when it was written; `None` when none waits. As the index
    /// shows it, a moment late: one that was written longer ago than that is not missed.
    pub async fn oldest_unpublished(&self) -> Result<Option<(ItemKey, Timestamp)>> {
        let mut oldest: Option<Hint> = None;
        for shard in 0..SHARDS {
            let (hints, _) = self.hints(shard, None).await?;
            let first = hints.into_iter().next();
            oldest = oldest.into_iter().chain(first).min_by_key(|hint| hint.created_at);
        }
        Ok(oldest.map(|hint| (hint.key, hint.created_at)))
    }

    /// A page of a shard of the index, oldest first, and where the next one starts.
    pub(crate) async fn hints(
        &self,
        shard: u8,
        start: Option<Attributes>,
    ) -> Result<(Vec<Hint>, Option<Attributes>)> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(OUTBOX_INDEX)
            .key_condition_expression("#outbox = :shard")
            .expression_attribute_names("#outbox", "outbox")
            .expression_attribute_values(":shard", AttributeValue::N(shard.to_string()))
            .set_exclusive_start_key(start)
            .limit(100);
        let page = query.send().await.map_err(Error::of)?;
        let rows = page.items.unwrap_or_default().into_iter().map(|row| {
            let row = EventRow::new(&self.table, row);
            Ok(Hint { key: row.key()?, version: row.version()?, created_at: row.created_at()? })
        });
        Ok((rows.collect::<Result<_>>()?, page.last_evaluated_key))
    }
}
