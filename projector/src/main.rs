//! Wiring only: settings, connections, and the parts of the library put together.

use std::process::ExitCode;

use aqueduct_contract::Names;
use aqueduct_engine::{Engine, Metrics};
use aqueduct_model::Model;
use aqueduct_projector::{DataSink, data_group};
use aqueduct_service::{Misconfigured, Service};
use aqueduct_store::{DataTable, Letters};

fn main() -> ExitCode {
    aqueduct_service::main("projector", wire)
}

async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let names = Names::new(&settings.prefix);
    let dynamodb = settings.dynamodb.connect().await;

    let letters = Letters::new(dynamodb.clone(), &names);
    let metrics = Metrics::new(&service.registry)?;
    let engine = Engine::new(&settings.kafka, &names, settings.engine.clone(), letters, metrics)?;

    let group = data_group(&names, &model);
    let sink = DataSink::new(DataTable::new(dynamodb, &names), names);
    service.consume(&engine, group, sink);
    Ok(())
}
