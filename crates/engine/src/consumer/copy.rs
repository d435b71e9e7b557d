//! A message of librdkafka as a record of ours.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rdkafka::message::{BorrowedMessage, Header, Headers, Message};

use crate::{Record, RecordParts};

/// Copies what librdkafka owns.
pub(super) fn copy(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    let count = message.headers().map_or(0, Headers::count);
    let mut headers = Vec::with_capacity(count);
    let mut unreadable_headers = false;
    for index in 0..count {
        match header(message, index) {
            Some(Header { key, value }) => headers.push((key, value)),
            None => unreadable_headers = true,
        }
    }
    let parts =
        RecordParts { key: message.key(), value: message.payload(), headers: &headers, unreadable_headers };
    let timestamp = message.timestamp().to_millis().unwrap_or(-1);
    Record::new(topic, message.partition(), message.offset(), timestamp, parts)
}

/// rdkafka panics on a header whose name is not UTF-8, which anybody may write.
fn header<'m>(message: &'m BorrowedMessage<'_>, index: usize) -> Option<Header<'m, &'m [u8]>> {
    catch_unwind(AssertUnwindSafe(|| message.headers().and_then(|headers| headers.try_get(index))))
        .ok()
        .flatten()
}
