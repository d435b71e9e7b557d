//! What holds of a table, whatever arrives in whatever order.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::{Guard, Item};
use aqueduct_engine::{Outcome, Record, Sink, SinkError};
use aqueduct_model::PostgresView;
use aqueduct_service::Settings;
use aqueduct_sync_rds::classify::ROW_REFUSED;
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_sync_rds::statements::Statements;
use aqueduct_tests::{Private, Server, eventually};
use aqueduct_views::postgres::{Registry, RowMapper, ddl};
use aqueduct_views::{Generation, MappingError, State};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use crate::sync::{ORDER, deletion, full, model, order, record, settings};

/// A sink for `orders`, its table made by the registry, and a pool to look into the database with.
async fn orders(settings: &Settings) -> (TableSink, PgPool) {
    let pool = settings.postgres.connect_lazy().unwrap();
    let served = Registry::new(pool.clone()).ensure(&model(&[ORDER])).await.unwrap();
    let generation = served.generations.into_iter().next().unwrap();
    (TableSink::new(pool.clone(), generation).unwrap(), pool)
}

async fn apply(sink: &TableSink, items: impl IntoIterator<Item = Item>) -> Vec<Outcome> {
    let batch: Vec<Record> = items.into_iter().map(record).collect();
    sink.apply(&batch).await.unwrap()
}

/// What a statement answers, as JSON rows.
async fn rows(pool: &PgPool, query: &str) -> Vec<Value> {
    let statement = AssertSqlSafe(format!("SELECT to_jsonb(r) FROM ({query}) r"));
    sqlx::query_scalar(statement).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn a_row_is_what_the_item_maps_to() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let outcomes = apply(&sink, [order("full", 3, full()), order("empty", 1, json!({}))]).await;
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied]);
    let found = rows(
        &pool,
        "SELECT tenant, id, item_version, created_at::text, updated_at::text, customer_name, total::text, quantity::text, \
         weight::text, paid, placed_at::text, day::text, ref::text, lines, shout FROM orders ORDER BY id",
    )
    .await;
    let nothing = Value::Null;
    assert_eq!(
        found,
        [
            json!({
                "tenant": "acme", "id": "empty", "item_version": 1,
                "created_at": "2026-11-21 13:15:00.000001+00", "updated_at": "2026-11-21 13:15:01+00",
                "customer_name": nothing, "total": nothing, "quantity": nothing, "weight": nothing, "paid": nothing,
                "placed_at": nothing, "day": nothing, "ref": nothing, "lines": nothing, "shout": "nobody",
            }),
            json!({
                "tenant": "acme", "id": "full", "item_version": 3,
                "created_at": "2026-11-21 13:15:00.000001+00", "updated_at": "2026-11-21 13:15:03+00",
                "customer_name": "Zoë \"O'Hara\" \\ ✓", "total": "1234567890123456789012345678.90",
                "quantity": "9223372036854775807", "weight": "0.1", "paid": true,
                "placed_at": "2026-11-21 11:15:00.123456+00", "day": "2024-02-29",
                "ref": "0190a5f0-0000-7000-8000-000000000000",
                "lines": [{ "code": "a", "n": 1.5 }, nothing, "✓"], "shout": "Zoë \"O'Hara\" \\ ✓!",
            }),
        ]
    );
}

