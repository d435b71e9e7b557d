//! The servers of the local stack: they start from nothing, beside each other, and come back with their data.

use aqueduct_cli::local::host::Host;
use aqueduct_cli::local::servers::{Server, Servers};
use aqueduct_tests::{Private, Scratch, servers};
use clap::Parser;

#[derive(Parser)]
struct Environment {
    #[command(flatten)]
    host: Host,
}

fn host() -> Host {
    Environment::parse_from(["tests"]).host
}

#[tokio::test]
async fn two_sets_of_servers_run_side_by_side() {
    let private = Private::start(&Server::ALL).await.unwrap();
    for servers in [servers().await, &private.servers] {
        for (server, address) in [
            (Server::Kafka, &servers.kafka),
            (Server::DynamoDb, &servers.dynamodb),
            (Server::Postgres, &servers.postgres),
            (Server::OpenSearch, &servers.opensearch),
        ] {
            assert!(server.answers(address).await, "{server} at {address}");
        }
    }
}

#[tokio::test]
async fn a_server_comes_back_on_its_port_with_its_data() {
    let private = Private::start(&[Server::Postgres]).await.unwrap();
    let database = private.servers.database().await;
    private.stop(Server::Postgres).await.unwrap();
    assert!(!Server::Postgres.answers(&database).await);
    private.start_again(Server::Postgres).await.unwrap();
    assert!(Server::Postgres.answers(&database).await, "the database is there");
    private.crash(Server::Postgres).await.unwrap();
    private.start_again(Server::Postgres).await.unwrap();
    assert!(Server::Postgres.answers(&database).await, "the database outlives a crash");
}

#[tokio::test]
async fn a_folder_that_is_kept_serves_the_next_start() {
    let folder = Scratch::new().unwrap();
    let start = || async { Servers::start(&host(), folder.path(), &Server::ALL, true).await.unwrap() };
    let address = |servers: &Servers, of: Server| {
        let endpoints = servers.endpoints();
        endpoints.into_iter().find(|endpoint| endpoint.server == of).unwrap().address
    };

    let first = start().await;
    traces::leave_in_kafka(&address(&first, Server::Kafka)).await;
    traces::leave_in_dynamodb(&address(&first, Server::DynamoDb)).await;
    traces::leave_in_opensearch(&address(&first, Server::OpenSearch)).await;
    let postgres = address(&first, Server::Postgres);
    aqueduct_cli::local::servers::create_database(&postgres, "trace").await.unwrap();
    first.stop().await;

    let second = start().await;
    assert!(traces::are_in_kafka(&address(&second, Server::Kafka)));
    assert!(traces::are_in_dynamodb(&address(&second, Server::DynamoDb)).await);
    assert!(traces::are_in_opensearch(&address(&second, Server::OpenSearch)).await);
    let postgres = address(&second, Server::Postgres).replace("/postgres", "/trace");
    assert!(Server::Postgres.answers(&postgres).await);
}

#[tokio::test]
async fn a_server_that_ends_at_start_is_reported_at_once_with_its_log() {
    let folder = Scratch::new().unwrap();
    let data = folder.path().join("postgres/data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("PG_VERSION"), "9.6\n").unwrap();
    let begun = std::time::Instant::now();
    let error = Servers::start(&host(), folder.path(), &[Server::Postgres], true).await.err().unwrap();
    let message = format!("{error:#}");
    assert!(message.starts_with("postgres did not start: postgres ended at start"), "{message}");
    assert!(message.contains("postgres.log"), "{message}");
    assert!(begun.elapsed().as_secs() < 60, "it does not wait for what cannot come");
}

/// Something in each server that is seen again.
mod traces {
    use aqueduct_store::dynamodb;
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    use rdkafka::ClientConfig;
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;

    fn kafka(brokers: &str) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
    }

    pub(super) async fn leave_in_kafka(brokers: &str) {
        let topic = NewTopic::new("trace", 1, TopicReplication::Fixed(1));
        let made = kafka(brokers).create_topics(&[topic], &AdminOptions::new()).await.unwrap();
        made.into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    pub(super) fn are_in_kafka(brokers: &str) -> bool {
        let metadata =
            kafka(brokers).inner().fetch_metadata(None, std::time::Duration::from_secs(10)).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == "trace")
    }

    async fn dynamodb(endpoint: &str) -> Client {
        dynamodb::Settings { endpoint: endpoint.to_owned(), region: "us-east-1".to_owned() }.connect().await
    }

    pub(super) async fn leave_in_dynamodb(endpoint: &str) {
        let attribute =
            AttributeDefinition::builder().attribute_name("k").attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name("k").key_type(KeyType::Hash);
        let client = dynamodb(endpoint).await;
        let table = client.create_table().table_name("trace").billing_mode(BillingMode::PayPerRequest);
        let table = table.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
        table.send().await.unwrap();
    }

    pub(super) async fn are_in_dynamodb(endpoint: &str) -> bool {
        let tables = dynamodb(endpoint).await.list_tables().send().await.unwrap();
        tables.table_names().contains(&"trace".to_owned())
    }

    pub(super) async fn leave_in_opensearch(url: &str) {
        let made = reqwest::Client::new().put(format!("{url}/trace")).send().await.unwrap();
        made.error_for_status().unwrap();
    }

    pub(super) async fn are_in_opensearch(url: &str) -> bool {
        reqwest::get(format!("{url}/trace")).await.unwrap().status().is_success()
    }
}
