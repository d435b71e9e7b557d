//! The stores that views are in, as commands name them.

use std::fmt;

use anyhow::Result;
use aqueduct_contract::{Names, Worker};
use aqueduct_service::{Settings, groups};
use aqueduct_store::kafka;
use aqueduct_views::{Generation, opensearch, postgres};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// Tables.
    Postgres,
    /// Indexes.
    #[value(name = "opensearch")]
    OpenSearch,
}

impl Store {
    /// The one that was chosen, or both, in the order in which a change goes through them.
    #[must_use]
    pub fn chosen(only: Option<Store>) -> Vec<Store> {
        only.map_or(vec![Store::Postgres, Store::OpenSearch], |only| vec![only])
    }

    /// How commands call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Store::Postgres => "postgres",
            Store::OpenSearch => "opensearch",
        }
    }

    /// Who writes it.
    #[must_use]
    pub fn worker(self) -> Worker {
        match self {
            Store::Postgres => Worker::SyncRds,
            Store::OpenSearch => Worker::SyncSearch,
        }
    }

    /// The consumer group of a generation, as Kafka knows it.
    #[must_use]
    pub fn group(self, settings: &Settings, generation: &Generation) -> (String, kafka::Group) {
        let group = groups::view_group(&Names::new(&settings.prefix), self.worker(), generation);
        let in_kafka = kafka::Group::new(&settings.kafka, &group.id, &group.topics);
        (group.id, in_kafka)
    }

    /// Every generation that its registry has, but for those cancelled.
    pub async fn generations(self, settings: &Settings) -> Result<Vec<Generation>> {
        Ok(match self {
            Store::Postgres => tables(settings)?.generations().await?,
            Store::OpenSearch => indexes(settings)?.generations().await?,
        })
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The registry in Postgres.
pub(crate) fn tables(settings: &Settings) -> Result<postgres::Registry> {
    Ok(postgres::Registry::new(settings.postgres.connect_lazy()?))
}

/// The registry in OpenSearch.
pub(crate) fn indexes(settings: &Settings) -> Result<opensearch::Registry> {
    Ok(opensearch::Registry::new(&settings.opensearch, &Names::new(&settings.prefix))?)
}
