//! How far groups are behind, asked from outside.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_tests::{Fleet, PATIENCE, Private, Program, Scratch, Server, binaries, eventually, servers};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Writes products that no one has written before.
async fn write_products(fleet: &Fleet, count: usize) -> Result<()> {
    let url = format!("{}/v1/acme/PRODUCT", fleet.api());
    for _ in 0..count {
        let body =
            json!({ "id": aqueduct_tests::unique(), "attributes": { "name": "Lamp", "price": "2.50" } });
        reqwest::Client::new().post(&url).json(&body).send().await?.error_for_status()?;
    }
    Ok(())
}

/// What `aqueduct lag --json` prints.
async fn lag(fleet: &Fleet, arguments: &[&str]) -> Result<Vec<Value>> {
    let ended = fleet.aqueduct(&[&["lag", "--json"], arguments].concat()).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    Ok(ended.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn records(lines: &[Value]) -> i64 {
    lines.iter().map(|line| line["lag_records"].as_i64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_read_is_lag_and_is_seen_when_no_worker_runs() -> Result<()> {
    let plan = Fleet::on(servers().await).await.programs(&[Program::CommandApi]);
    let fleet = plan.set("api.lag_interval", "500ms").start().await?;
    write_products(&fleet, 5).await?;
    let group = format!("{}.sync-rds.products.g1", fleet.settings.prefix);
    let lines = eventually("5 events are published", PATIENCE, || async {
        let lines = lag(&fleet, &["--worker", "sync-rds"]).await.unwrap();
        (records(&lines) == 5).then_some(lines)
    })
    .await;
    for line in &lines {
        let lags = line["lag_records"].as_i64().context("a number")? > 0;
        assert!(lags <= (line["group"] == group), "{line}");
        assert_eq!(
            (&line["committed"], &line["owner"], &line["last_progress"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(line["lag_seconds"].as_f64().context("an age")? > 0.0, lags, "{line}");
    }
    assert_eq!(records(&lag(&fleet, &[]).await?), 15, "three groups read products");

    let text = fleet.aqueduct(&["lag", "--group", &group]).await?.out;
    let summary = text.lines().find(|line| line.starts_with(&group)).context("the group")?;
    assert!(summary.contains("  5  ") && summary.contains("nobody"), "{text}");

    eventually("command-api shows the lag of all groups", PATIENCE, || async {
        let sums = fleet.metrics("command-api").await?;
        (sums.get("aqueduct_group_lag_records") == 15.0 && sums.get("aqueduct_group_lag_seconds") > 0.0)
            .then_some(())
    })
    .await;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_keeps_up_has_owners_no_lag_and_is_seen_to_move() -> Result<()> {
    let plan = Fleet::on(servers().await).await.programs(&[Program::CommandApi, Program::SyncRds]);
    let fleet = plan.start().await?;
    let group = format!("{}.sync-rds.products.g1", fleet.settings.prefix);
    write_products(&fleet, 5).await?;
    let only = ["--group", &group];
    let lines = eventually("everything is committed", PATIENCE, || async {
        let lines = lag(&fleet, &only).await.unwrap();
        let committed: i64 = lines.iter().filter_map(|line| line["committed"].as_i64()).sum();
        (records(&lines) == 0 && committed == 5).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 12);
    for line in &lines {
        assert_eq!(
            (line["lag_seconds"].as_f64(), line["owner"]["host"].as_str()),
            (Some(0.0), Some("127.0.0.1")),
            "{line}"
        );
    }

    let mut watch = Command::new(binaries().await?.join("aqueduct"));
    watch.args(["lag", "--watch", "--json", "--group", &group, "--config"]).arg(&fleet.settings_file);
    let mut watch = watch.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut shown = BufReader::new(watch.stdout.take().context("piped")?).lines();
    shown.next_line().await?.context("a first look")?;
    write_products(&fleet, 1).await?;
    let moved = async {
        while let Some(line) = shown.next_line().await? {
            let line: Value = serde_json::from_str(&line)?;
            if line["last_progress"].is_string() {
                return Ok(line);
            }
        }
        anyhow::bail!("the watch ended")
    };
    tokio::time::timeout(PATIENCE, moved).await??;

    let unknown = fleet.aqueduct(&["lag", "--group", "nobody"]).await?;
    assert_eq!((unknown.code, unknown.err.contains(&group)), (Some(1), true), "{}", unknown.err);
    assert_eq!(fleet.aqueduct(&["lag", "--worker", "sync-nothing"]).await?.code, Some(2));
    fleet.stop().await
}

/// A number that stands still would look like health.
#[tokio::test(flavor = "multi_thread")]
async fn command_api_shows_no_lag_of_a_group_that_it_cannot_ask() -> Result<()> {
    let model = Scratch::new()?;
    fs::write(model.path().join("product.yaml"), "aqueduct: v1\ntype: PRODUCT\nschema: { type: object }\n")?;
    let own = Private::start(&[Server::Kafka]).await?;
    let plan = Fleet::on(&servers().await.but(&own)).await.programs(&[Program::CommandApi]);
    let fleet = plan.model(model.path()).set("api.lag_interval", "500ms").start().await?;
    write_products(&fleet, 5).await?;
    let shows = async |what: &str, lag: Option<f64>| {
        eventually(what, PATIENCE, || async {
            let text = fleet.metrics_text("command-api").await.ok()?;
            let shown = text.lines().any(|line| line.starts_with("aqueduct_group_lag_"));
            let sums = fleet.metrics("command-api").await?;
            (shown.then(|| sums.get("aqueduct_group_lag_records")) == lag).then_some(())
        })
        .await;
    };
    shows("three groups lag", Some(15.0)).await;
    own.crash(Server::Kafka).await?;
    shows("no series is left", None).await;
    own.start_again(Server::Kafka).await?;
    shows("they are back", Some(15.0)).await;
    fleet.stop().await
}

/// What cannot be asked is not shown as healthy.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_is_a_failure() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.programs(&[]).start().await?;
    let mut command = Command::new(binaries().await?.join("aqueduct"));
    command.args(["lag", "--worker", "projector", "--config"]).arg(&fleet.settings_file);
    let ended = command.env("AQUEDUCT__KAFKA__BROKERS", "127.0.0.1:1").output();
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await??;
    assert_eq!((ended.status.code(), ended.stdout.len()), (Some(1), 0));
    fleet.stop().await
}