#[tokio::test]
async fn numbers_of_every_spelling_are_exact() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let quantities = [
        ("a", "5.0", "5"),
        ("b", "1e3", "1000"),
        ("c", "9007199254740993", "9007199254740993"),
        ("d", "-0.0", "0"),
    ];
    let totals = [
        ("a", "0.10", "0.10"),
        ("b", "-99999999999999999999999999.99", "-99999999999999999999999999.99"),
        ("c", "7", "7.00"),
        ("d", "0", "0.00"),
    ];
    for ((id, quantity, _), (_, total, _)) in quantities.into_iter().zip(totals) {
        let text = format!(r#"{{"quantity": {quantity}, "total": "{total}"}}"#);
        let attributes = serde_json::from_str(&text).unwrap();
        assert_eq!(apply(&sink, [order(id, 1, attributes)]).await, [Outcome::Applied], "{text}");
    }
    let found = rows(&pool, "SELECT id, quantity::text, total::text FROM orders ORDER BY id").await;
    let expected: Vec<Value> = quantities
        .iter()
        .zip(totals)
        .map(|((id, _, quantity), (_, _, total))| json!({ "id": id, "quantity": quantity, "total": total }))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_lower_or_equal_version_changes_nothing() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let named = |version, name: &str| order("o", version, json!({ "customerName": name }));
    assert_eq!(apply(&sink, [named(5, "five")]).await, [Outcome::Applied]);
    assert_eq!(apply(&sink, [named(4, "four")]).await, [Outcome::Stale]);
    assert_eq!(apply(&sink, [named(5, "five again")]).await, [Outcome::Stale]);
    assert_eq!(
        rows(&pool, "SELECT item_version, customer_name FROM orders").await,
        [json!({ "item_version": 5, "customer_name": "five" })]
    );
    assert_eq!(
        apply(&sink, [named(6, "six"), order("p", 1, json!({}))]).await,
        [Outcome::Applied, Outcome::Applied]
    );
    assert_eq!(
        apply(&sink, [order("p", 1, json!({})), named(7, "seven"), order("a", 1, json!({}))]).await,
        [Outcome::Stale, Outcome::Applied, Outcome::Applied],
        "each as it fared"
    );
}

/// Deliveries: batches of (order, version), each order at most once in a batch, any order, any repetition, the last
/// version of each at least once.
fn deliveries() -> impl Strategy<Value = Vec<Vec<(usize, u64)>>> {
    let delivery = (0..4_usize, 1..=6_u64);
    let last = (0..4_usize).map(|id| (id, 6)).collect::<Vec<_>>();
    prop::collection::vec(delivery, 20..60)
        .prop_map(move |mut all| {
            all.extend(last.clone());
            all
        })
        .prop_shuffle()
        .prop_map(|all| {
            let mut batches: Vec<Vec<(usize, u64)>> = vec![Vec::new()];
            for (id, version) in all {
                let full = batches.last().is_some_and(|batch| batch.iter().any(|(other, _)| *other == id));
                if full {
                    batches.push(Vec::new());
                }
                batches.last_mut().unwrap().push((id, version));
            }
            batches
        })
}

