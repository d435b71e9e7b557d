//! What `--once` and `--traffic` do with a stack that is up: commands, and a look at what became of them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aqueduct_service::Settings;
use aqueduct_verify::{Scope, verify};
use indicatif::ProgressBar;
use sqlx::{AssertSqlSafe, PgPool};
use tokio_util::sync::CancellationToken;

use crate::drive::{self, Driver, Stores};
use crate::local::metrics::Sums;
use crate::local::stack::Stack;

/// Whose items are driven: apart from those of the examples.
const TENANT: &str = "shop";
const COMMANDS: u64 = 2_000;
const SEED: u64 = 1;
/// How long what was accepted may take to be applied everywhere.
const PATIENCE: Duration = Duration::from_secs(120);
/// Commands a second of `--traffic`.
const RATE: u32 = 50;
/// Lines of `--traffic` between two headings.
const HEADING: u64 = 20;

/// Drives a fixed load, waits until all is applied, and compares every store with the API's answers and with the event
/// store. Fails when one differs.
pub(super) async fn once(stack: &Stack) -> Result<()> {
    let settings = Settings::load(Some(&stack.settings))?;
    let stores = Stores::of(&settings, TENANT).await?;
    let driver = Driver::new(&stack.api().context("no fleet to drive")?, stores, SEED)?;
    let bar = ProgressBar::new(COMMANDS);

    let begun = Instant::now();
    let driven = driver.drive(COMMANDS, None, &CancellationToken::new(), &bar).await?;
    bar.finish_and_clear();
    let took = begun.elapsed();
    let rate = driven.mix.commands() as f64 / took.as_secs_f64();
    eprintln!(
        "{:>6.1} s  {} on {} items, {rate:.0} a second",
        took.as_secs_f64(),
        driven.mix,
        driven.items()
    );
    ensure!(driven.mix.has_a_tenth_of_each(), "the mix has too little of one kind");

    let begun = Instant::now();
    driven.settle(PATIENCE).await?;
    super::done("DynamoDB, Postgres and OpenSearch hold what the API answered, item by item", begun);

    let begun = Instant::now();
    let report = verify(&settings, &Scope::default(), PATIENCE, &ProgressBar::hidden()).await?;
    ensure!(report.differences.is_empty(), "verify: {report}");
    super::done(&format!("verify: {}", report.to_string().trim_end()), begun);
    Ok(())
}

/// Drives for ever, and shows every second what moves.
pub(super) async fn traffic(stack: &Stack) -> Result<()> {
    let settings = Settings::load(Some(&stack.settings))?;
    let driver = Driver::new(
        &stack.api().context("no fleet to drive")?,
        Stores::of(&settings, TENANT).await?,
        rand::random(),
    )?;
    let (bar, pool) = (ProgressBar::hidden(), settings.postgres.connect_lazy()?);
    let stop = CancellationToken::new();
    let driving = driver.drive(u64::MAX, Some(RATE), &stop, &bar);
    let showing = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        for line in 0.. {
            ticks.tick().await;
            if line % HEADING == 0 {
                eprintln!(
                    "{:>10} {:>10} {:>8} {:>10}  lag of each worker",
                    "commands", "published", "rows", "documents"
                );
            }
            let published = total(stack, "command-api", "aqueduct_published_total").await;
            let (rows, documents) = (rows(&pool).await, documents(&settings).await);
            let shown = [bar.position().to_string(), or_dash(published), or_dash(rows), or_dash(documents)];
            eprintln!(
                "{:>10} {:>10} {:>8} {:>10}  {}",
                shown[0],
                shown[1],
                shown[2],
                shown[3],
                lags(stack).await
            );
        }
    };
    tokio::select! {
        driven = driving => driven.map(drop),
        () = showing => Ok(()),
    }
}

/// A store that is down shows as a dash; traffic goes on.
fn or_dash(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

async fn rows(pool: &PgPool) -> Option<u64> {
    let counts: Vec<String> = drive::views().map(|view| format!("(SELECT count(*) FROM {view})")).collect();
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {}", counts.join(" + "))))
        .fetch_one(pool)
        .await
        .ok()?;
    u64::try_from(count).ok()
}

async fn documents(settings: &Settings) -> Option<u64> {
    let aliases: Vec<String> =
        drive::views().map(|view| format!("{}{view}", settings.opensearch.index_prefix)).collect();
    let url = format!("{}/{}/_count", settings.opensearch.url.trim_end_matches('/'), aliases.join(","));
    let counted: serde_json::Value = reqwest::get(url).await.ok()?.json().await.ok()?;
    counted["count"].as_u64()
}

async fn lags(stack: &Stack) -> String {
    let workers = stack.fleet.iter().filter(|member| member.api.is_none());
    let lags = workers.map(async |member| {
        let lag = Sums::read(member.admin).await.ok().map(|sums| sums.get("aqueduct_consumer_lag_records"));
        format!("{} {}", member.name, lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string()))
    });
    futures::future::join_all(lags).await.join(", ")
}

async fn total(stack: &Stack, name: &str, metric: &str) -> Option<u64> {
    let member = stack.fleet.iter().find(|member| member.name == name)?;
    let sum = Sums::read(member.admin).await.ok()?.get(metric);
    format!("{sum:.0}").parse().ok()
}
