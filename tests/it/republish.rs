//! An events topic that was lost is filled from the event store, and everything goes on.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use aqueduct_contract::{ItemKey, Names, Version};
use aqueduct_service::Settings;
use aqueduct_store::EventStore;
use aqueduct_tests::{Ended, Fleet, PATIENCE, Plan, Program, eventually, read_topic, servers};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::{Client, Method};
use serde_json::json;

use crate::fleet::drive;

const TYPES: [&str; 4] = ["ORDER", "CREDIT_NOTE", "PRODUCT", "CUSTOMER"];

/// A record, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    partition: i32,
    key: String,
    version: u64,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    at: i64,
}

fn topics(settings: &Settings) -> Vec<String> {
    let names = Names::new(&settings.prefix);
    TYPES.iter().map(|name| names.events_topic(&name.parse().unwrap())).collect()
}

/// What the events topics hold: offset, then the record.
fn held(settings: &Settings) -> Result<Vec<(i64, Held)>> {
    let mut all = Vec::new();
    for topic in topics(settings) {
        all.extend(read_topic(&settings.kafka.client_config(), &topic, |message| {
            let headers = message.headers().into_iter().flat_map(Headers::iter);
            let headers: Vec<_> = headers
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect();
            let version = headers.iter().find(|(name, _)| name == "item-version");
            let version = version.and_then(|(_, bytes)| std::str::from_utf8(bytes).ok()?.parse().ok());
            let held = Held {
                partition: message.partition(),
                key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                version: version.unwrap_or_default(),
                value: message.payload().unwrap_or_default().to_vec(),
                headers,
                at: message.timestamp().to_millis().unwrap_or_default(),
            };
            (message.offset(), held)
        })?);
    }
    Ok(all)
}

/// Each once, in an order of its own.
fn once(held: &[(i64, Held)]) -> Vec<Held> {
    let mut all: Vec<Held> = held.iter().map(|(_, held)| held.clone()).collect();
    all.sort();
    all.dedup();
    all
}

fn ensure_order(held: &[(i64, Held)]) -> Result<()> {
    let mut highest: HashMap<&str, u64> = HashMap::new();
    for (offset, held) in held {
        let highest = highest.entry(&held.key).or_default();
        ensure!(held.version <= *highest + 1, "{} {} stands too early, at {offset}", held.key, held.version);
        *highest = held.version.max(*highest);
    }
    Ok(())
}

/// The broker loses them.
async fn lose(settings: &Settings) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = settings.kafka.client_config().create()?;
    let topics = topics(settings);
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    for deleted in admin.delete_topics(&names, &AdminOptions::new()).await? {
        deleted.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
    }
    let config = settings.kafka.client_config();
    eventually("the topics are gone", PATIENCE, || async {
        let (config, topics) = (config.clone(), topics.clone());
        let gone = move || {
            let consumer: BaseConsumer = config.create().ok()?;
            let metadata = consumer.fetch_metadata(None, PATIENCE).ok()?;
            metadata
                .topics()
                .iter()
                .all(|known| !topics.iter().any(|topic| topic == known.name()))
                .then_some(())
        };
        tokio::task::spawn_blocking(gone).await.unwrap()
    })
    .await;
    Ok(())
}

/// A fleet on what another one has left.
async fn heir(settings: &Settings) -> Plan {
    Fleet::on(servers().await)
        .await
        .set("prefix", settings.prefix.clone())
        .set("postgres.url", settings.postgres.url.clone())
        .set("opensearch.index_prefix", settings.opensearch.index_prefix.clone())
}

