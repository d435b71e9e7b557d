//! A process that swaps is killed with SIGKILL while it holds up writes: nothing stays held, and the same command completes.

use anyhow::{Result, ensure};
use aqueduct_contract::Worker;
use aqueduct_tests::{PATIENCE, binaries, eventually};
use aqueduct_views::{Generation, State};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::{letters, look, write};
use crate::following::{Shop, live};
use aqueduct_cli::swap::Store;

async fn swaps(shop: &Shop, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binaries().await?.join("aqueduct"));
    command.args(["swap", "products"]).args(arguments).arg("--config").arg(&shop.fleet.settings_file);
    command.kill_on_drop(true);
    Ok(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swapping_process_that_is_killed_leaves_nothing_held() -> Result<()> {
    let shop = Shop::open().await?;
    shop.make("P-1").await?;
    let begun = shop.postgres.begin(&live(&shop.postgres).await.definition).await?;
    shop.postgres.finish_load(&begun).await?;
    shop.applied("P-1", &[("postgres", 1), ("postgres", 2), ("opensearch", 1)]).await;
    // A reader who stays keeps the process where it holds everything and has switched nothing.
    let mut one = PgConnection::connect(&shop.fleet.settings.postgres.url).await?;
    let mut reading = one.begin().await?;
    sqlx::raw_sql("SELECT FROM products").execute(&mut *reading).await?;
    let mut command = swaps(&shop, &["--in", "postgres", "--hold", "120"]).await?;
    let mut process = command.spawn()?;
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'products__g1'::regclass AND mode = 'ShareLock' AND granted";
    let holds = async |expected: i64| {
        eventually("the lock", PATIENCE, async || {
            let count: i64 = sqlx::query_scalar(held).fetch_one(&shop.pool).await.unwrap();
            (count == expected).then_some(())
        })
        .await;
    };
    holds(1).await;
    shop.make("P-2").await?;
    process.kill().await?;
    holds(0).await;
    shop.applied("P-2", &[("postgres", 1), ("postgres", 2), ("opensearch", 1)]).await;
    assert!(letters(&shop).await?.is_empty());
    drop(reading);
    one.close().await?;
    let ended = command.status().await?;
    assert!(ended.success());
    let shown: String =
        sqlx::query_scalar("SELECT pg_get_viewdef('products'::regclass)").fetch_one(&shop.pool).await?;
    assert!(shown.contains("products__g2"), "{shown}");
    shop.make("P-3").await?;
    shop.applied("P-3", &[("postgres", 1), ("postgres", 2), ("opensearch", 1)]).await;
    Ok(())
}

/// Whether the live index of products takes writes.
async fn is_blocked(shop: &Shop) -> Result<bool> {
    let settings = &shop.fleet.settings.opensearch;
    let index = format!("{}products-g1", settings.index_prefix);
    let found = shop.http.get(format!("{}/{index}/_settings", settings.url)).send().await?;
    let found: Value = found.error_for_status()?.json().await?;
    Ok(found[index]["settings"]["index"]["blocks"]["write"] == "true")
}

/// Of generation 2 of products.
async fn state(shop: &Shop) -> Result<State> {
    let all: Vec<Generation> = shop.opensearch.generations().await?;
    let second = all.iter().find(|one| one.view() == "products" && one.number == 2);
    Ok(second.map_or(State::Retired, |one| one.state))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_is_killed_while_opensearch_is_blocked_is_cleared_away_by_the_workers() -> Result<()> {
    let shop = Shop::open().await?;
    shop.make("P-0").await?;
    for n in 1..20 {
        shop.make(&format!("P-{n}")).await?;
    }
    let begun = shop.opensearch.begin(&live(&shop.opensearch).await.definition).await?;
    shop.opensearch.finish_load(&begun).await?;
    shop.applied("P-19", &[("postgres", 1), ("opensearch", 1), ("opensearch", 2)]).await;
    let stop = CancellationToken::new();
    let steps = async {
        // What is written all the time is never committed yet, so that the swap has to wait while writes are blocked.
        let mut process = swaps(&shop, &["--in", "opensearch", "--hold", "5"]).await?.spawn()?;
        while !is_blocked(&shop).await? {
            ensure!(process.try_wait()?.is_none(), "the swap has ended before it was seen to block writes");
        }
        process.kill().await?;
        ensure!(is_blocked(&shop).await? && state(&shop).await? == State::Building, "killed while it holds");
        eventually("a worker clears it away", PATIENCE, async || {
            (!is_blocked(&shop).await.ok()?).then_some(())
        })
        .await;
        ensure!(state(&shop).await? == State::Building, "nothing was switched");
        ensure!(
            look(&shop, Store::OpenSearch).await?.values().all(|(_, is_new)| !is_new),
            "readers see generation 1"
        );
        let done = swaps(&shop, &["--in", "opensearch"]).await?.output().await?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        ensure!(state(&shop).await? == State::Live && !is_blocked(&shop).await?, "it is swapped");
        ensure!(
            look(&shop, Store::OpenSearch).await?.values().all(|(_, is_new)| *is_new),
            "readers see generation 2"
        );
        anyhow::Ok(())
    };
    let steps = async {
        let done = steps.await;
        stop.cancel();
        done
    };
    let (done, writes) = tokio::join!(steps, write(&shop, &stop));
    done?;
    assert!(writes? > 50);
    for number in [1, 2] {
        let generation = Generation { number, ..begun.clone() };
        eventually("both generations are kept in step", PATIENCE, async || {
            let standings = shop.group(Worker::SyncSearch, &generation).positions().await.ok()?;
            standings.iter().all(|at| at.lag() == 0).then_some(())
        })
        .await;
    }
    assert!(letters(&shop).await?.is_empty(), "writes that were blocked are no letters");
    let verified = shop.fleet.aqueduct(&["verify", "--view", "products"]).await?;
    assert!(verified.code == Some(0) && verified.out.contains("opensearch products.g2"), "{}", verified.out);
    Ok(())
}
