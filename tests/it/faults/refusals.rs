//! Servers that answer, and refuse.

use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_tests::{Fleet, PATIENCE, Refusal, Refusing, eventually, servers, under_traffic};
use sqlx::{AssertSqlSafe, PgPool};

#[tokio::test(flavor = "multi_thread")]
async fn what_opensearch_or_dynamodb_refuse_for_want_of_capacity_is_sent_again() -> Result<()> {
    let servers = servers().await;
    let opensearch = Refusing::of(&servers.opensearch).await?;
    let dynamodb = Refusing::of(&servers.dynamodb).await?;
    let fleet = Fleet::on(servers)
        .await
        .set("engine.retry_backoff_max", "1s")
        .variable("sync-search-1", "AQUEDUCT__OPENSEARCH__URL", format!("http://{}", opensearch.address))
        .variable("projector-1", "AQUEDUCT__DYNAMODB__ENDPOINT", format!("http://{}", dynamodb.address))
        .start()
        .await?;
    under_traffic(&fleet, 50, 61, async |traffic| {
        dynamodb.set(Refusal::Throttled);
        for refusal in [
            Refusal::Bulk(503),
            // What was refused before makes a large request now.
            Refusal::Larger(5_000),
            Refusal::Bulk(429),
            Refusal::Items(429),
            Refusal::Items(503),
            Refusal::Truncated,
        ] {
            opensearch.set(refusal);
            // Once told so, it sends smaller requests.
            let times = if matches!(refusal, Refusal::Larger(_)) { 1 } else { 3 };
            eventually(&format!("{refusal:?} is met"), PATIENCE, || async {
                (opensearch.refused() >= times).then_some(())
            })
            .await;
            fleet.commits_follow_effects().await?;
            match refusal {
                Refusal::Bulk(503) => traffic.flows(200).await,
                // Smaller bodies get through, while the limit stands.
                Refusal::Larger(_) => fleet.caught_up("sync-search-1").await,
                _ => {
                    opensearch.set(Refusal::None);
                    traffic.flows(20).await;
                }
            }
        }
        fleet.caught_up("sync-search-1").await;
        eventually("throttling is met", PATIENCE, || async { (dynamodb.refused() >= 10).then_some(()) })
            .await;
        dynamodb.set(Refusal::None);
        fleet.caught_up("projector-1").await;
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}

/// Rows that transactions hold, and an index that shows version 2 before version 1, and both late. Most events wait for the
/// sweeper, which knows no more than that index.
#[tokio::test(flavor = "multi_thread")]
async fn conflicts_and_late_indexes_of_dynamodb_cost_neither_a_write_nor_its_order() -> Result<()> {
    let servers = servers().await;
    let dynamodb = Refusing::of(&servers.dynamodb).await?;
    let plan = Fleet::on(servers).await.set("publisher.queue_bytes", "1B");
    let plan = plan.set("publisher.sweep_interval", "20ms");
    let url = format!("http://{}", dynamodb.address);
    let plan = ["command-api", "projector-1"]
        .into_iter()
        .fold(plan, |plan, process| plan.variable(process, "AQUEDUCT__DYNAMODB__ENDPOINT", &url));
    let fleet = plan.start().await?;
    under_traffic(&fleet, 40, 64, async |traffic| {
        for (refusal, times) in [(Refusal::Conflict, 100), (Refusal::LateIndexes(Duration::from_secs(3)), 10)]
        {
            dynamodb.set(refusal);
            eventually(&format!("{refusal:?} is met"), PATIENCE, || async {
                (dynamodb.refused() >= times).then_some(())
            })
            .await;
            traffic.flows(200).await;
            fleet.commits_follow_effects().await?;
        }
        Ok(())
    })
    .await?;
    let taken_over = fleet.metrics("command-api").await.context("no metrics")?;
    assert!(taken_over.get("aqueduct_publish_deferred_total") > 100.0, "the sweeper had little to do");
    fleet.nothing_was_set_aside().await
}

/// Deadlocks, serialisation failures, a full disk, no connections left, a read-only server.
#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_for_the_moment_is_tried_again() -> Result<()> {
    let fleet = Fleet::on(servers().await).await.set("engine.retry_backoff_max", "1s").start().await?;
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    under_traffic(&fleet, 80, 62, async |traffic| {
        for state in ["40P01", "40001", "53100", "53300", "25006", "57P03"] {
            let trigger = format!(
                "CREATE SEQUENCE refused_{state};
                 CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     PERFORM nextval('refused_{state}');
                     RAISE EXCEPTION 'refused' USING ERRCODE = '{state}';
                 END $$;
                 CREATE TRIGGER refuse BEFORE INSERT ON orders__g1 EXECUTE FUNCTION refuse();"
            );
            sqlx::raw_sql(AssertSqlSafe(trigger)).execute(&pool).await.context("no trigger")?;
            // What a sequence gave out is not taken back with the transaction.
            let met = format!("SELECT last_value >= 3 FROM refused_{state}");
            eventually(state, PATIENCE, || async {
                sqlx::query_scalar::<_, bool>(AssertSqlSafe(met.clone()))
                    .fetch_one(&pool)
                    .await
                    .ok()?
                    .then_some(())
            })
            .await;
            fleet.commits_follow_effects().await?;
            let gone = "DROP TRIGGER refuse ON orders__g1";
            eventually("the trigger is gone", PATIENCE, || async {
                sqlx::raw_sql(gone).execute(&pool).await.ok()
            })
            .await;
            traffic.flows(20).await;
            fleet.caught_up("sync-rds-1").await;
        }
        Ok(())
    })
    .await?;
    // From one moment to the next, with connections open.
    under_traffic(&fleet, 80, 63, async |traffic| {
        let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&pool).await?;
        for value in ["on", "off"] {
            let switch = format!(
                "ALTER DATABASE {database} SET default_transaction_read_only = {value};
                 SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid();"
            );
            // The one connection that still may.
            let mut connection = pool.acquire().await?;
            sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut *connection).await?;
            sqlx::raw_sql(AssertSqlSafe(switch)).execute(&mut *connection).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            traffic.flows(30).await;
        }
        fleet.caught_up("sync-rds-1").await;
        Ok(())
    })
    .await?;
    fleet.nothing_was_set_aside().await
}
