//! What the three stores hold of one tenant, read with their plain clients, without the fleet's own mapping code.

mod dynamodb;
mod opensearch;
mod postgres;

use aqueduct_service::Settings;
use aws_sdk_dynamodb::types::AttributeValue;
use sqlx::PgPool;

use super::expected::{Difference, Expectation};

/// Where the stores are and what the driven tenant is called there.
#[derive(Clone)]
pub struct Stores {
    /// A client of DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// What table names begin with.
    pub prefix: String,
    /// Connections to Postgres.
    pub postgres: PgPool,
    /// The URL of OpenSearch.
    pub opensearch: String,
    /// What index names begin with.
    pub index_prefix: String,
    /// Whose items are driven.
    pub tenant: String,
}

impl Stores {
    /// The stores that a fleet with these settings writes to, as `tenant` sees them.
    pub async fn of(settings: &Settings, tenant: &str) -> anyhow::Result<Stores> {
        Ok(Stores {
            dynamodb: settings.dynamodb.connect().await,
            prefix: settings.prefix.clone(),
            postgres: settings.postgres.connect_lazy()?,
            opensearch: settings.opensearch.url.clone(),
            index_prefix: settings.opensearch.index_prefix.clone(),
            tenant: tenant.to_owned(),
        })
    }

    /// The id of the item that the write with this correlation id made, if it was stored.
    pub(super) async fn written_by(&self, correlation: &str) -> anyhow::Result<Option<String>> {
        let found = self
            .dynamodb
            .query()
            .table_name(format!("{}-events", self.prefix))
            .index_name("correlation")
            .key_condition_expression("correlation = :correlation")
            .expression_attribute_values(
                ":correlation",
                AttributeValue::S(format!("{}|{correlation}", self.tenant)),
            )
            .send()
            .await?;
        let item = found.items().first().and_then(|row| row.get("item")).and_then(|item| item.as_s().ok());
        Ok(item.and_then(|item| item.rsplit_once('#')).map(|(_, id)| id.to_owned()))
    }

    /// Where a store holds something else than expected. The first entry of each store is the event log.
    pub(super) async fn compare(&self, expected: &Expectation) -> anyhow::Result<Vec<Difference>> {
        let (log, data) = (dynamodb::events(self, expected), dynamodb::data(self, expected));
        let (rows, documents) = (postgres::rows(self, expected), opensearch::documents(self, expected));
        let (log, data, rows, documents) = tokio::try_join!(log, data, rows, documents)?;
        Ok([log, data, rows, documents].into_iter().flatten().collect())
    }
}
