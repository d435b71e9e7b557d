//! `aqueduct rebuild` on real servers: what is loaded, what is set aside, and what stays when it ends early.

mod metrics;
mod retired;
mod under_traffic;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_contract::{ItemKey, Names, Version};
use aqueduct_store::{EventStore, Letters};
use aqueduct_tests::{Fleet, PATIENCE, Program, Scratch, binaries, eventually, servers};
use aqueduct_verify::{Scope, verify};
use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::{Child, Command};

const TENANT: &str = "acme";
/// What stands for itself in no format.
const MARKS: [&str; 4] = ["a\tb", "c\\N", "d\ne\r", "\\."];

/// Coins as they are shown at first.
const BEFORE: &str = r#"
aqueduct: v1
type: COIN
schema:
  type: object
  properties: { value: { type: string }, divisor: { type: integer }, marks: { type: array, items: { type: string } } }
views:
  coins:
    postgres:
      columns: { value: { type: text, from: self.value } }
    opensearch: {}
"#;

/// The same with a column of another type, one by an expression that fails for some, and an index; the document likewise.
const AFTER: &str = r#"
aqueduct: v1
type: COIN
schema:
  type: object
  properties: { value: { type: string }, divisor: { type: integer }, marks: { type: array, items: { type: string } } }
views:
  coins:
    postgres:
      columns:
        value: { type: "numeric(4,2)", from: self.value, index: true }
        share: { type: bigint, from: "100 / self.divisor" }
      children: { coin_marks: { each: self.marks, columns: { mark: { type: text, from: it } } } }
    opensearch:
      document: "{'value': self.value, 'share': 100 / self.divisor}"
"#;

