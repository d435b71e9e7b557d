//! Brokers that have just begun, what stands in their topics, and those with more listeners than the plain one.
//!
//! A broker tells clients where it is, by the listener on which they ask, and from then on they go there: what stands in
//! front of it needs a listener of its own, which tells its address.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use aqueduct_cli::local::ports;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use crate::{PATIENCE, Private, Proxy, Server, eventually};

/// Asks a broker, by a call that blocks, until it answers: one that has just begun does not know everything yet.
///
/// # Panics
///
/// When it does not answer for long, or `ask` panics.
pub async fn asked<T, E>(what: &str, ask: impl Fn() -> Result<T, E> + Send + Sync + 'static) -> T
where
    T: Send + 'static,
{
    let ask = Arc::new(ask);
    eventually(what, PATIENCE, || {
        let ask = ask.clone();
        async move { spawn_blocking(move || ask().ok()).await.expect("what is asked does not panic") }
    })
    .await
}

/// What a topic holds now, each partition in order, as `copy` takes it. Whoever writes may go on meanwhile: what comes later is not
/// read, and is not taken for a record of another partition.
///
/// # Errors
///
/// When the broker does not answer.
pub fn read_topic<T>(
    config: &ClientConfig,
    topic: &str,
    copy: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<Vec<T>> {
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut ends = HashMap::new();
    for partition in metadata.topics().first().context("no such topic")?.partitions() {
        // A new partition has no leader for a moment.
        let mut tries =
            (0..1000).filter_map(|_| consumer.fetch_watermarks(topic, partition.id(), PATIENCE).ok());
        let (low, high) = tries.next().context("a partition without a leader")?;
        if low < high {
            ends.insert(partition.id(), high);
        }
    }
    read_below(config, topic, ends, copy)
}

/// The same below these offsets, of the partitions that have one.
///
/// # Errors
///
/// When the broker does not answer, or the topic ends before.
pub fn read_below<T>(
    config: &ClientConfig,
    topic: &str,
    mut ends: HashMap<i32, i64>,
    copy: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<Vec<T>> {
    // It is no member of its group and commits nothing.
    let consumer: BaseConsumer =
        config.clone().set("group.id", topic).set("enable.auto.commit", "false").create()?;
    let mut assigned = TopicPartitionList::new();
    for (partition, end) in ends.clone() {
        let (begin, _) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
        if begin < end {
            assigned.add_partition_offset(topic, partition, Offset::Beginning)?;
        } else {
            // Retention took all of it.
            ends.remove(&partition);
        }
    }
    consumer.assign(&assigned)?;
    let mut records = Vec::new();
    while !ends.is_empty() {
        let message = consumer.poll(PATIENCE).context("the topic ended early")??;
        let Some(end) = ends.get(&message.partition()).copied() else { continue };
        if message.offset() + 1 >= end {
            ends.remove(&message.partition());
        }
        if message.offset() < end {
            records.push(copy(&message));
        }
    }
    Ok(records)
}

/// A listener beside the plain one.
pub struct Listener {
    /// Its name, in lower case.
    pub name: &'static str,
    /// `PLAINTEXT` or `SASL_SSL`.
    pub protocol: &'static str,
    /// Where on 127.0.0.1 it listens.
    pub port: u16,
    /// Where clients are told that it is, `host:port`.
    pub advertised: String,
    /// The broker's properties for it, a line each.
    pub properties: String,
}

impl Private {
    /// Gives the broker these listeners, once. It is started anew, before it holds anything.
    ///
    /// # Errors
    ///
    /// When the broker was not wanted, or does not start.
    pub async fn listen(&self, listeners: &[Listener]) -> Result<()> {
        let file = self.folder(Server::Kafka).join("server.properties");
        let mut settings = fs::read_to_string(&file)?;
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for Listener { name, protocol, port, advertised, properties } in listeners {
            let name = name.to_uppercase();
            let own = format!("127.0.0.1:{port}");
            for (setting, address) in [("\nlisteners=", &own), ("\nadvertised.listeners=", advertised)] {
                settings = settings.replacen(setting, &format!("{setting}{name}://{address},"), 1);
            }
            protocols += &format!(",{name}:{protocol}");
            settings += &format!("\n{properties}\n");
        }
        // It holds nothing yet, and stopping takes longer.
        self.crash(Server::Kafka).await?;
        fs::write(file, format!("{settings}\nlistener.security.protocol.map={protocols}\n"))?;
        self.start_again(Server::Kafka).await
    }

    /// A proxy in front of the broker, from which no client strays. Like [`listen`](Self::listen), once.
    ///
    /// # Errors
    ///
    /// As there, and when no port is free.
    pub async fn broker_behind_proxy(&self) -> Result<Proxy> {
        let port = ports::free()?;
        let proxy = Proxy::of(&format!("127.0.0.1:{port}")).await?;
        let listener = Listener {
            name: "proxied",
            protocol: "PLAINTEXT",
            port,
            advertised: proxy.address.to_string(),
            properties: String::new(),
        };
        self.listen(&[listener]).await?;
        Ok(proxy)
    }
}
