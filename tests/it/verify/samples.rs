//! Workers that run find by samples what drifted in their read models, and take nothing for it that did not.

use std::time::Duration;

use anyhow::Result;
use aqueduct_tests::{Fleet, PATIENCE, Plan, Private, Program, Scratch, Server, eventually, servers};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::{COINS, Shelf, TENANT};

const WORKERS: [&str; 3] = ["projector-1", "sync-rds-1", "sync-search-1"];
const DRIFTED: &str = "a read model drifted";
const LEFT_OUT: &str = "samples cannot be compared";

/// A fleet that takes samples all the time.
fn sampling(plan: Plan) -> Plan {
    plan.set("verify.interval", "200ms").set("verify.items", 20)
}

async fn drift(fleet: &Fleet, worker: &str) -> Option<f64> {
    let text = fleet.metrics_text(worker).await.ok()?;
    let series: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with("aqueduct_drift_items{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect();
    (!series.is_empty()).then(|| series.iter().sum())
}

/// Waits until a worker has compared so many more items and entries.
async fn samples(fleet: &Fleet, worker: &str, items: f64) {
    let compared = || async { Some(fleet.metrics(worker).await?.get("aqueduct_verify_items_total")) };
    let before = eventually("the worker answers", PATIENCE, &compared).await;
    eventually("samples are taken", PATIENCE, || async {
        (compared().await? >= before + items).then_some(())
    })
    .await;
}

/// The lines of a worker's log in which these texts stand.
fn said(fleet: &Fleet, worker: &str, texts: &[&str]) -> usize {
    let log = std::fs::read_to_string(fleet.member(worker).log).unwrap_or_default();
    log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drifted_is_shown_until_it_is_repaired_and_said_once() -> Result<()> {
    let shelf = Shelf::of(sampling(Fleet::on(servers().await).await)).await?;
    let fleet = &shelf.fleet;
    for worker in WORKERS {
        eventually("nothing drifted", PATIENCE, || async {
            (drift(fleet, worker).await? == 0.0).then_some(())
        })
        .await;
    }
    shelf.damage_rows().await?;
    shelf.damage_documents().await?;
    shelf.damage_items().await?;
    let prefix = &fleet.settings.prefix;
    for (worker, group, changed) in [
        ("projector-1", "projector.data", "differs in attributes.price"),
        ("sync-rds-1", "sync-rds.products.g1", "differs in price"),
        ("sync-search-1", "sync-search.products.g1", "differs in document.price"),
    ] {
        for (kind, id, what) in [
            ("value", "P-1", changed),
            ("missing", "P-2", "missing, should be version 2"),
            ("version", "P-3", "version 1, should be 2"),
            ("extra", "P-9", "was never written"),
        ] {
            let series = format!("aqueduct_drift_items{{group=\"{prefix}.{group}\",kind=\"{kind}\"}} 1\n");
            eventually(&series, PATIENCE, || async {
                fleet.metrics_text(worker).await.ok()?.contains(&series).then_some(())
            })
            .await;
            assert_eq!(said(fleet, worker, &[DRIFTED, "--repair", id, what]), 1, "{worker} {id}");
        }
        samples(fleet, worker, 40.0).await;
        assert_eq!((drift(fleet, worker).await, said(fleet, worker, &[DRIFTED])), (Some(4.0), 4), "{worker}");
    }

    let repaired = fleet.aqueduct(&["verify", "--repair", "--settle", "0"]).await?;
    assert_eq!(repaired.code, Some(0), "{}{}", repaired.out, repaired.err);
    for worker in WORKERS {
        eventually("nothing drifts", PATIENCE, || async {
            (drift(fleet, worker).await? == 0.0).then_some(())
        })
        .await;
        assert_eq!(said(fleet, worker, &[DRIFTED]), 4, "{worker}");
    }
    Ok(())
}

/// Under traffic, and while a table and an index take no writes, so that they are behind for many samples.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_is_no_drift_however_long_that_takes() -> Result<()> {
    let shelf = Shelf::of(sampling(Fleet::on(servers().await).await)).await?;
    let fleet = &shelf.fleet;
    let mut connection = PgConnection::connect(&fleet.settings.postgres.url).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("LOCK TABLE products__g1 IN SHARE MODE").execute(&mut *transaction).await?;
    let writes = |blocked| json!({ "index": { "blocks": { "write": blocked } } });
    shelf.opensearch(Method::PUT, "_settings", writes(true)).await?;

    let stop = CancellationToken::new();
    let writer = tokio::spawn({
        let (stop, http) = (stop.clone(), shelf.http.clone());
        let products = format!("{}/v1/{TENANT}/PRODUCT", fleet.api());
        async move {
            let mut written = 0_u64;
            while !stop.is_cancelled() {
                let id = format!("Q-{written}");
                let body = json!({ "id": id, "attributes": { "name": "Lantern", "price": "2.50" } });
                http.post(&products).json(&body).send().await?.error_for_status()?;
                let body = json!({ "attributes": { "name": format!("Lantern {written}") } });
                let product = format!("{products}/P-{}", written % 5 + 1);
                http.patch(product).json(&body).send().await?.error_for_status()?;
                written += 1;
            }
            anyhow::Ok(written)
        }
    });
    for worker in WORKERS {
        samples(fleet, worker, 200.0).await;
    }
    transaction.rollback().await?;
    shelf.opensearch(Method::PUT, "_settings", writes(false)).await?;
    for worker in WORKERS {
        samples(fleet, worker, 200.0).await;
    }
    stop.cancel();
    assert!(writer.await?? > 20);
    fleet.agrees(PATIENCE).await?;
    for worker in WORKERS {
        samples(fleet, worker, 100.0).await;
        assert_eq!((drift(fleet, worker).await, said(fleet, worker, &[DRIFTED])), (Some(0.0), 0), "{worker}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_no_drift_and_what_stands_below_it_is_watched() -> Result<()> {
    let model = Scratch::new()?;
    std::fs::write(model.path().join("coin.yaml"), COINS)?;
    let plan = sampling(Fleet::on(servers().await).await.model(model.path()));
    let fleet = plan.programs(&[Program::CommandApi, Program::Projector, Program::SyncRds]).start().await?;
    let (http, coins) = (reqwest::Client::new(), format!("{}/v1/{TENANT}/COIN", fleet.api()));
    for (id, value) in [("never-stood", "many"), ("once-unmappable", "4.00")] {
        let body = json!({ "id": id, "attributes": { "value": value } });
        http.post(&coins).json(&body).send().await?.error_for_status()?;
    }
    let body = json!({ "attributes": { "value": "many" } });
    http.patch(format!("{coins}/once-unmappable")).json(&body).send().await?.error_for_status()?;
    eventually("both are set aside", PATIENCE, || async {
        (fleet.metrics("sync-rds-1").await?.get("aqueduct_letters") == 2.0).then_some(())
    })
    .await;
    samples(&fleet, "sync-rds-1", 20.0).await;
    assert_eq!(drift(&fleet, "sync-rds-1").await, Some(0.0), "{}", fleet.logs());

    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    let damage = sqlx::query("UPDATE coins__g1 SET value = 9.99 WHERE id = 'once-unmappable'");
    assert_eq!(damage.execute(&pool).await?.rows_affected(), 1);
    eventually("a wrong value below a letter", PATIENCE, || async {
        (drift(&fleet, "sync-rds-1").await? == 1.0).then_some(())
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_costs_samples_and_nothing_else() -> Result<()> {
    let own = Private::start(&[Server::Postgres]).await?;
    let shelf = Shelf::of(sampling(Fleet::on(&servers().await.but(&own)).await)).await?;
    let fleet = &shelf.fleet;
    samples(fleet, "sync-rds-1", 20.0).await;
    own.stop(Server::Postgres).await?;
    eventually("it is said", PATIENCE, || async {
        (said(fleet, "sync-rds-1", &[LEFT_OUT]) == 1).then_some(())
    })
    .await;
    let body = json!({ "attributes": { "name": "Lamp" } });
    let product = format!("{}/v1/{TENANT}/PRODUCT/P-1", fleet.api());
    shelf.http.patch(product).json(&body).send().await?.error_for_status()?;
    // The others go on meanwhile.
    samples(fleet, "sync-search-1", 50.0).await;
    own.start_again(Server::Postgres).await?;
    samples(fleet, "sync-rds-1", 20.0).await;
    fleet.agrees(Duration::from_secs(60)).await?;
    assert_eq!(drift(fleet, "sync-rds-1").await, Some(0.0));
    assert_eq!(said(fleet, "sync-rds-1", &[LEFT_OUT]), 1, "once, however long it takes");
    assert_eq!(fleet.member("sync-rds-1").restarts, 0);
    Ok(())
}
