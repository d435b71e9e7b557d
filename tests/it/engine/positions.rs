//! Where a group starts, what it commits, and what it says of it.

use std::time::Duration;

use aqueduct_store::{Error, kafka};
use aqueduct_tests::eventually;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use super::stage::{Applied, EventPuppet, Gate, Member, PATIENCE, Stage, metric};

fn join(stage: &Stage, applied: &Applied) -> Member {
    let seen = applied.clone();
    stage.join(EventPuppet::new(move |batch| std::future::ready(seen.note_all(&batch))))
}

/// As retention does.
async fn remove_below(stage: &Stage, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = stage.kafka.client_config().create().unwrap();
    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset(&stage.topic, 0, Offset::Offset(offset)).unwrap();
    admin.delete_records(&gone, &AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_starts_at_the_beginning_and_commits_its_start_in_every_partition() {
    let stage = Stage::new(4).await;
    stage.publish("before", 1).await;
    let applied = Applied::default();
    let member = join(&stage, &applied);
    stage.all_committed().await;
    assert_eq!(applied.of("before"), [1]);
    assert_eq!(stage.committed().await.iter().flatten().count(), 4, "idle partitions have a position too");
    eventually("ready", PATIENCE, || async { member.progress.ready().ok() }).await;
    assert_eq!(member.metric("aqueduct_assigned_partitions", None), 4.0);
    let registry = member.stop().await;
    assert_eq!(metric(&registry, "aqueduct_assigned_partitions", None), 0.0);
    let lag = registry.gather().into_iter().find(|family| family.name() == "aqueduct_consumer_lag_records");
    assert!(lag.is_none_or(|family| family.get_metric().is_empty()), "no partition is left on the metrics");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_where_it_stopped() {
    let stage = Stage::new(1).await;
    let applied = Applied::default();
    for version in 1..=3 {
        stage.publish("one", version).await;
        let member = join(&stage, &applied);
        applied.reaches(usize::try_from(version).unwrap()).await;
        member.stop().await;
    }
    assert_eq!(applied.of("one"), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_after_the_start_is_read() {
    let stage = Stage::without_topics(1).await;
    let applied = Applied::default();
    let member = join(&stage, &applied);
    stage.make_topics().await;
    stage.publish("one", 1).await;
    stage.all_committed().await;
    member.stop().await;
    assert_eq!(applied.of("one"), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_took_from_a_group_are_counted_as_lost() {
    let stage = Stage::new(1).await;
    let applied = Applied::default();
    stage.publish("one", 1).await;
    let member = join(&stage, &applied);
    stage.all_committed().await;
    member.stop().await;

    for version in 2..=6 {
        stage.publish("one", version).await;
    }
    remove_below(&stage, 4).await;

    let member = join(&stage, &applied);
    stage.all_committed().await;
    assert_eq!(member.metric("aqueduct_records_lost_total", None), 3.0);
    member.stop().await;
    assert_eq!(applied.of("one"), [1, 5, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_retention_overtakes_while_it_reads_goes_on_and_says_so() {
    let mut stage = Stage::new(1).await;
    // One at a time, a few wait their turn, and nearly nothing is fetched ahead.
    (stage.settings.batch_records, stage.settings.window) = (1, 5);
    for (name, value) in [
        ("queued.min.messages", "1"),
        ("message.max.bytes", "1000"),
        ("fetch.max.bytes", "1024"),
        ("fetch.message.max.bytes", "512"),
    ] {
        stage.kafka.properties.insert(name.into(), value.into());
    }
    for version in 1..=40 {
        stage.publish("one", version).await;
    }
    let applied = Applied::default();
    let gate = Gate::closed();
    let member = stage.join(gate.before(&applied));
    gate.reached().await;
    // Read, but neither applied nor below the position of the group.
    eventually("the window is full", PATIENCE, || async {
        (member.metric("aqueduct_records_in_flight", None) >= 5.0).then_some(())
    })
    .await;
    remove_below(&stage, 38).await;
    gate.open();
    stage.all_committed().await;
    let lost = member.metric("aqueduct_records_lost_total", None);
    member.stop().await;
    let versions = applied.of("one");
    let read = versions.iter().take_while(|version| **version < 39).count() as u64;
    assert!((5..38).contains(&read), "{versions:?}");
    assert_eq!(versions, (1..=read).chain([39, 40]).collect::<Vec<_>>(), "all that was read is applied");
    assert_eq!(lost, (38 - read) as f64, "what was not is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_a_group_moves() {
    let stage = Stage::new(1).await;
    let applied = Applied::default();
    let member = join(&stage, &applied);
    stage.publish("one", 1).await;
    applied.reaches(1).await;
    for name in [
        "aqueduct_consumed_total",
        "aqueduct_events_total",
        "aqueduct_freshness_seconds",
        "aqueduct_batch_records",
        "aqueduct_batch_seconds",
        "aqueduct_assigned_partitions",
    ] {
        eventually(name, Duration::from_secs(5), || async {
            (member.metric(name, None) > 0.0).then_some(())
        })
        .await;
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_member_puts_a_group_elsewhere_only_while_nobody_is() {
    let stage = Stage::new(1).await;
    for version in 1..=3 {
        stage.publish("one", version).await;
    }
    let applied = Applied::default();
    let member = join(&stage, &applied);
    stage.all_committed().await;
    let group = kafka::Group::new(&stage.kafka, &stage.group().id, &stage.group().topics);
    let members = group.members().await.unwrap();
    assert_eq!(
        members.iter().map(|member| &member.partitions).collect::<Vec<_>>(),
        [&[(stage.topic.clone(), 0)]]
    );
    let back = || vec![(stage.topic.clone(), 0, 1)];
    let refused = group.commit(back()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused}");
    assert_eq!(stage.committed().await, [Some(3)]);
    member.stop().await;

    group.commit(back()).await.unwrap();
    let standing = group.standings().await.unwrap().remove(0);
    assert_eq!((standing.position.committed, standing.position.lag()), (Some(1), 2));
    assert!(standing.oldest.is_some(), "the record at the position is read");
    let member = join(&stage, &applied);
    stage.all_committed().await;
    assert_eq!(applied.of("one"), [1, 2, 3, 2, 3]);
    member.stop().await;
}
