//! What workers do alike: consumer groups that the probes show, and for workers of views one for each generation.

use std::collections::BTreeMap;

use anyhow::Context;
use aqueduct_contract::{Names, Worker};
use aqueduct_engine::{Engine, Group, Metrics, Progress, Sink};
use aqueduct_store::{EventStore, Letters};
use aqueduct_views::{Error, Followed, Generation, Registry, until_reached};
use tokio::task::JoinSet;

use crate::Service;
use crate::following::Following;
use crate::purge::{self, Purger};

impl Service {
    /// The engine of this process, once Kafka was reached. One is enough for all its groups.
    pub async fn engine(&self) -> anyhow::Result<Engine> {
        let settings = &self.settings;
        self.waits_for("Kafka");
        settings.kafka.until_reached(|error| self.waits_for(format!("Kafka: {error}"))).await?;
        let names = Names::new(&settings.prefix);
        let dynamodb = settings.dynamodb.connect().await;
        let (letters, events) = (Letters::new(dynamodb.clone(), &names), EventStore::new(dynamodb, &names));
        let metrics = Metrics::new(&self.registry)?;
        Ok(Engine::new(&settings.kafka, &names, settings.engine.clone(), letters, events, metrics)?)
    }

    /// Runs the group beside the others, until `stop`; `/livez` and `/readyz` show it by its id.
    pub fn consume<S: Sink>(&self, engine: &Engine, group: Group, sink: S) {
        let progress = Progress::new(self.settings.engine.stall_timeout);
        let (alive, ready) = (progress.clone(), progress.clone());
        self.health.live(&group.id, move || alive.alive());
        self.health.ready(&group.id, move || ready.ready());
        let (engine, stop) = (engine.clone(), self.stop.clone());
        self.spawn("group", async move { engine.run(group, sink, progress, stop).await });
    }

    /// Runs a group for each generation of a view that the registry in `server` has consumed, once it was reached, and follows
    /// what it says from then on; `sink` makes what a group writes to. Until it is reached the process is not ready, and says so.
    pub async fn consume_views<R: Registry, S: Sink>(
        &self,
        worker: Worker,
        server: &str,
        registry: Followed<R>,
        sink: impl Fn(Generation) -> Result<S, Error> + Send + 'static,
    ) -> anyhow::Result<()> {
        let list = format!("{server}, which holds the list of the views to keep");
        self.waits_for(&list);
        let waiting = |error: &Error| self.waits_for(format!("{list}: {error}"));
        let reached = until_reached(server, || registry.ensure(), waiting).await;
        let served = reached.with_context(|| server.to_owned())?;
        served.report();

        let settings = &self.settings;
        let mut following = Following {
            worker,
            names: Names::new(&settings.prefix),
            engine: self.engine().await?,
            health: self.health.clone(),
            stall_timeout: settings.engine.stall_timeout,
            metrics: aqueduct_views::Metrics::new(&self.registry)?,
            stop: self.stop.clone(),
            sink,
            running: BTreeMap::new(),
            groups: JoinSet::new(),
        };
        following.follow(&served)?;
        if let Some(after) = settings.views.purge_tombstones_after {
            let task = purge::Task {
                purger: Purger::new(settings).await,
                registry: registry.registry().clone(),
                worker,
                after,
                every: settings.views.purge_interval,
                metrics: purge::Metrics::new(&self.registry)?,
                stop: self.stop.clone(),
            };
            self.spawn("purge", task.run());
        }
        let every = settings.views.poll_interval;
        self.spawn("views", following.run(registry, every));
        Ok(())
    }
}
