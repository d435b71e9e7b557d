//! `aqueduct setup`: everything that has to stand before a fleet runs, made where it is missing: DynamoDB tables, topics,
//! registries and generations of views. Running it again changes nothing.

use std::path::Path;

use anyhow::{Context, Result};
use aqueduct_contract::Names;
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Settings};
use aqueduct_store::topics;

/// What was made, or stood already.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// Types of the model.
    pub types: usize,
    /// Views of the model.
    pub views: usize,
}

/// Makes what is missing on the servers that the settings name.
pub async fn run(settings: &Settings) -> Result<Made> {
    let model = load(&settings.model.dir)?;
    let names = Names::new(&settings.prefix);
    let tables = async {
        let client = settings.dynamodb.connect().await;
        aqueduct_store::setup(&client, &names).await.context("the tables in DynamoDB")
    };
    let types = model.types().map(|of| (&of.name, of.partitions));
    let topics =
        async { topics::ensure(&settings.kafka, &names, types).await.context("the topics in Kafka") };
    let views = async {
        let made = aqueduct_views::setup(&model, &names, &settings.postgres, &settings.opensearch);
        made.await.context("the views in Postgres and OpenSearch")
    };
    tokio::try_join!(tables, topics, views)?;
    let views = model.types().map(|of| of.views.len()).sum();
    Ok(Made { types: model.types().count(), views })
}

/// The model, or every mistake in it.
pub(crate) fn load(folder: &Path) -> Result<Model> {
    Model::load(folder).map_err(|problems| Misconfigured(problems.to_string()).into())
}
