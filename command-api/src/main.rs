//! Wiring only: settings, connections, and the parts of the library put together.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use aqueduct_command_api::{Api, GroupLag, Metrics, Parts, Reads, StartCheck, bind, http, publish, router};
use aqueduct_commands::{Moment, Moments, Writer};
use aqueduct_contract::Names;
use aqueduct_model::Model;
use aqueduct_service::{Groups, Misconfigured, Service};
use aqueduct_store::kafka::Tail;
use aqueduct_store::{DataTable, EventStore, Letters, Publisher, Sequences, Sessions};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    aqueduct_service::main("command-api", wire)
}

async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = service.settings.clone();
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let types: Vec<_> = model.types().map(|of| (of.name.clone(), of.partitions)).collect();
    let groups = Groups::new(&settings, types.iter().map(|(name, _)| name.clone()))?;
    let lag = GroupLag::new(settings.kafka.clone(), groups, settings.api.lag_interval, &service.registry)?;
    let names = Names::new(&settings.prefix);

    let client = settings.dynamodb.connect().await;
    let events = EventStore::new(client.clone(), &names).with_record_limit(settings.kafka.record_limit()?);
    let (publisher, publishing) =
        Publisher::new(events.clone(), &settings.kafka, settings.publisher, &service.registry)?;
    let sequences = Sequences::new(client.clone(), &names);
    let moments: Moments = Arc::new(Moment::real);
    let api = Api::new(Parts {
        model,
        writer: Writer::new(events.clone(), sequences, publisher, Arc::clone(&moments)),
        events: events.clone(),
        letters: Letters::new(client.clone(), &names),
        sessions: settings.api.session().map(|lasts| Sessions::new(client.clone(), &names, lasts)),
        tail: Tail::new(&settings.kafka, &names, types.clone(), service.stop.clone()),
        names: names.clone(),
        data: DataTable::new(client, &names),
        reads: Reads::new(&names, &settings.postgres, &settings.opensearch, settings.api.query_timeout)?,
        moments,
        metrics: Metrics::new(&service.registry)?,
        body_limit: usize::try_from(settings.api.body_limit.as_u64()).context("api.body_limit")?,
    });

    let (listener, address) =
        bind(settings.api.listen).await.with_context(|| format!("api.listen = {}", settings.api.listen))?;
    tracing::info!(addr = %address, "api listening");
    let (check, passed) = StartCheck::new(settings.kafka, names, types, events);
    service.health.ready("servers", move || passed.borrow().clone());
    service.spawn("lag", lag.run(service.stop.clone()));
    // The publisher stops after the last request: what that one wrote is published before the process ends.
    let answered = CancellationToken::new();
    service.spawn("publisher", publish(check, publishing, answered.clone()));
    service.spawn("http", http(listener, router(Arc::new(api)), service.stop.clone(), answered.drop_guard()));
    Ok(())
}
