//! The two registries as a rebuild uses them: what is one word in one store is the same word in the other.

use aqueduct_contract::Names;
use aqueduct_model::{Model, Type, View};
use aqueduct_service::Settings;
use aqueduct_views::load::Claim;
use aqueduct_views::{Error, Generation, definition, opensearch, postgres};
use sqlx::PgPool;

use crate::swap::Store;

/// What the model wants in a store.
pub(super) fn wanted(store: Store, model: &Model) -> Vec<View> {
    let half = |of: &Type, view: &View| match store {
        Store::Postgres => definition::in_postgres(view),
        Store::OpenSearch => definition::in_opensearch(of, view),
    };
    model.types().flat_map(|of| of.views.iter().filter_map(move |view| half(of, view))).collect()
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
            Store::OpenSearch => {
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