fn nth(prefix: &str, id: usize, version: u64) -> Item {
    let id = format!("{prefix}-{id}");
    if version == 3 { deletion(&id, 3) } else { order(&id, version, json!({ "quantity": version })) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn any_deliveries_by_any_number_of_writers_end_in_the_latest_version() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let sink = Arc::new(sink);
    let done = CancellationToken::new();
    let watcher = tokio::spawn(never_goes_back(pool.clone(), done.clone()));
    let mut runner = TestRunner::deterministic();
    for round in 0..12 {
        let prefix = format!("r{round}");
        let batches = deliveries().new_tree(&mut runner).unwrap().current();
        // Four writers, as after a rebalance that one of them did not notice.
        let writers = (0..4).map(|writer| {
            let (sink, prefix) = (sink.clone(), prefix.clone());
            let own: Vec<_> = batches.iter().skip(writer % 2).step_by(2).cloned().collect();
            tokio::spawn(async move {
                for batch in own {
                    apply(&sink, batch.into_iter().map(|(id, version)| nth(&prefix, id, version))).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    }
    done.cancel();
    watcher.await.unwrap();
    let wrong = "SELECT * FROM orders__g1 WHERE item_version <> 6 OR quantity <> 6 OR deleted";
    assert_eq!(rows(&pool, wrong).await, Vec::<Value>::new());
    assert_eq!(rows(&pool, "SELECT count(*)::int AS n FROM orders").await, [json!({ "n": 48 })]);
}

async fn never_goes_back(pool: PgPool, done: CancellationToken) {
    let mut seen = std::collections::HashMap::new();
    while !done.is_cancelled() {
        let now: Vec<(String, i64)> =
            sqlx::query_as("SELECT id, item_version FROM orders__g1").fetch_all(&pool).await.unwrap();
        for (id, version) in now {
            let before = seen.insert(id.clone(), version).unwrap_or(0);
            assert!(before <= version, "{id} went from {before} to {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_over_the_same_rows_in_any_order_do_not_deadlock() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let sink = Arc::new(sink);
    let writers = (0..4_u64).map(|writer| {
        let sink = sink.clone();
        tokio::spawn(async move {
            for round in 1..=15_u64 {
                let mut ids: Vec<u64> = (0..200).collect();
                ids.rotate_left(usize::try_from(writer * 50 + round).unwrap());
                if writer % 2 == 0 {
                    ids.reverse();
                }
                let version = round * 4 + writer;
                let items =
                    ids.iter().map(|id| order(&id.to_string(), version, json!({ "quantity": version })));
                apply(&sink, items).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let found =
        rows(&pool, "SELECT count(*)::int AS n FROM orders WHERE item_version = 63 AND quantity = 63").await;
    assert_eq!(found, [json!({ "n": 200 })]);
}

#[tokio::test]
async fn a_deleted_item_is_hidden_and_no_late_event_brings_it_back() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let named = |version| order("o", version, json!({ "customerName": "Ann" }));
    apply(&sink, [named(1)]).await;
    assert_eq!(apply(&sink, [deletion("o", 3)]).await, [Outcome::Applied]);
    assert_eq!(rows(&pool, "SELECT id FROM orders").await, Vec::<Value>::new());
    let kept = rows(&pool, "SELECT item_version, deleted, customer_name, shout FROM orders__g1").await;
    let nothing = Value::Null;
    assert_eq!(
        kept,
        [json!({ "item_version": 3, "deleted": true, "customer_name": nothing, "shout": nothing })]
    );

    assert_eq!(apply(&sink, [named(2)]).await, [Outcome::Stale]);
    assert_eq!(rows(&pool, "SELECT id FROM orders").await, Vec::<Value>::new());
    assert_eq!(apply(&sink, [named(4)]).await, [Outcome::Applied], "created again");
    assert_eq!(rows(&pool, "SELECT item_version FROM orders").await, [json!({ "item_version": 4 })]);
}

#[tokio::test]
async fn a_deletion_that_arrives_first_is_kept() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    assert_eq!(apply(&sink, [deletion("o", 2)]).await, [Outcome::Applied]);
    assert_eq!(apply(&sink, [order("o", 1, json!({}))]).await, [Outcome::Stale]);
    assert_eq!(rows(&pool, "SELECT id FROM orders").await, Vec::<Value>::new());
}

#[tokio::test]
async fn values_that_do_not_fit_are_the_fault_of_their_row_alone() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let bad = [
        ("not a number", json!({ "total": "abc" })),
        ("too many digits", json!({ "total": "1".repeat(40) })),
        ("out of range", json!({ "quantity": 18_446_744_073_709_551_615_u64 })),
        ("a fraction", json!({ "quantity": 1.5 })),
        ("no boolean", json!({ "paid": "perhaps" })),
        ("no day", json!({ "day": "2023-02-30" })),
        ("no uuid", json!({ "ref": "x" })),
        ("nul in text", json!({ "customerName": "a\0b" })),
        ("nul in jsonb", json!({ "lines": ["a\0b"] })),
        ("too long for the index", json!({ "customerName": noise(20_000) })),
    ];
    for (name, attributes) in bad {
        let batch = [order("good", 1, json!({})), order(name, 1, attributes.clone())].map(record);
        let refused = sink.apply(&batch).await;
        assert!(
            matches!(&refused, Err(SinkError::Poison(reason)) if reason.code == ROW_REFUSED),
            "{name}: {refused:?}"
        );
        let alone = sink.apply(&[record(order(name, 1, attributes))]).await;
        assert!(
            matches!(&alone, Err(SinkError::Poison(reason)) if !reason.message.is_empty()),
            "{name}: {alone:?}"
        );
    }
    assert_eq!(
        apply(&sink, [order("good", 1, json!({}))]).await,
        [Outcome::Applied],
        "nothing of a refused batch stays"
    );
    assert_eq!(rows(&pool, "SELECT id FROM orders__g1").await, [json!({ "id": "good" })]);
}

/// Text that does not compress: an index takes 2,704 bytes after compression.
fn noise(length: usize) -> String {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from(state >> 24).unwrap() % 90)
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test]
async fn an_item_of_a_megabyte_is_a_row_like_others() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let large = json!({ "lines": [{ "code": noise(1_000_000) }] });
    assert_eq!(apply(&sink, [order("o", 1, large.clone())]).await, [Outcome::Applied]);
    assert_eq!(rows(&pool, "SELECT lines FROM orders").await, [large]);
}

#[tokio::test]
async fn what_cannot_be_mapped_is_poison_and_the_rest_of_the_batch_is_written() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let product = Item { key: "acme#PRODUCT|PRODUCT#p".parse().unwrap(), ..order("x", 1, json!({})) };
    let batch = [
        record(order("now", 1, json!({ "placedAt": "now" }))),
        record(order("good", 1, json!({}))),
        record(order("list", 1, json!({ "customerName": [1] }))),
        record(product),
        Record::new("orders".into(), 0, 0, 0, Default::default()),
    ];
    let outcomes = sink.apply(&batch).await.unwrap();
    let codes: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Poison(reason) => reason.code,
            Outcome::Applied => "applied",
            _ => "?",
        })
        .collect();
    let expected = [MappingError::CODE, "applied", MappingError::CODE, "EventInvalid", "EventInvalid"];
    assert_eq!(codes, expected, "{outcomes:?}");
    let Outcome::Poison(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.message.contains("orders") && reason.message.contains("placed_at"), "{reason}");
    assert_eq!(rows(&pool, "SELECT id FROM orders").await, [json!({ "id": "good" })]);
}

#[tokio::test]
async fn hostile_ids_values_and_names_arrive_unharmed() {
    let settings = settings().await;
    let pool = settings.postgres.connect_lazy().unwrap();
    let view = r#"o"'; --\"#;
    let columns = |from: &str| {
        let names = ["x\" text); DROP TABLE y; --", "Größe'\\", "select", "$1", "t.c1"];
        names.map(|name| json!({ "name": name, "type": "text", "from": from, "index": true }))
    };
    let child = json!({ "name": "c\"; --", "each": "[id, id]", "columns": columns("it") });
    let postgres = json!({ "columns": columns("self.customerName"), "children": [child] });
    let definition = json!({ "name": view, "type": "ORDER", "postgres": postgres });
    let generation = Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live);
    // Makes the tables of the registry, which the statements read.
    Registry::new(pool.clone()).ensure(&model(&[ORDER])).await.unwrap();
    let mut statements = Vec::new();
    for table in ddl::tables(&generation) {
        statements.extend([table.create(), table.create_key(), table.comment()].map(Result::unwrap));
        statements.extend(table.create_indexes().unwrap());
        statements.push(table.create_public_view().unwrap());
    }
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }

    let postgres: &PostgresView = generation.definition.postgres.as_ref().unwrap();
    let ids = ["'; DROP TABLE \"orders\"; --", "a\\b", "%_", "NULL", "{}", "{\"a\",b}", "Ünï✓💡", " ", "1"];
    let items = ids.map(|id| order(id, 1, json!({ "customerName": id })).to_raw().unwrap());
    let mapper = RowMapper::new(postgres);
    let mapped: Vec<_> = items.iter().map(|item| mapper.row(item).unwrap()).collect();
    let applied = Statements::new(&generation, Guard::Older)
        .unwrap()
        .execute(&pool, mapped.iter().collect())
        .await
        .unwrap();
    assert!(mapped.iter().all(|row| applied.contains(row)));
    let name = format!("\"{}\"", view.replace('"', "\"\""));
    let found: Vec<(String, String)> =
        sqlx::query_as(AssertSqlSafe(format!("SELECT id, \"select\" FROM {name}")))
            .fetch_all(&pool)
            .await
            .unwrap();
    let children = "SELECT id, \"select\" FROM \"c\"\"; --\" WHERE position = 1";
    let children: Vec<(String, String)> = sqlx::query_as(children).fetch_all(&pool).await.unwrap();
    for id in ids {
        assert!(found.contains(&(id.to_owned(), id.to_owned())), "{id}");
        assert!(children.contains(&(id.to_owned(), id.to_owned())), "{id}");
    }
}

#[tokio::test]
async fn a_table_that_is_gone_makes_the_view_wait_and_is_not_made_again_empty() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    apply(&sink, [order("o", 1, json!({}))]).await;
    sqlx::query("ALTER TABLE orders__g1 RENAME TO elsewhere").execute(&pool).await.unwrap();
    let batch = [record(order("o", 2, json!({})))];
    let waits = sink.apply(&batch).await;
    let Err(SinkError::Unavailable(reason)) = waits else { panic!("{waits:?}") };
    assert!(reason.to_string().contains("is gone"), "{reason}");
    assert!(sink.ready().await.is_err());
    let served = Registry::new(pool.clone()).ensure(&model(&[ORDER])).await.unwrap();
    assert_eq!(served.generations.len(), 1, "other views are served");
    assert!(sink.apply(&batch).await.is_err());

    sqlx::query("ALTER TABLE elsewhere RENAME TO orders__g1").execute(&pool).await.unwrap();
    sink.ready().await.unwrap();
    assert_eq!(sink.apply(&batch).await.unwrap(), [Outcome::Applied]);
}

#[tokio::test]
async fn a_locked_table_slows_down_and_sets_nothing_aside() {
    let mut settings = settings().await;
    settings.postgres.statement_timeout = Duration::from_millis(200);
    let (sink, pool) = orders(&settings).await;
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE orders__g1").execute(&mut *lock).await.unwrap();
    let batch = [record(order("o", 1, json!({})))];
    assert!(matches!(sink.apply(&batch).await, Err(SinkError::Saturated)));
    lock.rollback().await.unwrap();
    assert_eq!(sink.apply(&batch).await.unwrap(), [Outcome::Applied]);
}

#[tokio::test]
async fn an_outage_is_waited_for_at_start_and_later() {
    let own = Private::start(&[Server::Postgres]).await.unwrap();
    let mut settings = Settings::defaults().unwrap();
    settings.postgres.url = own.servers.database().await;
    settings.postgres.connect_timeout = Duration::from_millis(500);
    own.stop(Server::Postgres).await.unwrap();

    let registry = Registry::new(settings.postgres.connect_lazy().unwrap());
    let start = tokio::spawn(async move {
        let model = model(&[ORDER]);
        aqueduct_views::until_reached("private", || registry.ensure(&model), |_| ()).await
    });
    own.start_again(Server::Postgres).await.unwrap();
    let generation = start.await.unwrap().unwrap().generations.remove(0);
    let sink = TableSink::new(settings.postgres.connect_lazy().unwrap(), generation).unwrap();
    let batch = [record(order("o", 1, json!({})))];
    assert_eq!(sink.apply(&batch).await.unwrap(), [Outcome::Applied]);

    own.crash(Server::Postgres).await.unwrap();
    let down = sink.apply(&batch).await;
    assert!(matches!(down, Err(SinkError::Unavailable(_))), "{down:?}");
    assert!(sink.ready().await.is_err());
    own.start_again(Server::Postgres).await.unwrap();
    let again =
        eventually("the sink writes again", Duration::from_secs(30), async || sink.apply(&batch).await.ok());
    assert_eq!(again.await, [Outcome::Stale], "what was written before the crash is there");
}
