//! Accepted is published, in order, whatever fails when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_cli::local::servers::Server;
use aqueduct_contract::{EVENT_PARTITIONS, Event, ItemKey};
use aqueduct_store::publisher::Settings;
use aqueduct_store::{Appended, EventStore, Publisher, kafka, topics};
use aqueduct_tests::faults::{Fault, Rates};
use aqueduct_tests::{Private, eventually};
use futures::future::join_all;
use jiff::Timestamp;
use prometheus::Registry;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::topic::{self, check_order, check_places, java_hash, java_partition};
use super::{Fleet, event, event_at, order, version, write_versions};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a command-api has of the store.
struct Process {
    publisher: Publisher,
    registry: Registry,
    stop: CancellationToken,
    work: JoinHandle<aqueduct_store::Result<()>>,
}

impl Process {
    fn start(fleet: &Fleet, events: EventStore, settings: Settings) -> Process {
        Process::start_on(&fleet.settings.kafka, events, settings)
    }

    fn start_on(kafka: &kafka::Settings, events: EventStore, settings: Settings) -> Process {
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let (publisher, publishing) = Publisher::new(events, kafka, settings, &registry).unwrap();
        let work = tokio::spawn(publishing.run(stop.clone()));
        Process { publisher, registry, stop, work }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.work.await.unwrap().unwrap();
    }

    /// As a crash: nothing is finished.
    fn kill(self) {
        self.work.abort();
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metrics = family.get_metric().iter();
        metrics.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }
}

/// A whole round of the sweeper takes a third of a second.
fn settings(fleet: &Fleet) -> Settings {
    Settings { sweep_interval: Duration::from_millis(5), ..fleet.settings.publisher.clone() }
}

/// No sweeper to speak of.
fn settings_without_sweeper(fleet: &Fleet) -> Settings {
    Settings { sweep_interval: Duration::from_secs(3600), ..fleet.settings.publisher.clone() }
}

async fn ensure_topic(fleet: &Fleet) -> String {
    ensure_topic_on(fleet, &fleet.settings.kafka).await
}

async fn ensure_topic_on(fleet: &Fleet, kafka: &kafka::Settings) -> String {
    let type_name = "ORDER".parse().unwrap();
    topics::ensure(kafka, &fleet.names, [(&type_name, EVENT_PARTITIONS)]).await.unwrap();
    fleet.names.events_topic(&type_name)
}

