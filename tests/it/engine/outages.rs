//! A store that is down, slow or full: waited for as long as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aqueduct_engine::{Outcome, Reason, SinkError, WorkerLanes};
use aqueduct_tests::{Private, Server, eventually};
use tokio::time::Instant;

use super::stage::{Applied, EventPuppet, PATIENCE, Stage, StatePuppet, assert_nothing_unaccounted};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_loses_nothing_and_nothing_becomes_a_dead_letter() {
    let stage = Stage::new(3).await;
    let applied = Applied::default();
    let down = Arc::new(AtomicBool::new(true));
    let calls = Arc::new(AtomicUsize::new(0));
    let (seen, is_down, counted) = (applied.clone(), down.clone(), calls.clone());
    let member = stage.join(EventPuppet::new(move |batch| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(if is_down.load(Ordering::Relaxed) {
            Err(SinkError::Unavailable("connection refused".into()))
        } else {
            seen.note_all(&batch)
        })
    }));
    for item in 0..300 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let lag = || member.metric("aqueduct_consumer_lag_records", None);
    eventually("lag is seen", PATIENCE, || async { (lag() == 300.0).then_some(()) }).await;
    eventually("it is tried again and again", PATIENCE, || async {
        (calls.load(Ordering::Relaxed) > 40).then_some(())
    })
    .await;
    assert!(member.metric("aqueduct_consumer_lag_seconds", None) > 0.0);
    assert!(member.progress.ready().unwrap_err().contains("connection refused"));
    assert_eq!(member.progress.alive(), Ok(()));

    down.store(false, Ordering::Relaxed);
    stage.all_committed().await;
    eventually("lag is back to nothing", PATIENCE, || async {
        let seconds = member.metric("aqueduct_consumer_lag_seconds", None);
        (lag() == 0.0 && seconds == 0.0).then_some(())
    })
    .await;
    assert_eq!(member.progress.ready(), Ok(()));
    let registry = member.stop().await;
    assert_eq!(applied.count(), 300);
    assert_nothing_unaccounted(&registry);
    assert!(stage.filed().await.is_empty());
    assert!(stage.dead_letters().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_records_come_again_for_as_long_as_it_takes() {
    let stage = Stage::new(1).await;
    for item in 0..20 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let applied = Applied::default();
    let (seen, calls) = (applied.clone(), Arc::new(AtomicUsize::new(0)));
    let member = stage.join(StatePuppet::new(move |batch| {
        let (seen, call) = (seen.clone(), calls.fetch_add(1, Ordering::Relaxed));
        let outcome = |(index, record)| {
            // Far more often than an unknown failure would be tried.
            if index == 0 && call < 30 {
                Outcome::Throttled(Reason::new("Throttled", "too many requests"))
            } else {
                seen.note(record)
            }
        };
        std::future::ready(Ok(batch.iter().enumerate().map(outcome).collect()))
    }));
    stage.all_committed().await;
    let registry = member.stop().await;
    assert_eq!(applied.count(), 20);
    assert_nothing_unaccounted(&registry);
    assert!(stage.filed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saturated_store_gets_smaller_batches() {
    let stage = Stage::new(1).await;
    for item in 0..64 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        std::future::ready(if batch.len() > 4 { Err(SinkError::Saturated) } else { seen.note_all(&batch) })
    }));
    stage.all_committed().await;
    member.stop().await;
    assert_eq!(applied.count(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_saturated_store_took_is_remembered() {
    let mut stage = Stage::new(1).await;
    (stage.settings.lanes, stage.settings.batch_records) = (WorkerLanes::all(1), 100);
    for item in 0..1000 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let (applied, refused) = (Applied::default(), Arc::new(AtomicUsize::new(0)));
    let (seen, refusals) = (applied.clone(), refused.clone());
    let member = stage.join(StatePuppet::new(move |batch| {
        let answer = if batch.len() > 10 {
            refusals.fetch_add(1, Ordering::SeqCst);
            Err(SinkError::Saturated)
        } else {
            seen.note_all(&batch)
        };
        std::future::ready(answer)
    }));
    stage.all_committed().await;
    eventually("the metrics show it", PATIENCE, || async {
        (member.metric("aqueduct_batch_limit_records", None) < 50.0).then_some(())
    })
    .await;
    member.stop().await;
    assert_eq!(applied.count(), 1000);
    // From a hundred down to ten costs 26 refusals; after that a larger batch is tried every few. Ten batches of a hundred, each
    // halved anew, would be refused 150 times.
    let refused = refused.load(Ordering::SeqCst);
    assert!((26..80).contains(&refused), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_slower_than_the_poll_interval_keeps_its_partitions() {
    let mut stage = Stage::new(1).await;
    stage.settings.window = 4;
    stage.settings.batch_records = 2;
    for (name, value) in [("max.poll.interval.ms", "6000"), ("session.timeout.ms", "6000")] {
        stage.kafka.properties.insert(name.into(), value.into());
    }
    for item in 0..40 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let applied = Applied::default();
    let (seen, begun) = (applied.clone(), Instant::now());
    let member = stage.join(EventPuppet::new(move |batch| {
        let seen = seen.clone();
        async move {
            // The window is full, its partition is paused, and the time of an eviction passes.
            tokio::time::sleep_until(begun + Duration::from_secs(8)).await;
            seen.note_all(&batch)
        }
    }));
    stage.all_committed().await;
    let registry = member.stop().await;
    assert_eq!(applied.count(), 40, "nothing was delivered again: the partition was never lost");
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_and_returns_costs_nothing() {
    let private = Private::start(&[Server::Kafka, Server::DynamoDb]).await.unwrap();
    let stage = Stage::on(&private.servers, 3).await;
    stage.make_topics().await;
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(EventPuppet::new(move |batch| std::future::ready(seen.note_all(&batch))));
    for item in 0..50 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    stage.all_committed().await;
    private.crash(Server::Kafka).await.unwrap();
    private.start_again(Server::Kafka).await.unwrap();
    for item in 0..50 {
        stage.publish(&format!("o{item}"), 2).await;
    }
    stage.all_committed().await;
    let registry = member.stop().await;
    (0..50).for_each(|item| assert_eq!(applied.of(&format!("o{item}")), [1, 2]));
    assert_nothing_unaccounted(&registry);
}