/// A fleet with coins, and the model that it is to have.
struct Mint {
    fleet: Fleet,
    http: reqwest::Client,
    model: Scratch,
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Mint {
    async fn open(programs: &[Program]) -> Result<Mint> {
        let model = Scratch::new()?;
        std::fs::write(model.path().join("coin.yaml"), BEFORE)?;
        let fleet = Fleet::on(servers().await).await.model(model.path()).programs(programs).start().await?;
        std::fs::write(model.path().join("coin.yaml"), AFTER)?;
        Ok(Mint { fleet, http: reqwest::Client::new(), model })
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<()> {
        let url = format!("{}/v1/{TENANT}/COIN{path}", self.fleet.api());
        let request = self.http.request(method, url);
        let request = if body.is_null() { request } else { request.json(&body) };
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// A coin with these versions of its value and divisor; a value that is none deletes it.
    async fn coin(&self, id: &str, versions: &[(&str, i64)]) -> Result<()> {
        for (index, (value, divisor)) in versions.iter().enumerate() {
            let attributes = json!({ "value": value, "divisor": divisor });
            match (index, *value) {
                (_, "") => self.send(Method::DELETE, &format!("/{id}"), Value::Null).await?,
                (0, _) => self.send(Method::POST, "", json!({ "id": id, "attributes": attributes })).await?,
                _ => self.send(Method::PATCH, &format!("/{id}"), json!({ "attributes": attributes })).await?,
            }
        }
        Ok(())
    }

    /// What no workers of ours write, and what they may write again: versions a second time, and bytes that are no event.
    async fn dirt(&self) -> Result<()> {
        let names = Names::new(&self.fleet.settings.prefix);
        let events = EventStore::new(self.fleet.settings.dynamodb.connect().await, &names);
        let producer: FutureProducer = self.fleet.settings.kafka.client_config().create()?;
        let topic = names.events_topic(&"COIN".parse()?);
        for (id, version, headers) in
            [("c-0", 1_u64, true), ("c-1", 3, true), ("gone", 1, true), ("c-2", 2, false)]
        {
            let key: ItemKey = format!("{TENANT}#COIN|COIN#{id}").parse()?;
            let stored = events.at(&key, Version::try_from(version)?).await?.context("a version")?.record;
            let own = stored.headers.iter().filter(|_| headers);
            let own = own.fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
            let key = key.to_string();
            // As the fleet's publisher does: into the partition of its key.
            let partition =
                events.at(&key.parse()?, Version::try_from(1_u64)?).await?.context("the first")?;
            let partition = partition.published.context("published")?.partition;
            let record =
                FutureRecord::to(&topic).key(&key).payload(&stored.value).headers(own).partition(partition);
            producer.send(record, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
        }
        let no_key = FutureRecord::<(), _>::to(&topic).payload("no event").partition(0);
        producer.send(no_key, Duration::from_secs(10)).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Coins of every kind; of some the latest version cannot be written.
    async fn strike(&self) -> Result<()> {
        for n in 0..30 {
            let values = [("1.00", 1), ("2.00", 2), ("3.00", 4)];
            self.coin(&format!("c-{n}"), &values[..=n % 3]).await?;
        }
        self.coin("c-1", &[]).await?;
        self.send(Method::PATCH, "/c-1", json!({ "attributes": { "value": "4.00", "marks": MARKS } }))
            .await?;
        self.coin("gone", &[("1.00", 1), ("", 0)]).await?;
        self.coin("back", &[("1.00", 1), ("", 0)]).await?;
        self.coin("back", &[("5.00", 5)]).await?;
        self.coin("many", &[("1.00", 1), ("many", 1)]).await?;
        self.coin("zero", &[("1.00", 1), ("2.00", 0), ("3.00", 0)]).await?;
        self.coin("never", &[("1.00", 0)]).await?;
        eventually("all events are published", PATIENCE, || async { self.dirt().await.ok() }).await;
        let scope = Scope { only: Some("data".to_owned()), tenant: None };
        let data = verify(&self.fleet.settings, &scope, PATIENCE, &ProgressBar::hidden()).await?;
        anyhow::ensure!(data.differences.is_empty(), "{data}");
        Ok(())
    }

    fn command(&self, folder: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(folder.join("aqueduct"));
        command.arg("rebuild").args(arguments).arg("--config").arg(&self.fleet.settings_file);
        command.env("AQUEDUCT__MODEL__DIR", self.model.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn spawn(&self, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(&binaries().await?, arguments).spawn()?)
    }

    async fn rebuild(&self, arguments: &[&str]) -> Result<Ended> {
        let output = self.spawn(arguments).await?.wait_with_output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    fn pool(&self) -> Result<PgPool> {
        Ok(self.fleet.settings.postgres.connect_lazy()?)
    }

    /// The rows of a generation by id, as JSON.
    async fn rows(&self, generation: u32) -> Result<Vec<Value>> {
        let all = format!(
            "SELECT to_jsonb(t) - 'created_at' - 'updated_at' - 'tenant' FROM coins__g{generation} t ORDER BY id"
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&self.pool()?).await?)
    }

    /// The documents of a generation by id.
    async fn documents(&self, generation: u32) -> Result<Vec<Value>> {
        let settings = &self.fleet.settings.opensearch;
        let index = format!("{}/{}coins-g{generation}", settings.url, settings.index_prefix);
        self.http.post(format!("{index}/_refresh")).send().await?.error_for_status()?;
        let all = json!({ "size": 1000, "sort": "id" });
        let found = self.http.post(format!("{index}/_search")).json(&all).send().await?.error_for_status()?;
        let found: Value = found.json().await?;
        let hits = found["hits"]["hits"].as_array().context("no hits")?;
        let shown = |hit: &Value| {
            let source = &hit["_source"];
            json!([source["id"], source["item_version"], source["deleted"], source["document"]])
        };
        Ok(hits.iter().map(shown).collect())
    }

    /// Whether somebody has begun to load generation 2.
    async fn is_claimed(&self, store: &str) -> Result<bool> {
        if store == "postgres" {
            let claimed = "SELECT EXISTS (SELECT FROM aqueduct_internal.loads WHERE generation = 2)";
            return Ok(sqlx::query_scalar(claimed).fetch_one(&self.pool()?).await?);
        }
        let settings = &self.fleet.settings;
        let opensearch = &settings.opensearch;
        let load =
            format!("{}/{}{}-loads/_doc/coins.g2", opensearch.url, opensearch.index_prefix, settings.prefix);
        Ok(self.http.get(load).send().await?.status().is_success())
    }

    fn group(&self, worker: &str, generation: u32) -> String {
        format!("{}.{worker}.coins.g{generation}", self.fleet.settings.prefix)
    }

    /// Item, version and code of a group's letters.
    async fn letters(&self, group: &str) -> Result<Vec<(String, Option<u64>, String)>> {
        let names = Names::new(&self.fleet.settings.prefix);
        let letters = Letters::new(self.fleet.settings.dynamodb.connect().await, &names);
        let all = letters.all().map_ok(|filed| filed.letter).try_collect::<Vec<_>>().await?;
        let own = all.into_iter().filter(|letter| letter.group == group);
        let mut own: Vec<_> = own
            .map(|letter| {
                let id = letter.item.rsplit_once('#').map_or("@", |(_, id)| id);
                (id.to_owned(), letter.version.map(Version::get), letter.code)
            })
            .collect();
        own.sort();
        Ok(own)
    }

    /// What the group has committed, by partition; the ends of the topic.
    async fn positions(&self, group: &str) -> Result<(Vec<Option<i64>>, Vec<i64>)> {
        let topic = Names::new(&self.fleet.settings.prefix).events_topic(&"COIN".parse()?);
        let group = aqueduct_store::kafka::Group::new(&self.fleet.settings.kafka, group, &[topic]);
        let mut positions = group.positions().await?;
        positions.sort_by_key(|position| position.partition);
        Ok(positions.iter().map(|position| (position.committed, position.end)).unzip())
    }
}

fn letter(id: &str, version: u64, code: &str) -> (String, Option<u64>, String) {
    (id.to_owned(), Some(version), code.to_owned())
}

const ALONE: [Program; 2] = [Program::CommandApi, Program::Projector];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_item_is_loaded_once_at_its_latest_version_that_can_be_written() -> Result<()> {
    let mint = Mint::open(&ALONE).await?;
    mint.strike().await?;

    let ended = mint.rebuild(&["coins", "--in", "postgres", "--join-timeout", "1s"]).await?;
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("no sync-rds has taken over within 1s: does one run?"), "{}", ended.err);
    let rows = mint.rows(2).await?;
    assert_eq!(rows.len(), 34, "{rows:?}");
    let row = |id: &str| rows.iter().filter(|row| row["id"] == id).collect::<Vec<_>>();
    for (id, version, deleted, value, share) in [
        ("c-0", 1, false, json!(1.00), json!(100)),
        ("c-1", 3, false, json!(4.00), json!(50)),
        ("c-2", 3, false, json!(3.00), json!(25)),
        ("gone", 2, true, json!(null), json!(null)),
        ("back", 3, false, json!(5.00), json!(20)),
        ("many", 1, false, json!(1.00), json!(100)),
        ("zero", 1, false, json!(1.00), json!(100)),
    ] {
        let expected =
            json!({ "id": id, "item_version": version, "deleted": deleted, "value": value, "share": share });
        assert_eq!(row(id), [&expected]);
    }
    assert_eq!(row("never"), Vec::<&Value>::new());
    let marks = "SELECT mark FROM coin_marks__g2 WHERE id = 'c-1' AND item_version = 3 ORDER BY position";
    let marks: Vec<String> = sqlx::query_scalar(marks).fetch_all(&mint.pool()?).await?;
    assert_eq!(marks, MARKS);
    let group = mint.group("sync-rds", 2);
    let aside = [
        ("@".to_owned(), None, "EventInvalid".to_owned()),
        letter("many", 2, "RowRefused"),
        letter("never", 1, "ExpressionFailed"),
        letter("zero", 3, "ExpressionFailed"),
    ];
    assert_eq!(mint.letters(&group).await?, aside);
    let (committed, ends) = mint.positions(&group).await?;
    assert_eq!(committed, ends.into_iter().map(Some).collect::<Vec<_>>());

    let again = mint.rebuild(&["coins", "--in", "postgres", "--join-timeout", "1s"]).await?;
    assert_eq!((again.code, mint.rows(2).await?.len()), (Some(1), 34), "{}", again.err);
    let cancelled = mint.rebuild(&["coins", "--in", "postgres", "--cancel"]).await?;
    assert_eq!(
        (cancelled.code, cancelled.out.contains("nothing of it is left")),
        (Some(0), true),
        "{}",
        cancelled.err
    );
    let left: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('coins__g2')::text").fetch_one(&mint.pool()?).await?;
    assert_eq!(
        (left, mint.letters(&group).await?, mint.positions(&group).await?.0),
        (None, vec![], vec![None; 12])
    );

    for (generation, arguments) in [(3, ["--memory", "1KiB"]), (4, ["--from", "store"])] {
        let arguments = [&["coins", "--in", "postgres", "--join-timeout", "1s"][..], &arguments].concat();
        let ended = mint.rebuild(&arguments).await?;
        assert_eq!(mint.rows(generation).await?, rows, "{arguments:?}: {}", ended.err);
        let letters = mint.letters(&mint.group("sync-rds", generation)).await?;
        assert_eq!(
            letters.iter().filter(|letter| letter.1.is_some()).cloned().collect::<Vec<_>>(),
            aside[1..]
        );
        mint.rebuild(&["coins", "--in", "postgres", "--cancel"]).await?;
    }
    mint.fleet.stop().await
}

/// In both stores: workers take over, and what they keep agrees before and after more writes; it is given up, and done again with
/// the swap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_take_over_what_is_loaded_and_both_stores_agree() -> Result<()> {
    let mint = Mint::open(&[&ALONE[..], &[Program::SyncRds, Program::SyncSearch]].concat()).await?;
    mint.strike().await?;
    let ended = mint.rebuild(&["coins", "--swap", "manual"]).await?;
    assert_eq!(ended.code, Some(0), "{}{}\n{}", ended.out, ended.err, mint.fleet.logs());
    for line in [
        "postgres coins.g2: 33 items, 1 deleted ones, 4 set aside in ",
        "opensearch coins.g2: 33 items, 1 deleted ones, 3 set aside in ",
        "acme#COIN|COIN#zero, version 3: ExpressionFailed: view coins, column share: ",
        "acme#COIN|COIN#never, version 1: ExpressionFailed: view coins, document: ",
    ] {
        assert!(ended.out.contains(line), "{line}: {}", ended.out);
    }
    let [documents, rows] = [mint.documents(2).await?, mint.rows(2).await?];
    assert_eq!((documents.len(), rows.len()), (34, 34), "{documents:?}");
    assert!(
        documents.contains(&json!(["many", 2, false, { "value": "many", "share": 100 }])),
        "{documents:?}"
    );

    mint.coin("late", &[("1.00", 1), ("7.00", 7)]).await?;
    mint.send(Method::PATCH, "/zero", json!({ "attributes": { "divisor": 10 } })).await?;
    mint.send(Method::DELETE, "/c-5", Value::Null).await?;
    mint.fleet.agrees(PATIENCE).await?;
    let rows = mint.rows(2).await?;
    for expected in [
        json!({ "id": "late", "item_version": 2, "deleted": false, "value": 7.0, "share": 14 }),
        json!({ "id": "zero", "item_version": 4, "deleted": false, "value": 3.0, "share": 10 }),
    ] {
        assert!(rows.contains(&expected), "{rows:?}");
    }
    let cancelled = mint.rebuild(&["coins", "--cancel"]).await?;
    assert_eq!(cancelled.code, Some(0), "{}{}", cancelled.out, cancelled.err);
    let groups = [mint.group("sync-rds", 2), mint.group("sync-search", 2)];
    for group in &groups {
        assert_eq!(
            (mint.letters(group).await?, mint.positions(group).await?.0),
            (vec![], vec![None; 12]),
            "{group}"
        );
    }
    assert!(mint.documents(2).await.is_err());
    assert_eq!(mint.rebuild(&["coins", "--cancel"]).await?.code, Some(1), "there is nothing left to cancel");

    let swapped = mint.rebuild(&["coins"]).await?;
    assert_eq!(swapped.code, Some(0), "{}{}\n{}", swapped.out, swapped.err, mint.fleet.logs());
    for store in ["postgres", "opensearch"] {
        assert!(
            swapped.err.contains(&format!("{store}: readers of coins see generation 3")),
            "{}",
            swapped.err
        );
    }
    mint.fleet.agrees(PATIENCE).await?;
    mint.fleet.stop().await
}

/// One process works on a load; whoever comes second is told, and can go on once the first has died.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_rebuilds_of_one_view_do_not_meet_and_a_killed_one_goes_on() -> Result<()> {
    let mint = Mint::open(&ALONE).await?;
    mint.strike().await?;
    for (store, building) in [("postgres", "coins__g2"), ("opensearch", "coins-g2")] {
        let mut first = mint.spawn(&["coins", "--in", store, "--rate", "2/s"]).await?;
        let (known, by) =
            (format!("{building} is begun"), format!("process {} on ", first.id().context("it runs")?));
        eventually(&known, PATIENCE, || async { mint.is_claimed(store).await.ok()?.then_some(()) }).await;
        let second = mint.rebuild(&["coins", "--in", store]).await?;
        assert_eq!((second.code, second.err.contains(&by)), (Some(1), true), "{}", second.err);
        let cancelled = mint.rebuild(&["coins", "--in", store, "--cancel"]).await?;
        assert_eq!(
            (cancelled.code, cancelled.err.contains("stop that first")),
            (Some(1), true),
            "{}",
            cancelled.err
        );
        first.kill().await?;
        let third = mint.rebuild(&["coins", "--in", store, "--join-timeout", "1s"]).await?;
        assert!(third.err.contains("has taken over within 1s"), "{}", third.err);
    }
    assert_eq!((mint.rows(2).await?.len(), mint.documents(2).await?.len()), (34, 34));
    mint.fleet.stop().await
}

/// A disk that fills, in either store: the live generation stays as it is, and the load goes on when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_fills_ends_the_load_with_the_reason_and_it_goes_on_once_there_is_room() -> Result<()> {
    let mint = Mint::open(&ALONE).await?;
    mint.strike().await?;
    let full = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                  RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file: No space left on device'; \
                END $$; \
                CREATE FUNCTION fill() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
                  IF to_regclass('coins__g2') IS NOT NULL THEN \
                    CREATE OR REPLACE TRIGGER full_disk BEFORE INSERT ON coins__g2 FOR EACH ROW EXECUTE FUNCTION no_room(); \
                  END IF; \
                END $$; \
                CREATE EVENT TRIGGER fills ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION fill()";
    sqlx::raw_sql(full).execute(&mint.pool()?).await?;
    let settings = &mint.fleet.settings.opensearch;
    let (url, prefix) = (&settings.url, &settings.index_prefix);
    let template = format!("{url}/_index_template/{prefix}full");
    let body = json!({ "index_patterns": [format!("{prefix}coins-g2")],
        "template": { "settings": { "index.blocks.read_only_allow_delete": true } } });
    mint.http.put(&template).json(&body).send().await?.error_for_status()?;

    let arguments = |store| ["coins", "--in", store, "--patience", "1s", "--join-timeout", "1s"];
    for (store, reason) in [("postgres", "No space left on device"), ("opensearch", "IndexBusy: ")] {
        let ended = mint.rebuild(&arguments(store)).await?;
        assert_eq!((ended.code, ended.err.contains(reason)), (Some(1), true), "{}", ended.err);
        assert!(ended.err.contains("the load stopped, the store has not taken it for"), "{}", ended.err);
    }
    mint.http.delete(&template).send().await?.error_for_status()?;
    let room = json!({ "index.blocks.read_only_allow_delete": null });
    let index = format!("{url}/{prefix}coins-g2/_settings");
    mint.http.put(&index).json(&room).send().await?.error_for_status()?;
    sqlx::raw_sql("DROP EVENT TRIGGER fills; DROP TRIGGER full_disk ON coins__g2")
        .execute(&mint.pool()?)
        .await?;
    for store in ["postgres", "opensearch"] {
        let ended = mint.rebuild(&arguments(store)).await?;
        assert!(ended.err.contains("has taken over within 1s"), "{}", ended.err);
    }
    assert_eq!((mint.rows(2).await?.len(), mint.documents(2).await?.len()), (34, 34));
    mint.fleet.stop().await
}

/// A fault of the view itself is not thousands of letters.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_view_that_fails_for_all_items_ends_the_load() -> Result<()> {
    let mint = Mint::open(&ALONE).await?;
    let coins: Vec<String> = (0..150).map(|n| format!("c-{n}")).collect();
    let struck = futures::stream::iter(&coins).map(|id| mint.coin(id, &[("1.00", 0)])).buffer_unordered(16);
    struck.try_collect::<()>().await?;
    eventually("all is published", PATIENCE, || async {
        let (_, ends) = mint.positions(&mint.group("sync-rds", 1)).await.ok()?;
        (ends.iter().sum::<i64>() == 150).then_some(())
    })
    .await;
    let ended = mint.rebuild(&["coins", "--in", "postgres", "--join-timeout", "1s"]).await?;
    assert_eq!(
        (ended.code, ended.err.contains("which is no fault of items")),
        (Some(1), true),
        "{}",
        ended.err
    );
    let cancelled = mint.rebuild(&["coins", "--in", "postgres", "--cancel"]).await?;
    assert_eq!(
        (cancelled.code, mint.letters(&mint.group("sync-rds", 2)).await?),
        (Some(0), vec![]),
        "{}",
        cancelled.err
    );
    mint.fleet.stop().await
}
