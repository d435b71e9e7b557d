//! The store on DynamoDB Local and Kafka, with the faults that the real DynamoDB has.

mod counters;
mod data;
mod letters;
mod publisher;
mod reads;
mod setup;
mod topic;
mod writes;

use aqueduct_contract::{CorrelationId, Event, EventId, Happened, Item, ItemKey, Names, Version};
use aqueduct_service::Settings;
use aqueduct_store::{Appended, DataTable, EventStore, Letters, Sequences};
use aqueduct_tests::faults::Faults;
use aqueduct_tests::{servers, unique};
use aws_sdk_dynamodb::Client;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

/// Tables of one test, and a client whose requests can meet faults.
struct Fleet {
    names: Names,
    settings: Settings,
    client: Client,
    faults: Faults,
    faulty: Client,
}

impl Fleet {
    /// Tables under a prefix of their own.
    async fn new(seed: u64) -> Fleet {
        let servers = servers().await;
        let mut settings = Settings::defaults().unwrap();
        settings.prefix = unique();
        settings.kafka.brokers = servers.kafka.clone();
        settings.dynamodb.endpoint = servers.dynamodb.clone();
        let names = Names::new(&settings.prefix);
        let client = settings.dynamodb.connect().await;
        aqueduct_store::setup(&client, &names).await.unwrap();
        let faults = Faults::new(seed);
        let faulty = faults.wrap(&client);
        Fleet { names, settings, client, faults, faulty }
    }

    /// The event store as it is.
    fn events(&self) -> EventStore {
        EventStore::new(self.client.clone(), &self.names)
    }

    /// The event store through the faults.
    fn faulty_events(&self) -> EventStore {
        EventStore::new(self.faulty.clone(), &self.names)
    }

    fn data(&self) -> DataTable {
        DataTable::new(self.client.clone(), &self.names)
    }

    fn letters(&self) -> Letters {
        Letters::new(self.faulty.clone(), &self.names)
    }

    fn sequences(&self) -> Sequences {
        Sequences::new(self.client.clone(), &self.names)
    }
}

fn order(id: &str) -> ItemKey {
    ItemKey::new("acme".parse().unwrap(), "ORDER".parse().unwrap(), id.parse().unwrap()).unwrap()
}

fn version(number: u64) -> Version {
    number.try_into().unwrap()
}

/// A version written now, in which the item has these attributes.
fn event(key: &ItemKey, number: u64, attributes: Value) -> Event {
    event_at(key, number, attributes, Timestamp::now())
}

fn event_at(key: &ItemKey, number: u64, attributes: Value, time: Timestamp) -> Event {
    // Times have six digits in the store.
    let time = Timestamp::from_microsecond(time.as_microsecond()).unwrap();
    let attributes = attributes.as_object().unwrap().clone();
    let name = if number == 1 { "Created" } else { "Updated" };
    Event {
        id: EventId(Uuid::now_v7()),
        happened: Happened { name: name.into(), data: Value::Object(attributes.clone()) },
        item: Item {
            key: key.clone(),
            version: version(number),
            attributes,
            deleted: false,
            created_at: time,
            created_by: "ann".into(),
            updated_at: time,
            updated_by: "bob".into(),
        },
        correlation_id: unique().parse::<CorrelationId>().unwrap(),
        causation_id: Some(EventId(Uuid::now_v7())),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap()),
        schema_version: 1,
    }
}

/// Writes versions 1 to `count`, a second apart, the last one long ago enough to be taken over.
async fn write_versions(events: &EventStore, key: &ItemKey, count: u64) -> Vec<Event> {
    let start = Timestamp::now() - SignedDuration::from_secs(count.cast_signed() + 60);
    let mut written = Vec::new();
    for number in 1..=count {
        let time = start + SignedDuration::from_secs(number.cast_signed());
        let event = event_at(key, number, json!({ "no": number }), time);
        assert_eq!(events.append(&event).await.unwrap(), Appended::Stored);
        written.push(event);
    }
    written
}
