//! The wiring of the process: one consumer group for each live generation that the registry lists.

use aqueduct_contract::{Names, Worker};
use aqueduct_engine::{Engine, Group, Metrics, Progress};
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Service};
use aqueduct_store::Letters;
use aqueduct_views::postgres::Registry;
use aqueduct_views::{Error, until_reached};

use crate::sink::TableSink;

/// Registers what the model has and the registry has not, then serves what the registry says. Not ready, and trying
/// again, while Postgres is out of reach.
pub async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let names = Names::new(&settings.prefix);
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let registry = Registry::new(settings.postgres.connect_lazy()?);
    let registry_of_views = "Postgres, which holds the list of the views to keep";
    service.waits_for(registry_of_views);
    let waiting = |error: &Error| service.waits_for(format!("{registry_of_views}: {error}"));
    let served = until_reached(|| registry.ensure(&model), waiting).await?;
    served.export(&service.registry)?;

    let letters = Letters::new(settings.dynamodb.connect().await, &names);
    let metrics = Metrics::new(&service.registry)?;
    let engine = Engine::new(&settings.kafka, &names, settings.engine.clone(), letters, metrics)?;
    for generation in served.generations {
        let group = Group {
            id: names.view_group(Worker::SyncRds, generation.view(), generation.number),
            worker: Worker::SyncRds,
            sink: generation.sink(),
            topics: vec![names.events_topic(&generation.definition.type_name)],
        };
        // A pool of its own: a view whose table is locked keeps its own connections waiting and nobody else's.
        let sink = TableSink::new(settings.postgres.connect_lazy()?, generation)?;
        let progress = Progress::new(settings.engine.stall_timeout);
        let (alive, ready) = (progress.clone(), progress.clone());
        service.health.live(&group.id, move || alive.alive());
        service.health.ready(&group.id, move || ready.ready());
        let (engine, stop) = (engine.clone(), service.stop.clone());
        service.spawn("view", async move { engine.run(group, sink, progress, stop).await });
    }
    Ok(())
}
