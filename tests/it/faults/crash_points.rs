//! `kill -9` exactly where it hurts: all three workers, at the same step of a batch.

use anyhow::Result;
use aqueduct_contract::Names;
use aqueduct_store::Letters;
use aqueduct_tests::{Fleet, PATIENCE, eventually, servers, under_traffic};
use futures::TryStreamExt;
use rdkafka::producer::{FutureProducer, FutureRecord};

const WORKERS: [&str; 3] = ["projector-1", "sync-rds-1", "sync-search-1"];

/// Of each worker, in its first lives.
const KILLS: u32 = 2;

/// Records that are no events, each of which every worker must set aside.
const GARBAGE: usize = 12;

async fn killed(point: &str, garbage: usize, seed: u64) -> Result<()> {
    let plan = Fleet::on(servers().await).await.short_sessions().set("engine.commit_interval", "100ms");
    let plan = WORKERS.iter().try_fold(plan, |plan, worker| plan.failpoints(worker, point, KILLS))?;
    let fleet = plan.start().await?;
    under_traffic(&fleet, 100, seed, async |_| {
        write_garbage(&fleet, garbage).await?;
        for worker in WORKERS {
            fleet.restarted(worker, KILLS).await;
        }
        Ok(())
    })
    .await?;
    // One for each, however often it was tried.
    let names = Names::new(&fleet.settings.prefix);
    let letters = Letters::new(fleet.settings.dynamodb.connect().await, &names);
    eventually("every worker has set all of it aside", PATIENCE, || async {
        let filed = letters.all().try_collect::<Vec<_>>().await.ok()?.len();
        assert!(filed <= WORKERS.len() * garbage, "{filed} letters");
        (filed == WORKERS.len() * garbage).then_some(())
    })
    .await;
    Ok(())
}

async fn write_garbage(fleet: &Fleet, records: usize) -> Result<()> {
    // One view of this type: a group a worker.
    let topic = Names::new(&fleet.settings.prefix).events_topic(&"PRODUCT".parse()?);
    let producer: FutureProducer = fleet.settings.kafka.client_config().create()?;
    for _ in 0..records {
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).payload(b"no event");
        producer.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_flush_workers_lose_nothing() -> Result<()> {
    killed("before-flush=25*off->return", 0, 31).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_sinks_answer_workers_apply_again_to_no_effect() -> Result<()> {
    killed("after-flush=25*off->return", 0, 32).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_dead_letter_workers_set_it_aside_once() -> Result<()> {
    killed("after-dead-letter=3*off->return", GARBAGE, 33).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_commit_workers_read_again_and_lose_nothing() -> Result<()> {
    killed("before-commit=25*off->return", 0, 34).await
}
