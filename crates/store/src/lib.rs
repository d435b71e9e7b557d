//! DynamoDB tables and the publisher that carries events from there to Kafka
