//! The two registries as a rebuild uses them: what is one word in one store is the same word in the other.

use std::fmt;

use aqueduct_contract::{Names, Worker};
use aqueduct_model::{Model, Type, View};
use aqueduct_service::Settings;
use aqueduct_views::load::Claim;
use aqueduct_views::{Error, Generation, definition, opensearch, postgres};
use clap::ValueEnum;
use sqlx::PgPool;

/// A store of read models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// Tables
    Postgres,
    /// Indexes
    Opensearch,
}

impl Store {
    pub(super) const ALL: [Store; 2] = [Store::Postgres, Store::Opensearch];

    /// The worker that keeps what is in it.
    pub(super) fn worker(self) -> Worker {
        match self {
            Store::Postgres => Worker::SyncRds,
            Store::Opensearch => Worker::SyncSearch,
        }
    }

    /// What a registry would keep of a view; `None` where the view is not in this store.
    fn half(self, of: &Type, view: &View) -> Option<View> {
        match self {
            Store::Postgres => definition::in_postgres(view),
            Store::Opensearch => definition::in_opensearch(of, view),
        }
    }

    /// What the model wants in this store.
    pub(super) fn wanted(self, model: &Model) -> Vec<View> {
        model.types().flat_map(|of| of.views.iter().filter_map(move |view| self.half(of, view))).collect()
    }
}

impl fmt::Display for Store {
    /// As reports call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Store::Postgres => "postgres",
            Store::Opensearch => "opensearch",
        })
    }
}

/// The registry of one store.
pub(super) enum Registry {
    Postgres(postgres::Registry, PgPool),
    OpenSearch(Box<opensearch::Registry>),
}

impl Registry {
    pub(super) fn of(store: Store, settings: &Settings) -> Result<Registry, Error> {
        Ok(match store {
            Store::Postgres => {
                let pool = settings.postgres.connect_lazy()?;
                Registry::Postgres(postgres::Registry::new(pool.clone()), pool)
            }
            Store::Opensearch => {
                let names = Names::new(&settings.prefix);
                Registry::OpenSearch(Box::new(opensearch::Registry::new(&settings.opensearch, &names)?))
            }
        })
    }

    pub(super) async fn generations(&self) -> Result<Vec<Generation>, Error> {
        match self {
            Registry::Postgres(registry, _) => registry.generations().await,
            Registry::OpenSearch(registry) => registry.generations().await,
        }
    }

    pub(super) async fn begin(&self, view: &View) -> Result<Generation, Error> {
        match self {
            Registry::Postgres(registry, _) => registry.begin(view).await,
            Registry::OpenSearch(registry) => registry.begin(view).await,
        }
    }

    pub(super) async fn resume(&self, generation: &Generation) -> Result<(), Error> {
        match self {
            Registry::Postgres(registry, _) => registry.resume(generation).await,
            Registry::OpenSearch(registry) => registry.resume(generation).await,
        }
    }

    pub(super) async fn finish_load(&self, generation: &Generation) -> Result<Generation, Error> {
        match self {
            Registry::Postgres(registry, _) => registry.finish_load(generation).await,
            Registry::OpenSearch(registry) => registry.finish_load(generation).await,
        }
    }

    pub(super) async fn cancel(&self, generation: &Generation) -> Result<(), Error> {
        match self {
            Registry::Postgres(registry, _) => registry.cancel(generation).await,
            Registry::OpenSearch(registry) => registry.cancel(generation).await,
        }
    }

    /// Who works on the load of a generation, as seen by a process that people know as `by`.
    pub(super) fn claim(
        &self,
        settings: &Settings,
        generation: &Generation,
        by: &str,
    ) -> Result<Claim, Error> {
        Ok(match self {
            Registry::Postgres(_, pool) => {
                Claim::Postgres(postgres::Loads::new(pool.clone(), generation, by))
            }
            Registry::OpenSearch(_) => {
                let names = Names::new(&settings.prefix);
                Claim::OpenSearch(Box::new(opensearch::Loads::new(
                    &settings.opensearch,
                    &names,
                    generation,
                    by,
                )?))
            }
        })
    }
}
