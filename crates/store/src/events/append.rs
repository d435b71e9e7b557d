//! Writing a version: the one conditional Put that commits it.

use aqueduct_contract::{Event, EventId, Version};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use super::EventStore;
use super::stored::{EventRow, row_of};
use crate::{Error, Result, data, row};

/// What became of an [`append`](EventStore::append).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The event is the item's version, for ever, and will be published.
    Stored,
    /// Another event is. Nothing was written.
    Lost {
        /// The item's latest version by now.
        current: Version,
    },
}

/// Whether a Put that was refused, because the event `found` stands there, went through all the same: a Put whose answer
/// was lost is sent again, and then refused because of the row that it made itself.
pub(crate) fn is_own<Id: PartialEq>(own: &Id, found: &Id) -> bool {
    own == found
}

impl EventStore {
    /// Writes `event` as its item's version if no other event is, marked as unpublished. The version before it must have
    /// been read from this store: that is what keeps versions gapless.
    ///
    /// [`Error::TooLarge`] and [`Error::Unstorable`] are found before anything is written. After a transient error the
    /// event may be stored all the same; appending the very same event again tells.
    pub async fn append(&self, event: &Event) -> Result<Appended> {
        let row = self.storable(event)?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(#item)")
            .expression_attribute_names("#item", "item")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Appended::Stored),
            Err(error) => match found_row(&error) {
                Some(found) => self.settle(event, EventRow::new(&self.table, found.clone()).id()?).await,
                None => Err(Error::of(error)),
            },
        }
    }

    /// Whether [`append`](EventStore::append) would take the event, before anything is done for it: fails with
    /// [`Error::TooLarge`] or [`Error::Unstorable`].
    pub fn check(&self, event: &Event) -> Result<()> {
        self.storable(event).map(|_| ())
    }

    fn storable(&self, event: &Event) -> Result<row::Attributes> {
        let (row, record) = row_of(event)?;
        check_size(record.size(), self.record_limit)?;
        check_size(row::size(&row), row::SIZE_LIMIT)?;
        // What the read table cannot hold must not be accepted: its event could never be applied.
        check_size(row::size(&data::row_of(&event.item)?), row::SIZE_LIMIT)?;
        Ok(row)
    }

    async fn settle(&self, event: &Event, found: EventId) -> Result<Appended> {
        if is_own(&event.id, &found) {
            return Ok(Appended::Stored);
        }
        let latest = self.latest(&event.item.key).await?;
        Ok(Appended::Lost { current: latest.map_or(event.item.version, |latest| latest.item.version) })
    }
}

fn check_size(size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(()) }
}

/// The row that a condition failed on.
fn found_row<R>(
    error: &SdkError<aws_sdk_dynamodb::operation::put_item::PutItemError, R>,
) -> Option<&row::Attributes> {
    use aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException;
    match error.as_service_error() {
        Some(ConditionalCheckFailedException(failed)) => failed.item(),
        _ => None,
    }
}
