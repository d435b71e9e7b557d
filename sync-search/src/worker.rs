//! The wiring of the process: an index for each live generation that the registry lists.

use aqueduct_contract::{Names, Worker};
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Service};
use aqueduct_views::opensearch::Registry;

use crate::sink::IndexSink;

/// Registers what the model has and the registry has not, then serves what the registry says. Not ready, and trying
/// again, while OpenSearch or Kafka is out of reach.
pub async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let registry = Registry::new(&settings.opensearch, &Names::new(&settings.prefix))?;
    let client = settings.opensearch.client()?;
    let sink = |generation| IndexSink::new(client.clone(), &settings.opensearch, generation);
    let server = format!("OpenSearch at {}", settings.opensearch.address()?);
    service.consume_views(Worker::SyncSearch, &server, || registry.ensure(&model), sink).await
}
