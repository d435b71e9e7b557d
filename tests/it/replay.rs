//! `aqueduct replay` on a running fleet.

use anyhow::Result;
use aqueduct_tests::{Fleet, PATIENCE, Program, eventually, servers};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::PgPool;

const GROUP: [&str; 4] = ["--worker", "sync-rds", "--view", "products"];

async fn replay(fleet: &Fleet, arguments: &[&str]) -> Result<aqueduct_tests::Ended> {
    fleet.aqueduct(&[&["replay"], &GROUP[..], arguments].concat()).await
}

/// What the group has committed, over all partitions.
async fn committed(fleet: &Fleet) -> i64 {
    let group = format!("{}.sync-rds.products.g1", fleet.settings.prefix);
    let ended = fleet.aqueduct(&["lag", "--json", "--group", &group]).await.unwrap();
    let lines = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["committed"].as_i64()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_set_back_once_nobody_runs_and_applies_what_was_lost() -> Result<()> {
    let plan = Fleet::on(servers().await).await.programs(&[Program::CommandApi, Program::SyncRds]);
    // A member that was frozen is given up soon.
    let fleet = plan.set("kafka.properties.session.timeout.ms", "6000").start().await?;
    let url = format!("{}/v1/acme/PRODUCT", fleet.api());
    for n in 0..20 {
        let body = json!({ "id": format!("P-{n}"), "attributes": { "name": "Lamp", "price": "2.50" } });
        reqwest::Client::new().post(&url).json(&body).send().await?.error_for_status()?;
    }
    eventually("all is committed", PATIENCE, || async { (committed(&fleet).await == 20).then_some(()) })
        .await;
    assert_eq!(fleet.rows("acme", "products").await?, 20);
    // A hand in the database, or a backup that is too old.
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    sqlx::query("DELETE FROM products__g1 WHERE id < 'P-2'").execute(&pool).await?;
    assert_eq!(fleet.rows("acme", "products").await?, 8);

    let planned = replay(&fleet, &["--from", "beginning", "--dry-run"]).await?;
    assert_eq!(
        (planned.code, planned.out.contains("\nrecords to read again: 20\n")),
        (Some(0), true),
        "{}",
        planned.out
    );
    let nothing =
        replay(&fleet, &["--from", "2000-01-01T00:00:00Z", "--type", "PRODUCT", "--dry-run"]).await?;
    assert!(nothing.out.contains("\nrecords to read again: 20\n"), "{}", nothing.out);
    let forward = replay(&fleet, &["--from", "1000", "--yes"]).await?;
    assert_eq!(
        (forward.code, forward.out.contains("\nrecords to read again: 0\n")),
        (Some(0), true),
        "{}",
        forward.out
    );
    let later = replay(&fleet, &["--from", "0s", "--dry-run"]).await?;
    assert!(
        later.out.contains("\nrecords to read again: 0\n"),
        "no record is younger than now: {}",
        later.out
    );

    let refused = replay(&fleet, &["--from", "beginning", "--yes"]).await?;
    assert_eq!((refused.code, refused.err.contains("has members")), (Some(1), true), "{}", refused.err);
    assert_eq!(replay(&fleet, &["--from", "beginning", "--to", "never"]).await?.code, Some(2));
    assert_eq!(committed(&fleet).await, 20, "nothing of this has changed anything");

    fleet.signal("sync-rds-1", Signal::STOP);
    let replayed = replay(&fleet, &["--from", "beginning", "--yes", "--wait-for-stop", "--wait"]);
    let set_back_then_thawed = async {
        eventually("the group is set back", PATIENCE, || async {
            (committed(&fleet).await == 0).then_some(())
        })
        .await;
        fleet.signal("sync-rds-1", Signal::CONT);
    };
    let (replayed, ()) = tokio::join!(replayed, set_back_then_thawed);
    let replayed = replayed?;
    assert_eq!(replayed.code, Some(0), "{}", replayed.err);
    assert!(replayed.err.contains("records read again: 20"), "{}", replayed.err);
    assert_eq!(fleet.rows("acme", "products").await?, 20, "and they are applied before they are committed");
    fleet.stop().await
}
