//! Order and completeness while members come and go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_engine::{Outcome, SinkError};
use aqueduct_tests::eventually;
use tokio::sync::Semaphore;

use super::stage::{
    Applied, EventPuppet, Gate, Member, PATIENCE, Stage, StatePuppet, assert_nothing_unaccounted, metric,
};

/// The first appearance of every version is in order, and none is missing.
fn assert_in_order(applied: &Applied, id: &str, versions: u64) {
    let mut first = Vec::new();
    for version in applied.of(id) {
        if !first.contains(&version) {
            first.push(version);
        }
    }
    assert_eq!(first, (1..=versions).collect::<Vec<_>>(), "the versions of {id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_applied_in_the_order_of_its_key_while_members_come_and_go() {
    const ITEMS: usize = 30;
    const VERSIONS: u64 = 40;
    let stage = Arc::new(Stage::new(6).await);
    let applied = Applied::default();
    let member = || {
        let applied = applied.clone();
        stage.join(EventPuppet::new(move |batch| {
            let applied = applied.clone();
            async move {
                // Long enough for rebalances to meet batches in flight.
                tokio::time::sleep(Duration::from_millis(2)).await;
                applied.note_all(&batch)
            }
        }))
    };
    let publishing = {
        let stage = stage.clone();
        tokio::spawn(async move {
            for version in 1..=VERSIONS {
                for item in 0..ITEMS {
                    stage.publish(&format!("o{item}"), version).await;
                }
            }
        })
    };

    let total = ITEMS * usize::try_from(VERSIONS).unwrap();
    let first = member();
    applied.reaches(total / 8).await;
    let second = member();
    applied.reaches(total / 4).await;
    let third = member();
    eventually("the third has partitions", PATIENCE, || async {
        (third.metric("aqueduct_assigned_partitions", None) > 0.0).then_some(())
    })
    .await;
    let first = first.stop().await;
    applied.reaches(total / 2).await;
    second.crash().await;
    publishing.await.unwrap();
    applied.reaches(total).await;
    stage.all_committed().await;
    let third = third.stop().await;

    (0..ITEMS).for_each(|item| assert_in_order(&applied, &format!("o{item}"), VERSIONS));
    assert_nothing_unaccounted(&first);
    assert_nothing_unaccounted(&third);
    assert!(stage.filed().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_only_the_highest_version_in_a_batch_reaches_a_state_sink() {
    let stage = Stage::new(1).await;
    for version in (1..=50).chain(1..=50) {
        stage.publish("one", version).await;
    }
    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(StatePuppet::new(move |batch| {
        let seen = seen.clone();
        async move { seen.note_all(&batch) }
    }));
    stage.all_committed().await;
    let registry = member.stop().await;

    let seen = applied.of("one");
    assert_eq!(seen.iter().max(), Some(&50));
    assert!(seen.len() < 20, "coalesced: {seen:?}");
    assert_eq!(metric(&registry, "aqueduct_consumed_total", None), 100.0);
    assert_eq!(
        metric(&registry, "aqueduct_events_total", Some("stale")),
        100.0 - f64::from(u32::try_from(seen.len()).unwrap())
    );
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_is_in_flight_and_commits_it() {
    let stage = Stage::new(1).await;
    stage.publish("one", 1).await;
    let applied = Applied::default();
    let gate = Gate::closed();
    let member = stage.join(gate.before(&applied));
    gate.reached().await;
    member.begin_stop();
    assert_eq!(stage.committed().await, [Some(0)], "the start is committed, what is in flight is not");
    gate.open();
    let registry = member.stop().await;
    assert_eq!(applied.of("one"), [1]);
    assert_eq!(stage.committed().await, [Some(1)]);
    assert_nothing_unaccounted(&registry);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_gives_up_on_a_sink_that_hangs_and_the_record_comes_again() {
    let mut stage = Stage::new(1).await;
    stage.settings.drain_timeout = Duration::from_millis(300);
    stage.publish("one", 1).await;
    let entered = Arc::new(Semaphore::new(0));
    let inside = entered.clone();
    let member = stage.join(EventPuppet::new(move |_| {
        inside.add_permits(1);
        std::future::pending()
    }));
    entered.acquire().await.unwrap().forget();
    member.stop().await;
    assert_eq!(stage.committed().await, [Some(0)]);

    let applied = Applied::default();
    let seen = applied.clone();
    let member = stage.join(EventPuppet::new(move |batch| std::future::ready(seen.note_all(&batch))));
    stage.all_committed().await;
    member.stop().await;
    assert_eq!(applied.of("one"), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_effect_and_commit_delivers_again_and_loses_nothing() {
    let mut stage = Stage::new(1).await;
    stage.settings.commit_interval = Duration::from_secs(3600);
    for version in 1..=5 {
        stage.publish("one", version).await;
    }
    let applied = Applied::default();
    let sink = || {
        let seen = applied.clone();
        EventPuppet::new(move |batch| std::future::ready(seen.note_all(&batch)))
    };
    let crashing = stage.join(sink());
    applied.reaches(5).await;
    crashing.crash().await;
    assert_eq!(stage.committed().await, [Some(0)], "the start position and nothing more");

    let next = stage.join(sink());
    applied.reaches(10).await;
    next.stop().await;
    assert_eq!(applied.of("one"), [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
    assert_eq!(stage.committed().await, [Some(5)], "committed at the stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_schema_or_code_stops_the_group_and_commits_nothing() {
    let stage = Stage::new(1).await;
    stage.publish("one", 1).await;
    stage.publish("one", 2).await;
    let fault = Arc::new(Semaphore::new(0));
    let inside = fault.clone();
    let member = stage.join(EventPuppet::new(move |_| {
        let fault = inside.clone();
        async move {
            fault.acquire().await.unwrap().forget();
            Err(SinkError::Fatal("no such column".into()))
        }
    }));
    // A group that a fault ends waits for nothing, not for its start to be committed either.
    eventually("its start is committed", PATIENCE, async || {
        (stage.committed().await == [Some(0)]).then_some(())
    })
    .await;
    fault.add_permits(1);
    let error = member.ended().await.unwrap_err();
    assert!(error.to_string().contains("no such column"), "{error}");
    assert_eq!(stage.committed().await, [Some(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_panics_stops_the_group() {
    let stage = Stage::new(1).await;
    stage.publish("one", 1).await;
    let member = stage.join(EventPuppet::new(|_| async { panic!("a bug") }));
    assert!(member.ended().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_of_one_process_do_not_wait_for_each_other() {
    let stage = Stage::new(2).await;
    let applied = Applied::default();
    let stuck = stage.join(EventPuppet::new(|_| async { Err(SinkError::Unavailable("down".into())) }));
    // Another group reads the same topic.
    let mut other = Stage::without_topics(2).await;
    other.topic.clone_from(&stage.topic);
    let seen = applied.clone();
    let healthy = other.join(EventPuppet::new(move |batch| {
        std::future::ready(Ok(batch
            .iter()
            .map(|record| {
                seen.note(record);
                Outcome::Applied
            })
            .collect()))
    }));
    for item in 0..20 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    applied.reaches(20).await;
    healthy.stop().await;
    stuck.stop().await;
    assert_eq!(stage.committed().await.iter().flatten().sum::<i64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_paused_when_it_went_elsewhere_is_read_on_when_it_comes_back() {
    let mut stage = Stage::new(2).await;
    (stage.settings.window, stage.settings.batch_records) = (2, 1);
    stage.settings.pause_after = Duration::from_millis(100);
    // What hangs in the sink is not waited for.
    stage.settings.drain_timeout = Duration::from_millis(100);
    for item in 0..40 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    let leave = Arc::new(Semaphore::new(0));
    let outside = leave.clone();
    let stays = stage.join(EventPuppet::new(move |batch| {
        let outside = outside.clone();
        async move {
            let _left = outside.acquire().await.unwrap();
            Ok(batch.iter().map(|_| Outcome::Applied).collect())
        }
    }));
    let has = |member: &Member, name: &str, partitions: f64| {
        let reached = member.metric(name, None) == partitions;
        async move { reached.then_some(()) }
    };
    eventually("both are paused", PATIENCE, || has(&stays, "aqueduct_paused_partitions", 2.0)).await;

    let comes_and_goes = stage
        .join(EventPuppet::new(|batch| async move { Ok(batch.iter().map(|_| Outcome::Applied).collect()) }));
    let one = "aqueduct_assigned_partitions";
    eventually("one goes elsewhere", PATIENCE, || has(&comes_and_goes, one, 1.0)).await;
    comes_and_goes.stop().await;
    eventually("it comes back", PATIENCE, || has(&stays, one, 2.0)).await;
    leave.add_permits(1);
    for item in 0..40 {
        stage.publish(&format!("o{item}"), 2).await;
    }
    stage.all_committed().await;
    assert_nothing_unaccounted(&stays.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_back_under_its_name_has_its_partitions_again_and_nobody_else_stops() {
    let mut stage = Stage::new(2).await;
    let seen: [Arc<Mutex<BTreeSet<i32>>>; 2] = Default::default();
    let mut join = |name: usize| {
        stage.settings.instance_id = format!("worker-{name}");
        let seen = seen[name].clone();
        stage.join(EventPuppet::new(move |batch| {
            seen.lock().unwrap().extend(batch.iter().map(|record| record.partition));
            std::future::ready(Ok(batch.iter().map(|_| Outcome::Applied).collect()))
        }))
    };
    let has = |member: &Member, partitions: f64| {
        let reached = member.metric("aqueduct_assigned_partitions", None) == partitions;
        async move { reached.then_some(()) }
    };
    let (stays, leaves) = (join(0), join(1));
    eventually("both have one", PATIENCE, || has(&stays, 1.0)).await;
    eventually("both have one", PATIENCE, || has(&leaves, 1.0)).await;
    leaves.stop().await;
    seen.iter().for_each(|seen| seen.lock().unwrap().clear());
    let comes_back = join(1);
    eventually("it has its own again", PATIENCE, || has(&comes_back, 1.0)).await;
    for item in 0..20 {
        stage.publish(&format!("o{item}"), 1).await;
    }
    stage.all_committed().await;
    let seen = seen.map(|seen| seen.lock().unwrap().clone());
    assert!(seen[0].len() == 1 && seen[1].len() == 1 && seen[0] != seen[1], "{seen:?}");
    stays.stop().await;
    comes_back.stop().await;
}
