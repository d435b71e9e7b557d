//! `aqueduct dead-letters`, on a fleet with events that its stores do not take.

use std::fs;

use anyhow::{Context, Result};
use aqueduct_contract::{Names, Version};
use aqueduct_store::letters::State;
use aqueduct_store::{Letter, Letters};
use aqueduct_tests::{Ended, Fleet, PATIENCE, Program, Scratch, eventually, servers};
use futures::TryStreamExt;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use sqlx::PgPool;

/// `parts: 0` makes the expression fail, a price of 100 is more than the column holds, and a name is what constraints are
/// about.
const ITEM: &str = "
aqueduct: v1
type: ITEM
partitions: 2
schema:
  type: object
  properties:
    name: { type: string }
    price: { type: string, format: decimal }
    parts: { type: integer }
views:
  items:
    postgres:
      columns:
        name: { type: text, from: self.name }
        price: { type: 'numeric(4,2)', from: self.price }
        share: { type: bigint, from: '100 / self.parts' }
";

const GHOST: &str = "acme#ITEM|ITEM#ghost";

struct Stage {
    fleet: Fleet,
    letters: Letters,
    _model: Scratch,
}

impl Stage {
    async fn new() -> Result<Stage> {
        let model = Scratch::new()?;
        fs::write(model.path().join("item.yaml"), ITEM)?;
        let plan = Fleet::on(servers().await).await.model(model.path());
        let plan = plan.programs(&[Program::CommandApi, Program::SyncRds]);
        let plan = plan.set("engine.letters_interval", "200ms").set("engine.quarantine_after", 1);
        let fleet = plan.start().await?;
        let letters =
            Letters::new(fleet.settings.dynamodb.connect().await, &Names::new(&fleet.settings.prefix));
        Ok(Stage { fleet, letters, _model: model })
    }

