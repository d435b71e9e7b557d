//! Sends events again that were published before, into a topic that has lost them.

use super::producer::Producer;
use crate::events::{EventStore, Published, Record};
use crate::{Error, Result, kafka};

/// A producer like the publisher's, so that every record goes into the partition that it was in.
pub struct Republisher {
    events: EventStore,
    producer: Producer,
}

impl Republisher {
    /// Connects when it sends.
    pub fn new(events: EventStore, kafka: &kafka::Settings) -> Result<Republisher> {
        Ok(Republisher { events, producer: Producer::new(kafka)? })
    }

    /// Sends a version, waits for the acknowledgement, and notes in the store where it stands now. After an error it may be in
    /// the topic all the same. Send it before the next version of its item: that keeps them in order.
    pub async fn send(&self, record: &Record) -> Result<Published> {
        let topic = self.events.topic(&record.key);
        let sent = self.producer.send(&topic, record).await;
        let published = sent.map_err(|failure| Error::Unavailable(Box::new(failure)))?;
        self.events.moved(&record.key, record.version, published).await?;
        Ok(published)
    }
}
