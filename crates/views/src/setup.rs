//! What `aqueduct setup` does for read models, before any worker runs.

use aqueduct_contract::Names;
use aqueduct_model::Model;

use crate::{Error, opensearch, postgres};

/// Registers every view of the model and makes its tables and indexes. Workers do the same when they start; doing it
/// before shows what is wrong before any of them runs. Does nothing the second time.
pub async fn setup(
    model: &Model,
    names: &Names,
    postgres: &postgres::Settings,
    opensearch: &opensearch::Settings,
) -> Result<(), Error> {
    postgres::Registry::new(postgres.connect_lazy()?).ensure(model).await?;
    opensearch::Registry::new(opensearch, names)?.ensure(model).await?;
    Ok(())
}
