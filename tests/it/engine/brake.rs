//! A fault of the system stops a partition, loudly; it does not drain it into the dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aqueduct_contract::Worker;
use aqueduct_engine::{Outcome, Reason, WorkerLanes};
use aqueduct_tests::eventually;

use super::stage::{Applied, Member, PATIENCE, Stage, StatePuppet, assert_nothing_unaccounted};

const ITEMS: usize = 60;

/// A sink that fails every record of partition 0 for which `fails` holds, until `mended`.
fn join(
    stage: &Stage,
    applied: &Applied,
    mended: &Arc<AtomicBool>,
    fails: impl Fn(i64) -> bool + Send + Sync + 'static,
) -> Member {
    let (seen, mended) = (applied.clone(), mended.clone());
    stage.join(StatePuppet::new(move |batch| {
        let broken = !mended.load(Ordering::SeqCst);
        let outcome = |record: &aqueduct_engine::Record| {
            if broken && record.partition == 0 && fails(record.offset) {
                Outcome::Poison(Reason::new("MappingMissing", "there is no such column"))
            } else {
                seen.note(record)
            }
        };
        std::future::ready(Ok(batch.iter().map(outcome).collect()))
    }))
}

async fn publish(stage: &Stage) {
    for item in 0..ITEMS {
        stage.publish(&format!("o{item}"), 1).await;
    }
}

async fn stands_still(member: &Member) {
    eventually("the brake is on", PATIENCE, || async {
        (member.metric("aqueduct_braked_partitions", None) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_dead_letters_in_a_row_stop_their_partition_until_the_fault_is_mended() {
    let mut stage = Stage::new(2).await;
    (stage.settings.brake_in_a_row, stage.settings.batch_records) = (5, 10);
    publish(&stage).await;
    let ends = stage.ends().await;
    let (applied, mended) = (Applied::default(), Arc::new(AtomicBool::new(false)));
    let member = join(&stage, &applied, &mended, |_| true);

    stands_still(&member).await;
    applied.reaches(usize::try_from(ends[1]).unwrap()).await;
    eventually("the other partition goes on", PATIENCE, || async {
        (stage.committed().await[1] == Some(ends[1])).then_some(())
    })
    .await;
    // More of it comes while it stands still.
    publish(&stage).await;
    let retried = member.metric("aqueduct_events_total", Some("returned"));
    eventually("it is tried again", PATIENCE, || async {
        (member.metric("aqueduct_events_total", Some("returned")) > retried).then_some(())
    })
    .await;
    let filed = stage.filed().await.len();
    assert!((5..=5 + stage.settings.lanes.of(Worker::SyncRds)).contains(&filed), "{filed} letters");
    assert!(stage.committed().await[0] < Some(ends[0]), "it stands");

    mended.store(true, Ordering::SeqCst);
    stage.all_committed().await;
    eventually("the brake is off", PATIENCE, || async {
        (member.metric("aqueduct_braked_partitions", None) == 0.0).then_some(())
    })
    .await;
    assert_eq!(stage.dead_letters().await.len(), filed);
    assert_nothing_unaccounted(&member.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_share_of_dead_letters_stops_their_partition() {
    let mut stage = Stage::new(1).await;
    (stage.settings.lanes, stage.settings.batch_records) = (WorkerLanes::all(1), 10);
    (stage.settings.brake_share, stage.settings.brake_window) = (0.2, 20);
    publish(&stage).await;
    let (applied, mended) = (Applied::default(), Arc::new(AtomicBool::new(false)));
    // Every fourth: never two in a row.
    let member = join(&stage, &applied, &mended, |offset| offset % 4 == 0);
    stands_still(&member).await;
    mended.store(true, Ordering::SeqCst);
    stage.all_committed().await;
    // Offsets 0, 4, 8, 12 and 16, until there were twenty records; the next would have been too many.
    assert_eq!(stage.filed().await.len(), 5);
    assert_eq!(applied.count(), ITEMS - 5);
    assert_nothing_unaccounted(&member.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_owner_of_a_stopped_partition_begins_where_it_stopped() {
    let mut stage = Stage::new(1).await;
    (stage.settings.brake_in_a_row, stage.settings.lanes) = (5, WorkerLanes::all(1));
    publish(&stage).await;
    let (applied, mended) = (Applied::default(), Arc::new(AtomicBool::new(false)));
    let member = join(&stage, &applied, &mended, |offset| offset >= 10);
    stands_still(&member).await;
    member.stop().await;
    assert_eq!(stage.committed().await, [Some(15)], "ten applied, five set aside");
    assert_eq!(stage.filed().await.len(), 5);

    mended.store(true, Ordering::SeqCst);
    let member = join(&stage, &applied, &mended, |_| true);
    stage.all_committed().await;
    assert_eq!(applied.count(), ITEMS - 5);
    member.stop().await;
}
