//! The wiring of the process: a table for each generation that the registry has consumed.

use aqueduct_contract::Worker;
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Service};
use aqueduct_verify::samples;
use aqueduct_views::Followed;
use aqueduct_views::postgres::Registry;

use crate::sink::TableSink;

/// Registers what the model has and the registry has not, then serves what the registry says, as it says it. Not ready, and trying
/// again, while Postgres or Kafka is out of reach.
pub async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let registry = Registry::new(settings.postgres.connect_lazy()?);
    // A pool of its own: a view whose table is locked keeps its own connections waiting and nobody else's.
    let postgres = settings.postgres.clone();
    let sink = move |generation| TableSink::new(postgres.connect_lazy()?, generation);
    let server = format!("Postgres at {}", settings.postgres.address()?);
    service.consume_views(Worker::SyncRds, &server, Followed::new(registry, model), sink).await?;
    Ok(samples::watch(&service, Worker::SyncRds).await?)
}
