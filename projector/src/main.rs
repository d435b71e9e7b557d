//! Wiring only: settings, connections, and the parts of the library put together.

use std::process::ExitCode;

use aqueduct_contract::{Names, Worker};
use aqueduct_model::Model;
use aqueduct_projector::DataSink;
use aqueduct_service::groups::data_group;
use aqueduct_service::{Misconfigured, Service};
use aqueduct_store::DataTable;
use aqueduct_verify::samples;

fn main() -> ExitCode {
    aqueduct_service::main("projector", wire)
}

async fn wire(service: Service) -> anyhow::Result<()> {
    let settings = &service.settings;
    let model = Model::load(&settings.model.dir).map_err(|problems| Misconfigured(problems.to_string()))?;
    let names = Names::new(&settings.prefix);
    let group = data_group(&names, model.types().map(|of| &of.name));
    let data = DataTable::new(settings.dynamodb.connect().await, &names);
    let sink = DataSink::new(data, names);
    let engine = service.engine().await?;
    service.consume(&engine, group, sink);
    Ok(samples::watch(&service, Worker::Projector).await?)
}
