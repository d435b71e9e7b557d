//! Makes the tables. What stands already stays as it is, so that running it again, or twice at once, is harmless.

use aqueduct_contract::Names;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableStatus, TimeToLiveSpecification,
};
use tokio::time::{Duration, Instant, sleep};

use crate::{Error, Result, audit, data, events, letters, sequences, sessions};

/// A name and the type of an attribute in a key.
pub(crate) type KeyAttribute = (&'static str, ScalarAttributeType);

/// The keys of a table: what cannot change once it stands.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) partition: KeyAttribute,
    pub(crate) sort: Option<KeyAttribute>,
    pub(crate) indexes: Vec<Index>,
    /// The attribute with the second after which a row may go.
    pub(crate) expires: Option<&'static str>,
}

/// A keys-only index.
pub(crate) struct Index {
    pub(crate) name: &'static str,
    pub(crate) partition: KeyAttribute,
    pub(crate) sort: Option<KeyAttribute>,
}

/// Creates the tables and indexes that are missing, under the names that `names` makes, and waits until all can be
/// used. Billing is on demand.
pub async fn setup(client: &Client, names: &Names) -> Result<()> {
    let tables = [
        events::table(),
        data::table(),
        letters::table(),
        audit::table(),
        sequences::table(),
        sessions::table(),
        idempotency(),
    ];
    for table in &tables {
        create(client, &names.table(table.name), table).await?;
    }
    for table in &tables {
        let name = names.table(table.name);
        wait_until_active(client, &name).await?;
        if let Some(attribute) = table.expires {
            expire(client, &name, attribute).await?;
        }
    }
    Ok(())
}

/// Requests with an `Idempotency-Key` and what they were answered.
fn idempotency() -> Table {
    Table {
        name: "idempotency",
        partition: ("request", ScalarAttributeType::S),
        sort: None,
        indexes: vec![],
        expires: Some("expires"),
    }
}

async fn create(client: &Client, name: &str, table: &Table) -> Result<()> {
    let mut attributes: Vec<KeyAttribute> = Vec::new();
    let keys = table.indexes.iter().flat_map(|index| [Some(&index.partition), index.sort.as_ref()]);
    for attribute in [Some(&table.partition), table.sort.as_ref()].into_iter().chain(keys).flatten() {
        if !attributes.contains(attribute) {
            attributes.push(attribute.clone());
        }
    }
    let definitions = attributes.into_iter().map(|(name, kind)| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().map_err(refused)
    });
    let mut request = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(definitions.collect::<Result<_>>()?))
        .set_key_schema(Some(key_schema(&table.partition, table.sort.as_ref())?));
    for index in &table.indexes {
        let index = GlobalSecondaryIndex::builder()
            .index_name(index.name)
            .set_key_schema(Some(key_schema(&index.partition, index.sort.as_ref())?))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
        request = request.global_secondary_indexes(index.build().map_err(refused)?);
    }
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some("ResourceInUseException") => Ok(()),
        Err(error) => Err(Error::of(error)),
    }
}

fn key_schema(partition: &KeyAttribute, sort: Option<&KeyAttribute>) -> Result<Vec<KeySchemaElement>> {
    let partition = Some((partition.0, KeyType::Hash));
    let sort = sort.map(|attribute| (attribute.0, KeyType::Range));
    let elements = [partition, sort].into_iter().flatten().map(|(name, kind)| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(refused)
    });
    elements.collect()
}

fn refused(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::Refused(Box::new(error))
}

async fn wait_until_active(client: &Client, name: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.describe_table().table_name(name).send().await.map_err(Error::of)?;
        let table = answer.table();
        if table.and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::Unavailable(format!("table {name} does not become active").into()));
        }
        // The service offers no way to wait but to ask again.
        sleep(Duration::from_millis(250)).await;
    }
}

async fn expire(client: &Client, name: &str, attribute: &str) -> Result<()> {
    if expires(client, name, attribute).await? {
        return Ok(());
    }
    let ttl = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(attribute)
        .build()
        .map_err(refused)?;
    match client.update_time_to_live().table_name(name).time_to_live_specification(ttl).send().await {
        Ok(_) => Ok(()),
        // Enabling it twice is an error, and another setup may have been faster.
        Err(_) if expires(client, name, attribute).await? => Ok(()),
        Err(error) => Err(Error::of(error)),
    }
}

async fn expires(client: &Client, name: &str, attribute: &str) -> Result<bool> {
    let now = client.describe_time_to_live().table_name(name).send().await.map_err(Error::of)?;
    Ok(now.time_to_live_description().and_then(|ttl| ttl.attribute_name()) == Some(attribute))
}
