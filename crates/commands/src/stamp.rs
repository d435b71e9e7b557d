//! From a decided change to the event of one version.

use aqueduct_contract::{Event, EventId, Item, ItemKey, Version};
use jiff::Timestamp;

use crate::{Change, Moment, Origin};

/// The event that `change` is as the version after `previous`.
#[must_use]
pub fn stamp(
    change: Change,
    key: ItemKey,
    previous: Option<&Item>,
    schema_version: u32,
    origin: &Origin,
    moment: Moment,
) -> Event {
    let updated_at = time_after(previous, moment.now);
    let item = Item {
        key,
        version: previous.map_or(Version::FIRST, |item| item.version.next()),
        attributes: change.attributes,
        deleted: change.deleted,
        created_at: previous.map_or(updated_at, |item| item.created_at),
        created_by: previous.map_or_else(|| origin.caller.clone(), |item| item.created_by.clone()),
        updated_at,
        updated_by: origin.caller.clone(),
    };
    Event {
        id: EventId(moment.uuid()),
        happened: change.happened,
        item,
        correlation_id: origin.correlation_id.clone(),
        causation_id: origin.causation_id,
        traceparent: origin.traceparent.clone(),
        schema_version,
    }
}

/// `now` in whole microseconds, as it will be read back, and at least one after the previous version's: two versions
/// at one moment, or a clock that goes back, would make reads as of a moment ambiguous.
fn time_after(previous: Option<&Item>, now: Timestamp) -> Timestamp {
    let earliest = previous.map_or(i64::MIN, |item| item.updated_at.as_microsecond() + 1);
    Timestamp::from_microsecond(now.as_microsecond().max(earliest)).unwrap_or(Timestamp::MAX)
}
