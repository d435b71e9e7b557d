//! Ours in a measured process: the engine with sinks that have no store, and what `aqueduct verify` does.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aqueduct_contract::{Names, Worker};
use aqueduct_engine::{
    Engine, Group, Metrics, Needs, Outcome, Progress, Record, Sink, SinkError, WorkerLanes,
};
use aqueduct_store::{EventStore, Letters};
use aqueduct_verify::Scope;
use indicatif::ProgressBar;
use prometheus::Registry;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use crate::measured::{Measured, Site, Usage};

/// A sink that counts.
struct Counting {
    /// Parses each event, or waits so long for each batch.
    wait: Option<Duration>,
    /// Holds the first batch back.
    go: watch::Receiver<bool>,
    first: Arc<OnceCell<Instant>>,
    counted: Arc<AtomicU64>,
    /// How many there are to count. The last batch may go beyond: of a member that ended, others get what it had not done.
    share: u64,
    done: CancellationToken,
}

impl Sink for Counting {
    // So that no record is left out.
    const NEEDS: Needs = Needs::EveryEvent;

    async fn apply(&self, batch: &[Record]) -> Result<Vec<Outcome>, SinkError> {
        // The sender is never gone before the end.
        let _ = self.go.clone().wait_for(|go| *go).await;
        self.first.get_or_init(async || Instant::now()).await;
        let outcomes = match self.wait {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                vec![Outcome::Applied; batch.len()]
            }
            None => batch.iter().map(parsed).collect(),
        };
        let count = batch.len() as u64;
        if self.counted.fetch_add(count, Ordering::Relaxed) + count >= self.share {
            self.done.cancel();
        }
        Ok(outcomes)
    }
}

fn parsed(record: &Record) -> Outcome {
    match record.event() {
        Ok(event) => {
            std::hint::black_box(event);
            Outcome::Applied
        }
        Err(reason) => Outcome::Poison(reason),
    }
}

/// Runs the engine until it has handed over its share of the events.
async fn run(
    site: &Site,
    settings: aqueduct_engine::Settings,
    wait: Option<Duration>,
    go: impl AsyncFnOnce(&Registry, watch::Sender<bool>) -> Result<Usage>,
) -> Result<Measured> {
    let fleet = site.settings()?;
    let names = Names::new(&fleet.prefix);
    let client = fleet.dynamodb.connect().await;
    let (letters, events) = (Letters::new(client.clone(), &names), EventStore::new(client, &names));
    let (progress, registry) = (Progress::new(settings.stall_timeout), Registry::new());
    let engine = Engine::new(&fleet.kafka, &names, settings, letters, events, Metrics::new(&registry)?)?;
    let group = Group {
        id: names.view_group(Worker::SyncRds, &site.group, 1),
        worker: Worker::SyncRds,
        sink: format!("{}.g1", site.group),
        topics: vec![site.load.topic(&names)?],
    };
    let share = site.load.events() / site.members;
    let (first, done, stop) = (Arc::new(OnceCell::new()), CancellationToken::new(), CancellationToken::new());
    let (sender, receiver) = watch::channel(false);
    let sink = Counting {
        wait,
        go: receiver,
        first: first.clone(),
        counted: Arc::default(),
        share,
        done: done.clone(),
    };
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { engine.run(group, sink, progress, stop).await }
    });
    let before = go(&registry, sender).await?;
    done.cancelled().await;
    let took = first.get().map(Instant::elapsed).unwrap_or_default();
    let after = Usage::of("self")?;
    stop.cancel();
    running.await??;
    Ok(Measured {
        events: share,
        written: share,
        seconds: took.as_secs_f64(),
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        peak_rss_mib: after.peak_rss_mib,
    })
}

/// The engine as it is by default, with a sink that parses every event.
pub(crate) async fn parse(site: &Site) -> Result<Measured> {
    let settings = site.settings()?.engine;
    run(site, settings, None, async |_, go| {
        go.send_replace(true);
        // From the very start.
        Ok(Usage { cpu_seconds: 0.0, peak_rss_mib: 0.0 })
    })
    .await
}

/// The engine with a sink that takes 5 ms for 50 records, one batch at a time. Says when it has its share of the partitions,
/// and begins when it is told.
pub(crate) async fn wait(site: &Site) -> Result<Measured> {
    let settings = aqueduct_engine::Settings {
        batch_records: 50,
        lanes: WorkerLanes::all(1),
        // What is fetched before the beginning is not measured: little.
        window: 200,
        ..site.settings()?.engine
    };
    let partitions = f64::from(site.load.partitions) / site.members as f64;
    run(site, settings, Some(Duration::from_millis(5)), async |registry, go| {
        while assigned(registry) != partitions {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        crate::print("ready");
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
        let usage = Usage::of("self")?;
        go.send_replace(true);
        Ok(usage)
    })
    .await
}

/// Compares a table with the event store.
pub(crate) async fn verify(site: &Site) -> Result<Measured> {
    let scope = Scope { only: Some("postgres orders.g1".to_owned()), tenant: None };
    let settings = site.settings()?;
    let begun = Instant::now();
    let report = aqueduct_verify::verify(&settings, &scope, Duration::ZERO, &ProgressBar::hidden()).await?;
    let took = begun.elapsed();
    ensure!(
        report.items == site.load.items && report.compared == 0 && report.differences.is_empty(),
        "{report}"
    );
    Measured::of_this_process(site, took)
}

fn assigned(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "aqueduct_assigned_partitions");
    family.map_or(0.0, |family| family.get_metric().iter().map(|metric| metric.get_gauge().get_value()).sum())
}