    async fn create(&self, id: &str, attributes: Value) -> Result<()> {
        let url = format!("{}/v1/acme/ITEM", self.fleet.api());
        let body = json!({ "id": id, "attributes": attributes });
        reqwest::Client::new().post(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Records that no command wrote: one with the key of an item that was never written, one without any.
    async fn write_garbage(&self) -> Result<()> {
        let producer: FutureProducer = self.fleet.settings.kafka.client_config().create()?;
        let topic = format!("{}.item.events", self.fleet.settings.prefix);
        for key in [GHOST, ""] {
            let record = FutureRecord::to(&topic).key(key).payload("garbage").partition(0);
            producer.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    async fn aqueduct(&self, arguments: &[&str]) -> Result<Ended> {
        self.fleet.aqueduct(&[&["dead-letters"], arguments].concat()).await
    }

    /// What a command prints, a line of JSON each; it has to end with this code.
    async fn json(&self, code: i32, arguments: &[&str]) -> Result<Vec<Value>> {
        let ended = self.aqueduct(arguments).await?;
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        Ok(ended.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    async fn all(&self) -> Result<Vec<Letter>> {
        Ok(self.letters.all().map_ok(|filed| filed.letter).try_collect().await?)
    }

    async fn has(&self, count: usize) {
        eventually(&format!("{count} letters"), PATIENCE, || async {
            (self.all().await.unwrap().len() == count).then_some(())
        })
        .await;
    }

    async fn rows(&self) -> Result<i64> {
        self.fleet.rows("acme", "items").await
    }
}

fn key(id: &str) -> String {
    format!("acme#ITEM|ITEM#{id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_previewed_redriven_and_discarded() -> Result<()> {
    let stage = Stage::new().await?;
    let pool: PgPool = stage.fleet.settings.postgres.connect_lazy()?;
    sqlx::query("ALTER TABLE items__g1 ADD CONSTRAINT short CHECK (length(name) < 10)")
        .execute(&pool)
        .await?;
    let good = json!({ "name": "Lamp", "price": "2.50", "parts": 4 });
    let with = |field: &str, value: Value| {
        let mut attributes = good.clone();
        attributes[field] = value;
        attributes
    };
    stage.create("good", good.clone()).await?;
    stage.create("long", with("name", json!("A lamp for the desk"))).await?;
    stage.create("dear", with("price", json!("100.00"))).await?;
    stage.create("none", with("parts", json!(0))).await?;
    stage.write_garbage().await?;
    stage.has(5).await;

    // List and its filters.
    let listed = |found: Vec<Value>| {
        let mut keys: Vec<String> = found.iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect();
        keys.sort();
        keys
    };
    let list =
        async |filters: &[&str]| stage.json(0, &[&["list", "--json"], filters].concat()).await.map(listed);
    assert_eq!(list(&["--code", "RowRefused"]).await?, [key("dear"), key("long")]);
    assert_eq!(list(&["--code", "ExpressionFailed", "--tenant", "acme"]).await?, [key("none")]);
    assert_eq!(list(&["--worker", "sync-rds", "--type", "ITEM", "--state", "open"]).await?.len(), 5);
    assert_eq!(list(&["--worker", "projector"]).await?.len(), 0);
    assert_eq!((list(&["--since", "1h"]).await?.len(), list(&["--until", "1h"]).await?.len()), (5, 0));
    let text = stage.aqueduct(&["list"]).await?.out;
    assert!(text.contains("letters: 5") && text.contains("RowRefused: "), "{text}");

    // Today's code, without a change.
    let before = stage.all().await?;
    let preview = stage.json(1, &["redrive", "--all", "--dry-run"]).await?;
    let today = |id: &str| preview.iter().find(|line| line["key"] == id).map(|line| line["today"].clone());
    let writes = today(&key("long")).context("previewed")?;
    assert_eq!(
        writes["writes"]["columns"],
        json!({ "name": "A lamp for the desk", "price": "2.50", "share": "25" })
    );
    for (id, expected) in [(key("dear"), "overflow"), (key("none"), "share"), (GHOST.to_owned(), "discarded")]
    {
        let error = today(&id).context("previewed")?["error"].as_str().context("an error")?.to_owned();
        assert!(error.contains(expected), "{id}: {error}");
    }
    assert_eq!(stage.all().await?, before);

    // Which letters are meant has to be said.
    assert_eq!(stage.aqueduct(&["redrive"]).await?.code, Some(2));
    assert_eq!(stage.aqueduct(&["discard", "--all"]).await?.code, Some(2), "nobody is there to be asked");
    assert_eq!(stage.all().await?, before);

    // The cause is mended: one is applied, two fail again, two are not known to the store.
    sqlx::query("ALTER TABLE items__g1 DROP CONSTRAINT short").execute(&pool).await?;
    assert_eq!(stage.rows().await?, 1);
    let redriven = stage.aqueduct(&["redrive", "--all", "--wait", "--rate", "100/s"]).await?;
    assert_eq!(redriven.code, Some(1), "{}", redriven.err);
    for expected in ["to be redriven: 3, left alone: 2", "gone: 1, failed again: 2"] {
        assert!(redriven.err.contains(expected), "{}", redriven.err);
    }
    assert_eq!(stage.rows().await?, 2);
    assert_eq!(list(&["--state", "quarantined"]).await?, [key("dear"), key("none")]);

    // Quarantined ones only when somebody insists.
    let refused = stage.aqueduct(&["redrive", "--key", &key("none")]).await?;
    assert_eq!((refused.code, refused.err.contains("--force")), (Some(1), true), "{}", refused.err);
    let forced = stage.aqueduct(&["redrive", "--key", &key("none"), "--force", "--wait"]).await?;
    assert!(forced.err.contains("failed again: 1"), "{}", forced.err);

    // Everything that is known, and who did what.
    let shown: Value = serde_json::from_str(&stage.aqueduct(&["show", "--key", &key("none")]).await?.out)?;
    assert_eq!(
        (&shown["event"]["item"]["attributes"]["parts"], &shown["latest_version"]),
        (&json!(0), &json!(1)),
        "{shown}"
    );
    let audit: Vec<(&str, &str)> = shown["audit"]
        .as_array()
        .context("the audit")?
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(audit, [("redrive", "done"), ("redrive", "done")]);
    let line =
        forced.err.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).context("a line")?;
    assert!(line["audit"]["who"].as_str().is_some_and(|who| who.contains('@')), "{line}");
    assert_eq!(line["key"], key("none"));

    // A read model does without them.
    let discarded = stage.aqueduct(&["discard", "--code", "EventInvalid", "--yes"]).await?;
    assert_eq!(
        (discarded.code, discarded.err.contains("discarded: 2")),
        (Some(0), true),
        "{}",
        discarded.err
    );
    stage.has(2).await;
    stage.fleet.stop().await
}

/// A letter of a group where every event counts: the events after the one that failed wait behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_where_every_event_counts_goes_on_with_the_next_version() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.programs(&[Program::CommandApi]).start().await?;
    let names = Names::new(&fleet.settings.prefix);
    let letters = Letters::new(fleet.settings.dynamodb.connect().await, &names);
    let parked = Letter {
        group: format!("{}.projector.stock", fleet.settings.prefix),
        topic: names.events_topic(&"PRODUCT".parse()?),
        partition: 0,
        offset: 1,
        item: "acme#PRODUCT|PRODUCT#P-1".to_owned(),
        version: Some(3_u64.try_into()?),
        code: "Unprocessable".to_owned(),
        message: "not today".to_owned(),
        attempts: 1,
        redrives: 0,
        filed_at: jiff::Timestamp::now(),
        state: State::Parked,
    };
    create_product(&fleet, "P-1").await?;
    letters.put(&parked).await?;
    // Quarantined, it does not say any more that it was parked; and nothing waits behind what the store does not know.
    letters.put(&Letter { partition: 1, state: State::Quarantined, ..parked.clone() }).await?;
    letters
        .put(&Letter { partition: 2, item: Letter::without_item(7), version: None, ..parked.clone() })
        .await?;

    let discarded = fleet.aqueduct(&["dead-letters", "discard", "--all", "--yes"]).await?;
    assert_eq!(discarded.code, Some(0), "{}", discarded.err);
    let left: Vec<Letter> = letters.all().map_ok(|filed| filed.letter).try_collect().await?;
    let mut left: Vec<_> = left
        .iter()
        .map(|letter| (letter.partition, letter.version.map(Version::get), letter.state))
        .collect();
    left.sort_by_key(|(partition, ..)| *partition);
    assert_eq!(left, [(0, Some(4), State::Redrive), (1, Some(4), State::Redrive)]);
    fleet.stop().await
}

async fn create_product(fleet: &Fleet, id: &str) -> Result<()> {
    let url = format!("{}/v1/acme/PRODUCT", fleet.api());
    let body = json!({ "id": id, "attributes": { "name": "Lamp", "price": "2.50" } });
    reqwest::Client::new().post(url).json(&body).send().await?.error_for_status()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_changes_while_a_command_runs_is_left_alone_and_reported() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.programs(&[Program::CommandApi]).start().await?;
    let names = Names::new(&fleet.settings.prefix);
    let letters = Letters::new(fleet.settings.dynamodb.connect().await, &names);
    let letter = |id: &str, filed_at: &str| Letter {
        group: format!("{}.sync-rds.products.g1", fleet.settings.prefix),
        topic: format!("{}.product.events", fleet.settings.prefix),
        partition: 0,
        offset: 1,
        item: format!("acme#PRODUCT|PRODUCT#{id}"),
        version: Some(Version::FIRST),
        code: "RowRefused".to_owned(),
        message: "not today".to_owned(),
        attempts: 1,
        redrives: 0,
        filed_at: filed_at.parse().unwrap(),
        state: State::Open,
    };
    let (one, other) = (letter("P-1", "2026-11-21T13:15:00Z"), letter("P-2", "2026-11-21T13:16:00Z"));
    for letter in [&one, &other] {
        create_product(&fleet, letter.item.rsplit('#').next().context("an id")?).await?;
        letters.put(letter).await?;
    }
    let stands = async |item: &str| {
        let filed = letters.load(&one.group, &one.topic, 0).await.unwrap();
        filed.into_iter().map(|filed| filed.letter).find(|letter| letter.item == item)
    };
    // The second one has been read, and its turn comes two seconds later.
    let redriven = fleet.aqueduct(&["dead-letters", "redrive", "--all", "--rate", "0.5/s"]);
    let newer = Letter { offset: 2, ..other.clone() };
    let changed_meanwhile = async {
        eventually("the first one is set to be redriven", PATIENCE, || async {
            stands(&one.item).await.filter(|letter| letter.state == State::Redrive)
        })
        .await;
        letters.put(&newer).await.unwrap();
    };
    let (redriven, ()) = tokio::join!(redriven, changed_meanwhile);
    let redriven = redriven?;
    assert_eq!(
        (redriven.code, redriven.err.contains("changed meanwhile")),
        (Some(1), true),
        "{}",
        redriven.err
    );
    assert_eq!(stands(&other.item).await, Some(newer));
    let shown = fleet.aqueduct(&["dead-letters", "show", "--key", &other.item]).await?;
    let shown: Value = serde_json::from_str(&shown.out)?;
    assert_eq!(shown["audit"][0]["outcome"], "changed", "{shown}");
    fleet.stop().await
}
