//! Tables and topics: made once, never changed, and a wrong number of partitions stops the fleet.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_contract::{TypeName, Worker};
use aqueduct_store::{Error, setup, topics};
use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, KeySchemaElement, ProjectionType};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use serde_json::json;

use super::{Fleet, event, order};

#[tokio::test]
async fn setting_up_again_or_twice_at_once_changes_nothing() {
    let fleet = Fleet::new(1).await;
    let created = event(&order("stays"), 1, json!({}));
    fleet.events().append(&created).await.unwrap();
    setup(&fleet.client, &fleet.names).await.unwrap();
    let (one, two) = tokio::join!(setup(&fleet.client, &fleet.names), setup(&fleet.client, &fleet.names));
    one.unwrap();
    two.unwrap();
    assert_eq!(fleet.events().latest(&created.item.key).await.unwrap(), Some(created));
}

#[tokio::test]
async fn two_setups_of_a_new_fleet_at_once_both_succeed() {
    let fleet = Fleet::new(2).await;
    let names = aqueduct_contract::Names::new(aqueduct_tests::unique());
    let (one, two) = tokio::join!(setup(&fleet.client, &names), setup(&fleet.client, &names));
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn the_tables_are_billed_on_demand_and_have_the_keys_of_the_design() {
    let fleet = Fleet::new(3).await;
    let keys = BTreeMap::from([
        ("events", vec!["item", "version"]),
        ("data", vec!["pk", "sk"]),
        ("letters", vec!["partition", "item"]),
        ("audit", vec!["letter", "entry"]),
        ("sequences", vec!["pk", "sk"]),
        ("sessions", vec!["session", "entry"]),
        ("idempotency", vec!["request"]),
    ]);
    for (name, expected) in keys {
        let answer = fleet.client.describe_table().table_name(fleet.names.table(name)).send().await.unwrap();
        let table = answer.table().unwrap();
        let keys: Vec<&str> = table.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
        assert_eq!(keys, expected, "{name}");
        let billing = table.billing_mode_summary().and_then(|billing| billing.billing_mode());
        assert_eq!(billing, Some(&BillingMode::PayPerRequest), "{name}");
        let indexes: BTreeMap<&str, bool> = table
            .global_secondary_indexes()
            .iter()
            .map(|index| {
                let projection = index.projection().and_then(|projection| projection.projection_type());
                (index.index_name().unwrap(), projection == Some(&ProjectionType::KeysOnly))
            })
            .collect();
        let keys_only = if name == "events" { &[("correlation", true), ("outbox", true)][..] } else { &[] };
        assert_eq!(indexes, keys_only.iter().copied().collect(), "{name}");
    }
    for name in ["sessions", "idempotency"] {
        let answer =
            fleet.client.describe_time_to_live().table_name(fleet.names.table(name)).send().await.unwrap();
        let ttl = answer.time_to_live_description().unwrap();
        assert_eq!(ttl.attribute_name(), Some("expires"), "{name}");
    }
}

#[tokio::test]
async fn an_index_finds_what_was_written_under_a_correlation_id() {
    let fleet = Fleet::new(4).await;
    let created = event(&order("found"), 1, json!({}));
    fleet.events().append(&created).await.unwrap();
    let correlation = AttributeValue::S(format!("acme|{}", created.correlation_id));
    let found = fleet
        .client
        .query()
        .table_name(fleet.names.table("events"))
        .index_name("correlation")
        .key_condition_expression("correlation = :correlation")
        .expression_attribute_values(":correlation", correlation);
    let found = found.send().await.unwrap();
    let keys: Vec<_> = found.items().iter().map(|row| (row["item"].as_s(), row["version"].as_n())).collect();
    assert_eq!(keys, [(Ok(&created.item.key.to_string()), Ok(&"1".to_owned()))]);
}

#[tokio::test]
async fn topics_are_made_once_with_their_retention() {
    let fleet = Fleet::new(5).await;
    let (order, product): (TypeName, TypeName) = ("ORDER".parse().unwrap(), "PRODUCT".parse().unwrap());
    for _ in 0..2 {
        topics::ensure(&fleet.settings.kafka, &fleet.names, [(&order, 12), (&product, 3)]).await.unwrap();
    }
    let admin: AdminClient<DefaultClientContext> = fleet.settings.kafka.client_config().create().unwrap();
    let retention = async |topic: &str| {
        let described =
            admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &AdminOptions::new()).await;
        let resource = described.unwrap().remove(0).unwrap();
        resource.get("retention.ms").unwrap().value.clone().unwrap()
    };
    assert_eq!(retention(&fleet.names.events_topic(&order)).await, "-1");
    assert_eq!(retention(&fleet.names.events_topic(&product)).await, "-1");
    for worker in Worker::ALL {
        let topic = fleet.names.dead_letter_topic(worker);
        assert_eq!(retention(&topic).await, Duration::from_secs(30 * 24 * 3600).as_millis().to_string());
    }
}

/// Such an event would be accepted, and stay unpublished for ever.
#[tokio::test]
async fn a_topic_that_does_not_take_the_largest_event_is_an_error_and_a_new_one_does() {
    let fleet = Fleet::new(8).await;
    let (order, product): (TypeName, TypeName) = ("ORDER".parse().unwrap(), "PRODUCT".parse().unwrap());
    topics::ensure(&fleet.settings.kafka, &fleet.names, [(&order, 1)]).await.unwrap();
    let mut larger = fleet.settings.kafka.clone();
    larger.properties.insert("message.max.bytes".to_owned(), "3000000".to_owned());
    topics::ensure(&larger, &fleet.names, [(&product, 1)]).await.unwrap();
    let error = topics::ensure(&larger, &fleet.names, [(&order, 1), (&product, 1)]).await.unwrap_err();
    let Error::RecordBytes { topic, needed, .. } = &error else { panic!("{error}") };
    assert_eq!((topic, *needed), (&fleet.names.events_topic(&order), 3_000_061));
    assert!(error.to_string().contains("`max.message.bytes`"), "{error}");
}

#[tokio::test]
async fn another_number_of_partitions_is_an_error_with_the_way_out() {
    let fleet = Fleet::new(6).await;
    let order: TypeName = "ORDER".parse().unwrap();
    topics::ensure(&fleet.settings.kafka, &fleet.names, [(&order, 4)]).await.unwrap();
    let error = topics::ensure(&fleet.settings.kafka, &fleet.names, [(&order, 12)]).await.unwrap_err();
    assert!(matches!(error, Error::PartitionCount { actual: 4, expected: 12, .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains(&fleet.names.events_topic(&order)), "{message}");
    assert!(message.contains("Set `partitions: 4`"), "{message}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unavailable() {
    let fleet = Fleet::new(7).await;
    let mut kafka = fleet.settings.kafka.clone();
    kafka.brokers = "127.0.0.1:1".into();
    let order: TypeName = "ORDER".parse().unwrap();
    let error = topics::ensure(&kafka, &fleet.names, [(&order, 12)]).await.unwrap_err();
    assert!(matches!(error, Error::KafkaNotReached(_)) && error.is_transient(), "{error}");
}
