//! Tombstones that are removed: nothing younger goes, and what is gone does not come back.

mod yard;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use aqueduct_contract::{Item, ItemKey, Version, Worker};
use aqueduct_engine::{Outcome, Sink};
use aqueduct_service::purge::Limit;
use aqueduct_store::letters::State;
use aqueduct_store::{Letter, kafka};
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_search::sink::IndexSink;
use aqueduct_tests::{Fleet, PATIENCE, Program, Scratch, eventually, servers};
use aqueduct_views::Error;
use aqueduct_views::tombstones::PURGED;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::json;

use self::yard::{ITEM, Yard};
use crate::sync::record_in;

const STORES: [(Worker, &str); 2] = [(Worker::SyncRds, "postgres"), (Worker::SyncSearch, "opensearch")];
const DAY: i64 = 24 * 3600;

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(days * DAY)
}

fn key(id: &str) -> ItemKey {
    format!("acme#ITEM|ITEM#{id}").parse().unwrap()
}

/// A version of an item that was written at this moment.
fn item(id: &str, version: u64, written: Timestamp, deleted: bool) -> Item {
    Item {
        key: key(id),
        version: Version::try_from(version).unwrap(),
        attributes: json!({ "name": format!("{id} {version}") }).as_object().unwrap().clone(),
        deleted,
        created_at: written,
        created_by: "ann".into(),
        updated_at: written,
        updated_by: "ben".into(),
    }
}

fn expected(rows: &[(&str, i64, bool)]) -> Vec<(String, i64, bool)> {
    rows.iter().map(|(id, version, deleted)| ((*id).to_owned(), *version, *deleted)).collect()
}

/// Applies items to both sinks, which must fare alike.
async fn apply(
    (table, index): &(TableSink, IndexSink),
    items: impl IntoIterator<Item = Item>,
) -> Vec<Outcome> {
    let batch: Vec<_> = items.into_iter().map(|item| record_in("items", item)).collect();
    let outcomes = table.apply(&batch).await.unwrap();
    // The moments up to which the two were purged are not quite the same.
    let shown = |outcome: &Outcome| match outcome {
        Outcome::Ignored(reason) => reason.code.to_owned(),
        other => format!("{other:?}"),
    };
    let of_index = index.apply(&batch).await.unwrap();
    assert_eq!(
        of_index.iter().map(shown).collect::<Vec<_>>(),
        outcomes.iter().map(shown).collect::<Vec<_>>()
    );
    outcomes
}