fn said(ended: &Ended) -> String {
    format!("{}{}", ended.out, ended.err)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_topic_is_filled_in_order_and_everything_goes_on() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.start().await?;
    let driven = drive(&fleet, 400, 7).await?;
    driven.settle(PATIENCE).await?;
    let settings = fleet.settings.clone();
    let before = tokio::task::block_in_place(|| held(&settings))?;

    // The topics go under a running fleet; what is written then is accepted, and stays with the publisher.
    lose(&settings).await?;
    let late = json!({ "id": "LATE", "attributes": { "name": "Lantern" } });
    let late = Client::new().post(format!("{}/v1/acme/PRODUCT", fleet.api())).json(&late).send().await?;
    late.error_for_status()?;
    fleet.stop().await?;

    // As `aqueduct setup` does.
    let made = heir(&settings).await.set_up().await?;
    let counted = made.aqueduct(&["republish", "--from", "store", "--dry-run"]).await?;
    ensure!(
        counted.code == Some(0) && counted.out.contains(" to send, 1 are left to the publisher"),
        "{}",
        said(&counted)
    );
    ensure!(tokio::task::block_in_place(|| held(&settings))?.is_empty(), "a dry run sends nothing");
    let sent = made.aqueduct(&["republish", "--from", "store"]).await?;
    ensure!(sent.code == Some(0), "{}", said(&sent));
    let after = tokio::task::block_in_place(|| held(&settings))?;
    assert_eq!(after.len(), once(&before).len(), "each once");
    assert!(once(&after) == once(&before), "every byte as before, in its partition");
    ensure_order(&after)?;
    let events = EventStore::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
    for (offset, held) in after.iter().step_by(7) {
        let key: ItemKey = held.key.parse()?;
        let stored = events.at(&key, Version::try_from(held.version)?).await?.context("a version")?;
        let published = stored.published.context("it was published")?;
        assert_eq!((published.partition, published.offset), (held.partition, *offset));
    }

    let refused = made.aqueduct(&["republish", "--from", "store", "--type", "ORDER"]).await?;
    ensure!(
        refused.code == Some(1) && refused.err.contains("what is sent now would stand behind"),
        "{}",
        said(&refused)
    );
    // As after one that was cut off.
    let again = made.aqueduct(&["republish", "--from", "store", "--type", "ORDER", "--force"]).await?;
    ensure!(again.code == Some(0), "{}", said(&again));
    let twice = tokio::task::block_in_place(|| held(&settings))?;
    assert!(twice.len() > after.len() && once(&twice) == once(&after), "repeats are the same bytes");
    ensure_order(&twice)?;

    for worker in ["projector", "sync-rds", "sync-search"] {
        let replayed = made.aqueduct(&["replay", "--worker", worker, "--from", "beginning", "--yes"]).await?;
        ensure!(replayed.code == Some(0), "{}", said(&replayed));
    }
    let fleet = made.start().await?;
    eventually("what was left to the publisher is published", PATIENCE, async || {
        (fleet.rows("acme", "products").await.ok()? == 1).then_some(())
    })
    .await;
    driven.settle(PATIENCE).await?;
    fleet.agrees(PATIENCE).await?;
    for worker in fleet.workers() {
        let lost = fleet.metrics(&worker).await.context("metrics")?.get("aqueduct_records_lost_total");
        assert_eq!(lost, 0.0, "{worker} stood within the new topic");
    }
    for view in ["orders", "products"] {
        let rebuilt = fleet.aqueduct(&["rebuild", view, "--from", "topics"]).await?;
        ensure!(rebuilt.code == Some(0), "{}\n{}", said(&rebuilt), fleet.logs());
    }
    driven.settle(PATIENCE).await?;
    fleet.nothing_was_set_aside().await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_publishes_meanwhile_is_noticed() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.programs(&[Program::CommandApi]).start().await?;
    let products = format!("{}/v1/acme/PRODUCT", fleet.api());
    let send = async |method: Method, url: String, body| {
        Client::new().request(method, url).json(&body).send().await?.error_for_status().map(drop)
    };
    for n in 0..40 {
        send(
            Method::POST,
            products.clone(),
            json!({ "id": format!("P-{n}"), "attributes": { "name": "Lantern" } }),
        )
        .await?;
    }
    let settings = fleet.settings.clone();
    eventually("all is published", PATIENCE, async || {
        (tokio::task::block_in_place(|| held(&settings)).ok()?.len() == 40).then_some(())
    })
    .await;
    fleet.stop().await?;
    lose(&settings).await?;
    let made = heir(&settings).await.programs(&[Program::CommandApi]).set_up().await?;
    let sending = made.aqueduct(&["republish", "--from", "store", "--type", "PRODUCT", "--rate", "10/s"]);
    let topic = Names::new(&settings.prefix).events_topic(&"PRODUCT".parse()?);
    let meanwhile = async {
        eventually("it has begun", PATIENCE, async || {
            (!tokio::task::block_in_place(|| held(&settings)).ok()?.is_empty()).then_some(())
        })
        .await;
        let producer: FutureProducer = settings.kafka.client_config().create()?;
        let other = FutureRecord::to(&topic).key("acme#PRODUCT|PRODUCT#P-1").payload("{}");
        producer.send(other, PATIENCE).await.map_err(|(error, _)| error)?;
        anyhow::Ok(())
    };
    let (ended, sent) = tokio::join!(sending, meanwhile);
    sent?;
    let ended = ended?;
    ensure!(
        ended.code == Some(1) && ended.err.contains("1 records come from somebody else"),
        "{}",
        said(&ended)
    );
    let by_partition: BTreeMap<i32, usize> = tokio::task::block_in_place(|| held(&settings))?.iter().fold(
        BTreeMap::new(),
        |mut all, (_, held)| {
            *all.entry(held.partition).or_default() += 1;
            all
        },
    );
    assert_eq!(by_partition.values().sum::<usize>(), 41);
    Ok(())
}