async fn until_published(events: &EventStore, expected: &[Event]) {
    for event in expected {
        let what = format!("{} version {} is published", event.item.key, event.item.version);
        let (key, version) = (&event.item.key, event.item.version);
        eventually(&what, PATIENCE, || async { events.at(key, version).await.unwrap().unwrap().published })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_under_faults_publish_everything_in_order() {
    const WRITERS: usize = 8;
    const EACH: usize = 15;
    let fleet = Arc::new(Fleet::new(11).await);
    let topic = ensure_topic(&fleet).await;
    fleet.faults.set(Rates {
        answer_lost: 0.05,
        request_lost: 0.03,
        throttled: 0.05,
        conflict: 0.02,
        index_late: 0.5,
    });
    let processes: Vec<Arc<Process>> = (0..3)
        .map(|_| {
            // Impatient, so that processes get in each other's way.
            let settings = Settings { takeover_after: Duration::from_millis(1), ..settings(&fleet) };
            Arc::new(Process::start(&fleet, fleet.faulty_events(), settings))
        })
        .collect();
    let writers = (0..WRITERS).map(|writer| {
        let (fleet, process) = (Arc::clone(&fleet), Arc::clone(&processes[writer % 3]));
        tokio::spawn(async move {
            let events = fleet.faulty_events();
            let keys: Vec<ItemKey> = (0..4).map(|number| order(&format!("hot-{number}"))).collect();
            let mut written = Vec::new();
            while written.len() < EACH {
                let key = &keys[(writer + written.len()) % keys.len()];
                let Ok(latest) = events.latest(key).await else { continue };
                let next = event(key, latest.map_or(0, |latest| latest.item.version.get()) + 1, json!({}));
                let appended = loop {
                    if let Ok(appended) = events.append(&next).await {
                        break appended;
                    }
                };
                if appended == Appended::Stored {
                    process.publisher.submit(&next);
                    written.push(next);
                }
            }
            written
        })
    });
    let written: Vec<Event> =
        join_all(writers).await.into_iter().flat_map(|writer| writer.unwrap()).collect();
    until_published(&fleet.events(), &written).await;
    let records = topic::read(&fleet.settings.kafka, &topic).await;
    let repeats = check_order(&records, &written);
    check_places(&fleet.events(), &records, &written).await;
    println!("{} events, {repeats} repeats, {} faults", written.len(), fleet.faults.happened());
    for record in &records {
        assert_eq!(record.partition, java_partition(&record.key, EVENT_PARTITIONS), "as Java clients do");
    }
}

#[tokio::test]
async fn what_a_dead_process_left_is_published_by_another() {
    let fleet = Fleet::new(12).await;
    let topic = ensure_topic(&fleet).await;
    let dead = Process::start(&fleet, fleet.events(), settings_without_sweeper(&fleet));
    let mut written = Vec::new();
    for number in 0..30 {
        // Between Put and publish: nothing is submitted.
        written
            .extend(write_versions(&fleet.events(), &order(&format!("left-{number}")), number % 4 + 1).await);
    }
    dead.kill();

    let alive = Process::start(&fleet, fleet.events(), settings(&fleet));
    until_published(&fleet.events(), &written).await;
    let records = topic::read(&fleet.settings.kafka, &topic).await;
    check_order(&records, &written);
    check_places(&fleet.events(), &records, &written).await;
    assert!(alive.metric("aqueduct_published_total") > 0.0);
    eventually("the outbox is seen to be empty", PATIENCE, || async {
        (alive.metric("aqueduct_outbox_oldest_seconds") == 0.0).then_some(())
    })
    .await;
    alive.stop().await;
}

#[tokio::test]
async fn processes_that_are_killed_again_and_again_lose_nothing_and_keep_the_order() {
    let fleet = Fleet::new(13).await;
    let topic = ensure_topic(&fleet).await;
    let events = fleet.events();
    let mut written = Vec::new();
    for round in 0..12_u64 {
        let process = Process::start(&fleet, fleet.events(), settings(&fleet));
        for item in 0..5 {
            let next = event(&order(&format!("item-{item}")), round + 1, json!({ "round": round }));
            assert_eq!(events.append(&next).await.unwrap(), Appended::Stored);
            process.publisher.submit(&next);
            written.push(next);
        }
        // Somewhere on the way, each time elsewhere.
        tokio::time::sleep(Duration::from_millis(round * 4)).await;
        process.kill();
    }
    let last = Process::start(&fleet, fleet.events(), settings(&fleet));
    until_published(&events, &written).await;
    let records = topic::read(&fleet.settings.kafka, &topic).await;
    check_order(&records, &written);
    check_places(&events, &records, &written).await;
    last.stop().await;
}

#[tokio::test]
async fn a_version_is_published_after_the_earlier_ones_of_others() {
    let fleet = Fleet::new(14).await;
    let topic = ensure_topic(&fleet).await;
    let events = fleet.events();
    let key = order("behind-others");
    let mut written = write_versions(&events, &key, 4).await;
    let own = event(&key, 5, json!({}));
    events.append(&own).await.unwrap();
    let process = Process::start(&fleet, fleet.events(), settings_without_sweeper(&fleet));
    process.publisher.submit(&own);
    written.push(own);
    until_published(&events, &written).await;
    check_order(&topic::read(&fleet.settings.kafka, &topic).await, &written);
    process.stop().await;
}

#[tokio::test]
async fn another_writers_young_version_is_left_to_that_writer_for_a_moment() {
    let fleet = Fleet::new(15).await;
    let topic = ensure_topic(&fleet).await;
    let events = fleet.events();
    let key = order("young");
    let takeover_after = Duration::from_millis(700);
    let settings = Settings { takeover_after, ..settings_without_sweeper(&fleet) };
    let process = Process::start(&fleet, fleet.events(), settings);
    let theirs = event(&key, 1, json!({}));
    events.append(&theirs).await.unwrap();
    let own = event(&key, 2, json!({}));
    events.append(&own).await.unwrap();
    process.publisher.submit(&own);

    let published = [theirs.clone(), own];
    until_published(&events, &published).await;
    let waited = Timestamp::now().duration_since(theirs.item.updated_at);
    assert!(waited.unsigned_abs() >= takeover_after, "taken over after {waited:?}");
    check_order(&topic::read(&fleet.settings.kafka, &topic).await, &published);
    process.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_ahead_does_not_hold_up_an_item() {
    let fleet = Fleet::new(16).await;
    let topic = ensure_topic(&fleet).await;
    let ahead = Timestamp::now() + jiff::SignedDuration::from_mins(30);
    let written = [event_at(&order("from-tomorrow"), 1, json!({}), ahead)];
    fleet.events().append(&written[0]).await.unwrap();
    let process = Process::start(&fleet, fleet.events(), settings(&fleet));
    until_published(&fleet.events(), &written).await;
    check_order(&topic::read(&fleet.settings.kafka, &topic).await, &written);
    process.stop().await;
}

#[tokio::test]
async fn a_repeat_after_a_lost_unmarking_is_the_same_record() {
    let fleet = Fleet::new(17).await;
    let topic = ensure_topic(&fleet).await;
    // Kafka acknowledges, but the marker stays: each attempt of the SDK is lost on the way.
    fleet.faults.next("UpdateItem", [Fault::RequestLost; 4]);
    let process = Process::start(&fleet, fleet.faulty_events(), settings(&fleet));
    let written = [event(&order("repeated"), 1, json!({ "price": "9.99" }))];
    fleet.events().append(&written[0]).await.unwrap();
    process.publisher.submit(&written[0]);
    until_published(&fleet.events(), &written).await;
    let records = topic::read(&fleet.settings.kafka, &topic).await;
    assert_eq!(check_order(&records, &written), 1, "one repeat");
    process.stop().await;
}

#[tokio::test]
async fn an_index_that_never_shows_the_newest_delays_but_loses_nothing() {
    let fleet = Fleet::new(18).await;
    let topic = ensure_topic(&fleet).await;
    fleet.faults.set(Rates { index_late: 0.9, ..Rates::default() });
    let process = Process::start(&fleet, fleet.faulty_events(), settings(&fleet));
    let mut written = Vec::new();
    for number in 0..10 {
        written.extend(write_versions(&fleet.events(), &order(&format!("late-{number}")), 3).await);
    }
    until_published(&fleet.events(), &written).await;
    check_order(&topic::read(&fleet.settings.kafka, &topic).await, &written);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_writes_go_on_memory_is_bounded_and_all_is_published_after() {
    let fleet = Fleet::new(19).await;
    let private = Private::start(&[Server::Kafka]).await.unwrap();
    let kafka = kafka::Settings {
        brokers: private.servers.kafka.clone(),
        // So that publications give up, and give their places to others, within the test.
        properties: [("message.timeout.ms".to_owned(), "2000".to_owned())].into(),
    };
    let topic = ensure_topic_on(&fleet, &kafka).await;
    let events = fleet.events();
    let small = Settings { queue_bytes: 64 * 1024, in_flight: 8, ..settings(&fleet) };
    let process = Process::start_on(&kafka, fleet.events(), small);

    private.stop(Server::Kafka).await.unwrap();
    let mut written = Vec::new();
    for number in 0..200_u64 {
        let next = event(&order(&format!("item-{}", number % 20)), number / 20 + 1, json!({}));
        assert_eq!(events.append(&next).await.unwrap(), Appended::Stored);
        let begun = Instant::now();
        process.publisher.submit(&next);
        assert!(begun.elapsed() < Duration::from_millis(200), "an answer does not wait for Kafka");
        written.push(next);
    }
    assert!(process.metric("aqueduct_publish_deferred_total") > 50.0, "most is left to the sweeper");
    eventually("publications fail", PATIENCE, || async {
        (process.metric("aqueduct_publish_failures_total") > 0.0).then_some(())
    })
    .await;
    eventually("the age of the outbox shows", PATIENCE, || async {
        (process.metric("aqueduct_outbox_oldest_seconds") > 1.0).then_some(())
    })
    .await;

    private.start_again(Server::Kafka).await.unwrap();
    until_published(&events, &written).await;
    let records = topic::read(&kafka, &topic).await;
    check_order(&records, &written);
    check_places(&events, &records, &written).await;
    process.stop().await;
}

#[tokio::test]
async fn a_stop_publishes_what_was_submitted_before_it() {
    let fleet = Fleet::new(20).await;
    let topic = ensure_topic(&fleet).await;
    let events = fleet.events();
    let process = Process::start(&fleet, fleet.events(), settings_without_sweeper(&fleet));
    let mut written = Vec::new();
    for number in 0..100_u64 {
        let next = event(&order(&format!("item-{}", number % 10)), number / 10 + 1, json!({}));
        events.append(&next).await.unwrap();
        process.publisher.submit(&next);
        written.push(next);
    }
    process.stop().await;
    for event in &written {
        let stored = events.at(&event.item.key, event.item.version).await.unwrap().unwrap();
        assert!(stored.published.is_some(), "{} version {}", event.item.key, event.item.version);
    }
    check_order(&topic::read(&fleet.settings.kafka, &topic).await, &written);
}

#[tokio::test]
async fn a_stop_without_kafka_ends_in_time() {
    let fleet = Fleet::new(21).await;
    let kafka = kafka::Settings { brokers: "127.0.0.1:1".into(), properties: [].into() };
    let settings = Settings { drain_timeout: Duration::from_millis(300), ..settings(&fleet) };
    let process = Process::start_on(&kafka, fleet.events(), settings);
    let created = event(&order("waits"), 1, json!({}));
    fleet.events().append(&created).await.unwrap();
    process.publisher.submit(&created);
    let begun = Instant::now();
    process.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let stored = fleet.events().at(&created.item.key, version(1)).await.unwrap().unwrap();
    assert_eq!(stored.published, None, "it is still in the outbox");
}

#[test]
fn java_hashes_keys_like_this() {
    // From the tests of `murmur2` in org.apache.kafka.common.utils.Utils.
    let cases = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];
    for (key, hash) in cases {
        assert_eq!(java_hash(key), hash, "{key}");
    }
}
