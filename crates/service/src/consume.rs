//! What workers do alike: consumer groups that the probes show, and for workers of views one for each live generation.

use anyhow::Context;
use aqueduct_contract::{Names, Worker};
use aqueduct_engine::{Engine, Group, Metrics, Progress, Sink};
use aqueduct_store::{EventStore, Letters};
use aqueduct_views::{Error, Generation, Served, until_reached};

use crate::{Service, groups};

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

    /// Runs a group for each live generation that the registry in `server` lists, once `ensure` has reached it; `sink`
    /// makes what the group writes to. Until then the process is not ready, and says so.
    pub async fn consume_views<S: Sink, Ensured: Future<Output = Result<Served, Error>>>(
        &self,
        worker: Worker,
        server: &str,
        ensure: impl Fn() -> Ensured,
        sink: impl Fn(Generation) -> Result<S, Error>,
    ) -> anyhow::Result<()> {
        let registry = format!("{server}, which holds the list of the views to keep");
        self.waits_for(&registry);
        let reached =
            until_reached(server, ensure, |error| self.waits_for(format!("{registry}: {error}"))).await;
        let served = reached.with_context(|| server.to_owned())?;
        served.export(&self.registry)?;

        let names = Names::new(&self.settings.prefix);
        let engine = self.engine().await?;
        for generation in served.generations {
            let group = groups::view_group(&names, worker, &generation);
            self.consume(&engine, group, sink(generation)?);
        }
        Ok(())
    }
}
