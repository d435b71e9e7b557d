//! What holds of child tables: the rows of an item are those of its latest version, all of them, and of no other.

use std::sync::Arc;

use aqueduct_contract::Item;
use aqueduct_engine::{Outcome, Sink, SinkError};
use aqueduct_service::Settings;
use aqueduct_sync_rds::classify::ROW_REFUSED;
use aqueduct_sync_rds::sink::TableSink;
use aqueduct_views::postgres::Registry;
use aqueduct_views::{Error, MappingError};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use crate::sync::{deletion, model, order, record, settings};

const ORDER: &str = "
aqueduct: v1
type: ORDER
schema:
  type: object
  properties:
    customer: { type: string }
    lines: { type: array, items: { type: object, properties: { code: { type: string }, version: { type: integer } } } }
    notes: { type: array, items: { type: string } }
views:
  orders:
    postgres:
      columns:
        customer: { type: text, from: self.customer }
      children:
        order_lines:
          each: self.lines
          columns:
            code: { type: text, from: it.code, index: true }
            version: { type: integer, from: it.version }
            label: { type: text, from: \"it.code + ' of ' + self.customer\" }
        order_notes:
          each: self.notes
          columns:
            text: { type: text, from: it }
";

async fn orders(settings: &Settings) -> (Arc<TableSink>, PgPool) {
    let pool = settings.postgres.connect_lazy().unwrap();
    let served = Registry::new(pool.clone()).ensure(&model(&[ORDER])).await.unwrap();
    let generation = served.generations.into_iter().next().unwrap();
    (Arc::new(TableSink::new(pool.clone(), generation).unwrap()), pool)
}

async fn apply(sink: &TableSink, items: impl IntoIterator<Item = Item>) -> Vec<Outcome> {
    sink.apply(&items.into_iter().map(record).collect::<Vec<_>>()).await.unwrap()
}

async fn rows(pool: &PgPool, query: &str) -> Vec<Value> {
    let statement = AssertSqlSafe(format!("SELECT to_jsonb(r) FROM ({query}) r"));
    sqlx::query_scalar(statement).fetch_all(pool).await.unwrap()
}

/// A version with as many lines as its number, and a note.
fn numbered(id: &str, version: u64) -> Item {
    let lines: Vec<Value> =
        (0..version).map(|n| json!({ "code": format!("c{n}"), "version": version })).collect();
    order(id, version, json!({ "customer": "Ann", "lines": lines, "notes": [format!("v{version}")] }))
}

/// Rows that are not of the version that their item's row is of, or not all of that.
const WRONG: &str = "SELECT p.id, p.item_version, p.deleted, c.rows, c.versions \
    FROM orders__g1 p \
    LEFT JOIN (SELECT tenant, id, count(*) AS rows, array_agg(DISTINCT item_version) AS versions \
               FROM order_lines__g1 GROUP BY tenant, id) c USING (tenant, id) \
    WHERE coalesce(c.rows, 0) <> CASE WHEN p.deleted THEN 0 ELSE p.item_version END \
       OR coalesce(c.versions, ARRAY[p.item_version]) <> ARRAY[p.item_version]";

#[tokio::test]
async fn the_rows_of_an_item_are_replaced_with_its_own() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let lines = json!([{ "code": "a", "version": 1 }, { "code": "b" }]);
    let first = order("o", 1, json!({ "customer": "Ann", "lines": lines, "notes": ["x", null, "y"] }));
    assert_eq!(apply(&sink, [first, numbered("other", 1)]).await, [Outcome::Applied, Outcome::Applied]);
    let of_o = "SELECT position, item_version, code, version, label FROM order_lines WHERE id = 'o' ORDER BY position";
    assert_eq!(
        rows(&pool, of_o).await,
        [
            json!({ "position": 0, "item_version": 1, "code": "a", "version": 1, "label": "a of Ann" }),
            json!({ "position": 1, "item_version": 1, "code": "b", "version": null, "label": "b of Ann" }),
        ]
    );
    let notes = "SELECT position, text FROM order_notes WHERE id = 'o' ORDER BY position";
    let texts = [json!("x"), Value::Null, json!("y")];
    let expected: Vec<Value> =
        texts.iter().zip(0..).map(|(text, position)| json!({ "position": position, "text": text })).collect();
    assert_eq!(rows(&pool, notes).await, expected);

    let second = order("o", 3, json!({ "customer": "Ben", "lines": [{ "code": "c" }] }));
    assert_eq!(apply(&sink, [second]).await, [Outcome::Applied]);
    assert_eq!(
        rows(&pool, of_o).await,
        [json!({ "position": 0, "item_version": 3, "code": "c", "version": null, "label": "c of Ben" })]
    );
    assert_eq!(rows(&pool, notes).await, Vec::<Value>::new());
    assert_eq!(apply(&sink, [numbered("o", 2)]).await, [Outcome::Stale]);
    assert_eq!(
        rows(&pool, "SELECT FROM order_lines WHERE id = 'o'").await.len(),
        1,
        "a late event changes nothing"
    );

    assert_eq!(apply(&sink, [deletion("o", 4)]).await, [Outcome::Applied]);
    assert_eq!(rows(&pool, "SELECT id FROM order_lines__g1").await, [json!({ "id": "other" })]);
    assert_eq!(apply(&sink, [numbered("o", 3), numbered("o2", 2)]).await, [Outcome::Stale, Outcome::Applied]);
    assert_eq!(rows(&pool, WRONG).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_versions_never_leave_the_rows_of_both() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let done = CancellationToken::new();
    let watcher = tokio::spawn({
        let (pool, done) = (pool.clone(), done.clone());
        async move {
            let mut looks = 0;
            while !done.is_cancelled() {
                assert_eq!(rows(&pool, WRONG).await, Vec::<Value>::new(), "at no moment");
                looks += 1;
            }
            looks
        }
    });
    for round in 0..20_u64 {
        // Each writer takes some versions of all items, in an order of its own.
        let writers = (0..4_u64).map(|writer| {
            let sink = sink.clone();
            tokio::spawn(async move {
                for step in 0..5 {
                    let version = 1 + (step * 3 + writer + round) % 8;
                    let items = (0..6_u64).map(|n| {
                        let id = format!("r{round}-{}", (n + writer) % 6);
                        if version == 5 { deletion(&id, 5) } else { numbered(&id, version) }
                    });
                    apply(&sink, items).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    }
    done.cancel();
    assert!(watcher.await.unwrap() > 0);
    assert_eq!(rows(&pool, WRONG).await, Vec::<Value>::new());
}

/// Both wait for the row's lock, so the later of the two begins before the earlier has committed: the case in which one statement
/// would leave the rows of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_that_wait_for_each_other_leave_the_rows_of_the_later() {
    let mut settings = settings().await;
    // Somebody's default must not change what a transaction sees.
    let database = settings.postgres.url.rsplit('/').next().unwrap().to_owned();
    let pool = settings.postgres.connect_lazy().unwrap();
    let set = format!("ALTER DATABASE \"{database}\" SET default_transaction_isolation = 'repeatable read'");
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&pool).await.unwrap();
    settings.postgres.statement_timeout = std::time::Duration::from_secs(60);
    let (sink, pool) = orders(&settings).await;
    for (first, second) in [(5, 6), (6, 5)] {
        let id = format!("o{first}");
        apply(&sink, [numbered(&id, 1)]).await;
        let mut lock = pool.begin().await.unwrap();
        sqlx::query("SELECT FROM orders__g1 WHERE id = $1 FOR UPDATE")
            .bind(&id)
            .execute(&mut *lock)
            .await
            .unwrap();
        let mut writers = Vec::new();
        for (waiting, version) in [(1_i64, first), (2, second)] {
            let (sink, item) = (sink.clone(), numbered(&id, version));
            writers.push(tokio::spawn(async move { sink.apply(&[record(item)]).await }));
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
            let counted =
                aqueduct_tests::eventually("it waits", std::time::Duration::from_secs(20), async || {
                    let found: i64 = sqlx::query_scalar(waits).fetch_one(&pool).await.unwrap();
                    (found == waiting).then_some(())
                });
            counted.await;
        }
        lock.commit().await.unwrap();
        for writer in writers {
            writer.await.unwrap().unwrap();
        }
        let held =
            format!("SELECT count(*)::int AS n, min(item_version) AS v FROM order_lines WHERE id = '{id}'");
        assert_eq!(rows(&pool, &held).await, [json!({ "n": 6, "v": 6 })]);
    }
    assert_eq!(rows(&pool, WRONG).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_element_at_fault_is_the_fault_of_its_item_alone() {
    let settings = settings().await;
    let (sink, pool) = orders(&settings).await;
    let lines = |lines: Value| json!({ "customer": "Ann", "lines": lines });
    apply(&sink, [order("refused", 1, lines(json!([{ "code": "a" }])))]).await;
    let refused = order("refused", 2, lines(json!([{ "code": "a" }, { "code": "b", "version": 1.5 }])));
    let batch = [refused, order("good", 1, lines(json!([{ "code": "a" }])))].map(record);
    let answer = sink.apply(&batch).await;
    assert!(matches!(&answer, Err(SinkError::Poison(reason)) if reason.code == ROW_REFUSED), "{answer:?}");
    assert_eq!(
        rows(&pool, "SELECT id, item_version FROM order_lines__g1").await,
        [json!({ "id": "refused", "item_version": 1 })],
        "nothing of a refused batch stays, and nothing is gone"
    );

    let fails = order("fails", 1, lines(json!([{ "code": "a" }, { "version": 2 }])));
    let no_list = order("no list", 1, lines(json!("x")));
    let batch = [fails, order("good", 1, lines(json!([{ "code": "a" }]))), no_list].map(record);
    let outcomes = sink.apply(&batch).await.unwrap();
    let [Outcome::Poison(first), Outcome::Applied, Outcome::Poison(second)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!([first.code, second.code], [MappingError::CODE; 2]);
    assert!(first.message.contains("order_lines.label of element 1"), "{first}");
    assert!(second.message.contains("child table order_lines: `self.lines` gives no list"), "{second}");
}

#[tokio::test]
async fn a_child_table_is_registered_with_its_view_and_no_name_is_taken_twice() {
    let settings = settings().await;
    let pool = settings.postgres.connect_lazy().unwrap();
    let registry = Registry::new(pool.clone());
    for name in ["order_lines", "order_lines__g1"] {
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE TABLE {name} (mine int)"))).execute(&pool).await.unwrap();
        let error = registry.ensure(&model(&[ORDER])).await.unwrap_err();
        assert!(matches!(&error, Error::Taken { name: taken, .. } if taken == name), "{error}");
        sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {name}"))).execute(&pool).await.unwrap();
        let made = rows(&pool, "SELECT FROM pg_class WHERE relname ~ '__g1'").await;
        assert_eq!(made, Vec::<Value>::new(), "all or nothing");
    }
    registry.ensure(&model(&[ORDER])).await.unwrap();
    sqlx::raw_sql("DROP VIEW order_lines; DROP INDEX order_lines__g1_code_idx").execute(&pool).await.unwrap();
    let served = registry.ensure(&model(&[ORDER])).await.unwrap();
    assert_eq!(served.differs, [("orders".to_owned(), false)].into());
    let found = "SELECT to_regclass('order_lines') IS NOT NULL AND to_regclass('order_lines__g1_code_idx') IS NOT NULL AS made";
    assert_eq!(rows(&pool, found).await, [json!({ "made": true })], "what holds no data is made again");
    for changed in [
        ORDER.replace("each: self.notes", "each: \"self.notes.filter(note, note != '')\""),
        ORDER.replace("text: { type: text, from: it }", "text: { type: jsonb, from: it }"),
        ORDER.replace("order_notes:", "notes:"),
    ] {
        let served = registry.ensure(&model(&[&changed])).await.unwrap();
        assert_eq!(served.differs, [("orders".to_owned(), true)].into(), "{changed}");
    }
}
