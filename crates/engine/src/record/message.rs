//! A message of librdkafka as a record of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use aqueduct_contract::{Version, headers};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Headers, Message};

use super::version_said;
use crate::{Record, RecordParts};

impl Record {
    /// Copies what librdkafka owns.
    #[must_use]
    pub fn of_message(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
        let found = message.headers();
        let count = found.map_or(0, Headers::count);
        let mut headers = Vec::with_capacity(count);
        let mut unreadable_headers = false;
        for index in 0..count {
            match header(found, index) {
                Some(Header { key, value }) => headers.push((key, value)),
                None => unreadable_headers = true,
            }
        }
        let parts = RecordParts {
            key: message.key(),
            value: message.payload(),
            headers: &headers,
            unreadable_headers,
        };
        let timestamp = message.timestamp().to_millis().unwrap_or(-1);
        Record::new(topic, message.partition(), message.offset(), timestamp, parts)
    }
}

/// rdkafka panics on a header whose name is not UTF-8, which anybody may write.
fn header(headers: Option<&BorrowedHeaders>, index: usize) -> Option<Header<'_, &[u8]>> {
    catch_unwind(AssertUnwindSafe(|| headers?.try_get(index))).ok().flatten()
}

/// The version of a message's item, as [`Record::version`] says it, without a copy of the message.
#[must_use]
pub fn version_of(message: &BorrowedMessage<'_>) -> Option<Version> {
    let found = message.headers();
    let count = found.map_or(0, Headers::count);
    let mut last_first = (0..count).rev().filter_map(|index| header(found, index));
    let said = last_first.find(|header| header.key == headers::ITEM_VERSION).and_then(|header| header.value);
    version_said(said, message.payload())
}
