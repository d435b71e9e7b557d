//! The servers of the local stack: they start from nothing, stop when they are told to, and never outlive their parent.

use aqueduct_cli::local::servers::Server;
use aqueduct_tests::{Private, servers};

#[tokio::test]
async fn every_server_answers_on_loopback_alone() {
    let servers = servers().await;
    for (server, address) in [
        (Server::Kafka, &servers.kafka),
        (Server::DynamoDb, &servers.dynamodb),
        (Server::Postgres, &servers.postgres),
        (Server::OpenSearch, &servers.opensearch),
    ] {
        assert!(server.answers(address).await, "{server} at {address}");
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