fn is_purged(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ignored(reason) if reason.code == PURGED && reason.message.contains("aqueduct rebuild items"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_deleted_long_ago_goes_for_good_and_nothing_younger() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("item.yaml"), ITEM)?;
    let plan = Fleet::on(servers().await).await.model(model.path());
    let plan = plan.programs(&[Program::SyncRds, Program::SyncSearch]).short_sessions();
    let fleet = plan.set("opensearch.request_timeout", "5s").start().await?;
    let yard = Yard::of(&fleet.settings).await?;
    let (long, short) = (days_ago(10), days_ago(2));
    // The first record is as old as its event; the others stand in the topic as of now.
    let first = yard.append(item("gone", 1, long, false), false).await?;
    yard.produce(&first, Some(long)).await?;
    yard.publisher.submit(&first);
    yard.write([
        item("gone", 2, days_ago(9), true),
        item("kept", 1, long, false),
        item("young", 1, long, false),
        item("young", 2, short, true),
        item("back", 1, long, false),
        item("back", 2, days_ago(8), true),
    ])
    .await?;
    yard.applied(1).await;
    let before = expected(&[("back", 2, true), ("gone", 2, true), ("kept", 1, false), ("young", 2, true)]);
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (before.clone(), before.clone()));

    let unsaid = fleet.aqueduct(&["purge"]).await?;
    assert_eq!(
        (unsaid.code, unsaid.err.contains("`never`")),
        (Some(2), true),
        "off by default: {}",
        unsaid.err
    );
    let young = fleet.aqueduct(&["purge", "--older-than", "23h"]).await?;
    assert_eq!((young.code, young.err.contains("younger than 1 day")), (Some(2), true), "{}", young.err);
    let unknown = fleet.aqueduct(&["purge", "itmes", "--older-than", "5d"]).await?;
    assert_eq!((unknown.code, unknown.err.contains("no such view")), (Some(1), true), "{}", unknown.err);
    let dry = fleet.aqueduct(&["purge", "--older-than", "5d", "--dry-run"]).await?;
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    for (_, store) in STORES {
        let line = format!("{store} items.g1: 2 tombstones would be removed, through ");
        assert!(dry.out.contains(&line) && dry.out.contains("as far as was asked for"), "{}", dry.out);
    }
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (before.clone(), before));
    assert_eq!((yard.table().await.purged_through, yard.index().await.purged_through), (None, None));

    let purged = fleet.aqueduct(&["purge", "items", "--older-than", "5d"]).await?;
    assert_eq!(purged.code, Some(0), "{}", purged.err);
    for (_, store) in STORES {
        assert!(purged.out.contains(&format!("{store} items.g1: 2 tombstones removed")), "{}", purged.out);
    }
    let after = expected(&[("kept", 1, false), ("young", 2, true)]);
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (after.clone(), after.clone()));
    assert!(yard.table().await.may_have_purged(days_ago(6)) && !yard.index().await.may_have_purged(short));
    yard.agrees().await?;

    // What comes again, straight from a producer.
    yard.produce(&first, None).await?;
    yard.produce(&yard.stored("back", 1).await?, None).await?;
    yard.applied(1).await;
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (after.clone(), after.clone()));
    for process in ["sync-rds-1", "sync-search-1"] {
        eventually("the worker counts what it passed over", PATIENCE, async || {
            let text = fleet.metrics_text(process).await.ok()?;
            text.lines()
                .any(|line| line.contains("outcome=\"ignored\"") && line.ends_with(" 2"))
                .then_some(())
        })
        .await;
    }
    // Created again.
    yard.write([item("back", 3, Timestamp::now(), false)]).await?;
    yard.applied(1).await;
    let after = expected(&[("back", 3, false), ("kept", 1, false), ("young", 2, true)]);
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (after.clone(), after.clone()));
    yard.agrees().await?;

    // A letter that was filed too late.
    for (worker, _) in STORES {
        let filed = yard.letters.put(&yard.letter(worker, "gone")).await?;
        let (group, item) = (&filed.letter.group, &filed.letter.item);
        let redriven = fleet.aqueduct(&["dead-letters", "redrive", "--group", group, "--key", item]).await?;
        assert_eq!(redriven.code, Some(1), "{}", redriven.err);
        assert!(
            redriven.err.contains("not redriven") && redriven.err.contains("aqueduct rebuild items"),
            "{}",
            redriven.err
        );
        assert!(yard.letters.remove_if_unchanged(&filed).await?, "left alone");
    }

    // A replay from before is refused; one from after it reads old events again, to no effect.
    for (worker, process) in [("sync-rds", "sync-rds-1"), ("sync-search", "sync-search-1")] {
        let replay = ["replay", "--worker", worker, "--view", "items", "--from"];
        let refused = fleet.aqueduct(&[&replay[..], &["beginning", "--yes"]].concat()).await?;
        assert_eq!(refused.code, Some(1), "{}", refused.out);
        assert!(
            refused.err.contains("aqueduct rebuild items") && refused.err.contains("begin in"),
            "{}",
            refused.err
        );
        fleet.signal(process, Signal::STOP);
        let again = [&replay[..], &["1h", "--yes", "--wait-for-stop"]].concat();
        let set_back = fleet.aqueduct(&again).await?;
        fleet.signal(process, Signal::CONT);
        assert_eq!(set_back.code, Some(0), "{}", set_back.err);
        assert!(set_back.err.contains("set back; records to read again"), "{}", set_back.err);
    }
    yard.applied(1).await;
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (after.clone(), after.clone()));
    yard.agrees().await?;

    // A rebuild begins with nothing purged, and has all there is.
    let rebuilt = fleet.aqueduct(&["rebuild", "items"]).await?;
    assert_eq!(rebuilt.code, Some(0), "{}{}", rebuilt.out, rebuilt.err);
    let whole = expected(&[("back", 3, false), ("gone", 2, true), ("kept", 1, false), ("young", 2, true)]);
    assert_eq!((yard.rows(2).await, yard.documents(2).await), (whole.clone(), whole));
    let all = [yard.tables.generations().await?, yard.indexes.generations().await?].concat();
    let through: Vec<bool> = all.iter().map(|one| one.purged_through.is_some()).collect();
    assert_eq!(through, [true, false, true, false]);
    yard.agrees().await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_purges_by_itself_where_it_is_told_to() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("item.yaml"), ITEM)?;
    let plan = Fleet::on(servers().await).await.model(model.path());
    let plan = plan.programs(&[Program::SyncRds, Program::SyncSearch]).workers(2);
    let plan = plan.set("opensearch.request_timeout", "5s").set("views.purge_interval", "500ms");
    let fleet = plan.set("views.purge_tombstones_after", "5d").start().await?;
    let yard = Yard::of(&fleet.settings).await?;
    // What is to go is written last: a purge that comes in between would keep the others out.
    yard.write([
        item("young", 1, days_ago(4), true),
        item("kept", 1, days_ago(9), false),
        item("gone", 1, days_ago(10), false),
        item("gone", 2, days_ago(9), true),
    ])
    .await?;
    let after = expected(&[("kept", 1, false), ("young", 1, true)]);
    eventually("the row and the document are gone", PATIENCE, async || {
        (yard.rows(1).await == after && yard.documents(1).await == after).then_some(())
    })
    .await;
    for worker in ["sync-rds", "sync-search"] {
        eventually("it shows on the metrics of one of them", PATIENCE, async || {
            let (mut removed, mut through) = (0.0, 0.0_f64);
            for number in 1..=2 {
                let process = format!("{worker}-{number}");
                let sums = fleet.metrics(&process).await?;
                removed += sums.get("aqueduct_tombstones_purged_total");
                through = through.max(sums.get("aqueduct_tombstones_purged_through_seconds"));
            }
            (removed == 1.0 && through > 0.0).then_some(())
        })
        .await;
    }
    yard.agrees().await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purge_goes_no_further_than_what_is_still_to_come() -> Result<()> {
    let (yard, _set_up, _model) = Yard::quiet().await?;
    let items =
        [item("a", 1, days_ago(10), true), item("b", 1, days_ago(8), false), item("c", 1, days_ago(7), true)];
    yard.write(items.clone()).await?;
    apply(&yard.sinks().await, items).await;
    for (worker, _) in STORES {
        yard.group(worker, 1).commit(vec![(yard.topic(), 0, 1)]).await?;
    }
    let group = yard.group(Worker::SyncRds, 1);
    assert_eq!(group.waiting(1).await?, kafka::Waiting::Many(2), "too many are not read");
    let before_b = yard.stored("b", 1).await?.item.updated_at - SignedDuration::from_micros(1);
    let limit = Limit::Uncommitted(yard.topic(), 0);
    for purged in [yard.purge_table(5).await?, yard.purge_index(5).await?] {
        assert_eq!((purged.bound.through, &purged.bound.limit), (before_b, &limit));
        assert_eq!(purged.tombstones, 1);
    }
    let left = expected(&[("b", 1, false), ("c", 1, true)]);
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (left.clone(), left.clone()));
    // Not by when its record was written, which is now; an event that was published late is as old as it is.
    for (worker, _) in STORES {
        yard.group(worker, 1).commit(vec![(yard.topic(), 0, 3)]).await?;
        let letter = yard.letter(worker, "b");
        yard.letters.put(&Letter { state: State::Quarantined, ..letter.clone() }).await?;
        yard.letters.put(&Letter { item: Letter::without_item(7), offset: 7, ..letter }).await?;
    }
    for purged in [yard.purge_table(5).await?, yard.purge_index(5).await?] {
        assert_eq!(purged.bound.through, before_b);
        assert_eq!((purged.bound.limit, purged.tombstones), (Limit::Letter(key("b").to_string()), 0));
    }
    let letters: Vec<_> = yard.letters.all().try_collect().await?;
    for filed in letters.iter().filter(|filed| filed.letter.offset == 1) {
        assert!(yard.letters.remove_if_unchanged(filed).await?);
    }
    // Nobody publishes it here, so it stays where it is.
    yard.stop.cancel();
    let waits = yard.append(item("d", 1, days_ago(9), false), false).await?.item;
    for purged in [yard.purge_table(5).await?, yard.purge_index(5).await?] {
        assert!(purged.bound.through < waits.updated_at);
        assert_eq!((purged.bound.limit, purged.tombstones), (Limit::Unpublished(key("d")), 0));
    }
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (left.clone(), left));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_old_event_creates_nothing_and_changes_what_is_there() -> Result<()> {
    let (yard, _set_up, _model) = Yard::quiet().await?;
    let sinks = yard.sinks().await;
    let at = days_ago(8);
    let kept = item("kept", 2, at, false);
    apply(&sinks, [kept.clone(), item("gone", 2, at, true)]).await;
    assert_eq!((yard.purge_table(5).await?.tombstones, yard.purge_index(5).await?.tombstones), (1, 1));
    let outcomes = apply(
        &sinks,
        [
            item("gone", 1, at, false),
            item("kept", 1, at, false),
            item("kept-2", 1, days_ago(4), false),
            item("new", 1, Timestamp::now(), false),
        ],
    )
    .await;
    assert!(is_purged(&outcomes[0]), "{outcomes:?}");
    assert_eq!(outcomes[1..], [Outcome::Stale, Outcome::Applied, Outcome::Applied]);
    assert_eq!(apply(&sinks, [kept]).await, [Outcome::Stale]);
    assert_eq!(apply(&sinks, [item("kept", 3, at, false)]).await, [Outcome::Applied]);
    let all = expected(&[("kept", 3, false), ("kept-2", 1, false), ("new", 1, false)]);
    assert_eq!((yard.rows(1).await, yard.documents(1).await), (all.clone(), all));
    // A repair knows from the event store what the latest version is.
    let repairing = TableSink::repairing(yard.pool.clone(), yard.table().await)?;
    apply(&(repairing, sinks.1.clone().repairing()), [item("lost", 1, at, false)]).await;
    assert_eq!((yard.rows(1).await.len(), yard.documents(1).await.len()), (4, 4));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_written_again_while_a_purge_runs_stays() -> Result<()> {
    let (yard, _set_up, _model) = Yard::quiet().await?;
    let sinks = yard.sinks().await;
    let dead = |n: usize| item(&format!("i{n:04}"), 2, days_ago(9), true);
    // More than one batch; in a shard they stand as they were written.
    for n in 0..4 {
        apply(&sinks, (n * 300..(n + 1) * 300).map(dead)).await;
    }
    let again = |n: usize| item(&format!("i{n:04}"), 3, Timestamp::now(), false);
    let (through, index) = (days_ago(5), yard.index().await);
    yard.indexes.begin_purge(&index, through).await?;
    let once = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    let write = |_: u64| {
        if !once.swap(true, Ordering::Relaxed) {
            let batch = [record_in("items", again(1199))];
            let written = tokio::task::block_in_place(|| runtime.block_on(sinks.1.apply(&batch)));
            assert_eq!(written.unwrap(), [Outcome::Applied]);
        }
    };
    assert!(yard.indexes.remove_tombstones(&index, through, &write).await?);
    yard.indexes.end_purge(&index).await?;
    assert_eq!(yard.documents(1).await, expected(&[("i1199", 3, false)]));

    // A row that is being written is passed over, and nobody waits for anybody.
    let table = yard.table().await;
    yard.tables.begin_purge(&table, through).await?;
    let mut writing = yard.pool.begin().await?;
    let write =
        "UPDATE items__g1 SET item_version = 3, deleted = false, updated_at = now() WHERE id = 'i0007'";
    sqlx::raw_sql(write).execute(&mut *writing).await?;
    assert!(yard.tables.remove_tombstones(&table, through, &|_| {}).await?);
    writing.commit().await?;
    yard.tables.end_purge(&table).await?;
    assert_eq!(yard.rows(1).await, expected(&[("i0007", 3, false)]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_purges_one_does_it() -> Result<()> {
    let (yard, _set_up, _model) = Yard::quiet().await?;
    let sinks = yard.sinks().await;
    apply(&sinks, (0..50).map(|n| item(&format!("i{n}"), 1, days_ago(9), true))).await;
    let (table, index, through) = (yard.table().await, yard.index().await, days_ago(5));
    yard.tables.begin_purge(&table, through).await?;
    yard.indexes.begin_purge(&index, through).await?;
    for refused in [yard.purge_table(5).await, yard.purge_index(5).await] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(Error::Purging { .. })), "{refused:#}");
    }
    assert_eq!((yard.rows(1).await.len(), yard.documents(1).await.len()), (50, 50));
    yard.tables.end_purge(&table).await?;
    yard.indexes.end_purge(&index).await?;
    let both = tokio::join!(yard.purge_table(5), yard.purge_table(5));
    let removed: u64 = [both.0, both.1].into_iter().flatten().map(|purged| purged.tombstones).sum();
    assert_eq!(removed, 50);
    let both = tokio::join!(yard.purge_index(5), yard.purge_index(5));
    let removed: u64 = [both.0, both.1].into_iter().flatten().map(|purged| purged.tombstones).sum();
    assert_eq!(removed, 50);
    // It only rises.
    let registered = yard.table().await.purged_through;
    yard.tables.begin_purge(&table, days_ago(7)).await?;
    assert_eq!(yard.table().await.purged_through, registered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_in_flight_is_over_before_anything_is_removed() -> Result<()> {
    let (yard, _set_up, _model) = Yard::quiet().await?;
    let sinks = yard.sinks().await;
    apply(&sinks, [item("gone", 2, days_ago(9), true)]).await;
    let table = yard.table().await;
    // As a batch does that has read the registry and has not written yet.
    let mut batch = yard.pool.begin().await?;
    sqlx::raw_sql("LOCK TABLE items__g1 IN ROW EXCLUSIVE MODE").execute(&mut *batch).await?;
    let refused = yard.tables.begin_purge(&table, days_ago(5)).await.unwrap_err();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    assert_eq!(yard.table().await.purged_through, None, "nothing is noted");
    let begun = yard.tables.begin_purge(&table, days_ago(5));
    let (begun, ()) = tokio::join!(begun, async {
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'items__g1'::regclass";
        eventually("the purge waits for the batch", Duration::from_secs(2), async || {
            let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&yard.pool).await.unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        batch.commit().await.unwrap();
    });
    begun?;
    assert!(yard.table().await.may_have_purged(days_ago(6)));
    Ok(())
}
