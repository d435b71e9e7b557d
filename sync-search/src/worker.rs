//! The wiring of the process: an index for each generation that the registry has consumed.

use aqueduct_contract::{Names, Worker};
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Service};
use aqueduct_verify::samples;
use aqueduct_views::Followed;
use aqueduct_views::opensearch::Registry;

use crate::sink::IndexSink;

/// Registers what the model has and the registry has not, then serves what the registry says, as it says it. Not ready, and trying
/// again, while OpenSearch or Kafka is out of reach.
pub async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let registry = Registry::new(&settings.opensearch, &Names::new(&settings.prefix))?;
    let asked = registry.clone();
    let sink = move |generation| IndexSink::new(asked.clone(), generation);
    let server = format!("OpenSearch at {}", settings.opensearch.address()?);
    service.consume_views(Worker::SyncSearch, &server, Followed::new(registry, model), sink).await?;
    Ok(samples::watch(&service, Worker::SyncSearch).await?)
}
