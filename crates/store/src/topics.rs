//! Makes the topics. A topic that stands stays as it is; one with the wrong number of partitions stops the fleet, and one
//! that does not take the largest event keeps it from starting: such an event would be accepted and never be published.

use std::time::{Duration, Instant};

use aqueduct_contract::{Names, TypeName, Worker};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode;

use crate::{Error, Result, kafka};

/// Dead letters are few; their order across items means nothing, so this number may differ on a topic that stands.
const DEAD_LETTER_PARTITIONS: i32 = 3;
const THIRTY_DAYS_MS: &str = "2592000000";
/// What a topic takes of a record and its batch when nobody says otherwise.
const DEFAULT_BYTES: usize = 1_048_588;
/// What a batch of one record has around it.
const BATCH_BYTES: usize = 61;
/// The broker's own `default.replication.factor`: 1 on a laptop, 3 in production.
const BROKER_DEFAULT: TopicReplication<'_> = TopicReplication::Fixed(-1);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the events topic of each type, kept for ever, and each worker's dead-letter topic, kept 30 days, where they
/// are missing. Fails with [`Error::PartitionCount`] when an events topic stands with another number of partitions
/// than its type asks for, with [`Error::RecordBytes`] when one takes less than a producer with these settings sends, with
/// [`Error::Denied`] when the brokers do not take the credentials.
pub async fn ensure(
    kafka: &kafka::Settings,
    names: &Names,
    types: impl IntoIterator<Item = (&TypeName, i32)>,
) -> Result<()> {
    // An admin client would say no more than that time is up.
    kafka.reach().await?;
    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().map_err(unavailable)?;
    let events: Vec<(String, i32)> =
        types.into_iter().map(|(name, partitions)| (names.events_topic(name), partitions)).collect();
    let dead_letters: Vec<String> = Worker::ALL.map(|worker| names.dead_letter_topic(worker)).into();

    let record_limit = kafka.record_limit()?;
    // At least the broker's default, and more only where it is needed: it has a limit of its own.
    let needed = (record_limit + BATCH_BYTES).max(DEFAULT_BYTES).to_string();
    // A dead letter is its record and the headers that say why.
    let twice = (2 * (record_limit + BATCH_BYTES).max(DEFAULT_BYTES)).to_string();

    let new_events = events.iter().map(|(topic, partitions)| {
        NewTopic::new(topic, *partitions, BROKER_DEFAULT)
            .set("cleanup.policy", "delete")
            .set("retention.ms", "-1")
            .set("max.message.bytes", &needed)
    });
    let new_dead_letters = dead_letters.iter().map(|topic| {
        NewTopic::new(topic, DEAD_LETTER_PARTITIONS, BROKER_DEFAULT)
            .set("cleanup.policy", "delete")
            .set("retention.ms", THIRTY_DAYS_MS)
            .set("max.message.bytes", &twice)
    });
    let new: Vec<NewTopic<'_>> = new_events.chain(new_dead_letters).collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    for made in admin.create_topics(&new, &options).await.map_err(unavailable)? {
        match made {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(Error::Refused(format!("topic {topic}: {code}").into())),
        }
    }
    check_record_bytes(&admin, &events, &options, record_limit).await?;
    check_partition_counts(admin, events).await
}

async fn check_record_bytes(
    admin: &AdminClient<DefaultClientContext>,
    events: &[(String, i32)],
    options: &AdminOptions,
    limit: usize,
) -> Result<()> {
    let topics: Vec<ResourceSpecifier<'_>> =
        events.iter().map(|(topic, _)| ResourceSpecifier::Topic(topic)).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let described = admin.describe_configs(&topics, options).await.map_err(unavailable)?;
    for (described, (topic, _)) in described.into_iter().zip(events) {
        // Who may not look at a topic's configuration may still write to it.
        let Ok(resource) = described else { continue };
        let actual = resource.get("max.message.bytes").and_then(|entry| entry.value.as_ref()?.parse().ok());
        if let Some(actual) = actual.filter(|actual: &usize| *actual < limit + BATCH_BYTES) {
            return Err(Error::RecordBytes { topic: topic.clone(), actual, needed: limit + BATCH_BYTES });
        }
    }
    Ok(())
}

/// The partitions of a topic. A topic just made is known to brokers a moment later.
fn partitions(client: &Client<DefaultClientContext>, topic: &str) -> Result<usize> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let metadata = client.fetch_metadata(Some(topic), TIMEOUT).map_err(unavailable)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        if partitions > 0 || Instant::now() > deadline {
            return Ok(partitions);
        }
    }
}

async fn check_partition_counts(
    admin: AdminClient<DefaultClientContext>,
    events: Vec<(String, i32)>,
) -> Result<()> {
    let check = move || {
        for (topic, expected) in events {
            let actual = partitions(admin.inner(), &topic)?;
            if usize::try_from(expected) != Ok(actual) {
                return Err(Error::PartitionCount { topic, actual, expected });
            }
        }
        Ok(())
    };
    // Metadata is fetched by a call that blocks.
    tokio::task::spawn_blocking(check).await.map_err(|error| Error::Unavailable(Box::new(error)))?
}

fn unavailable(error: rdkafka::error::KafkaError) -> Error {
    Error::Unavailable(Box::new(error))
}
