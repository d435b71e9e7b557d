//! What the registries of both stores do alike, for whoever works with either and does not know with which.

use aqueduct_model::Model;

use crate::{Error, Generation, Served, opensearch, postgres};

/// Which generations of which views there are in one store.
pub trait Registry: Clone + Send + Sync + 'static {
    /// Makes generation 1 of every view of the model that is not registered, and returns what is consumed.
    fn ensure(&self, model: &Model) -> impl Future<Output = Result<Served, Error>> + Send;
    /// What is consumed now. Makes nothing, so that it can be asked often.
    fn look(&self, model: &Model) -> impl Future<Output = Result<Served, Error>> + Send;
    /// Every generation, by view and number.
    fn generations(&self) -> impl Future<Output = Result<Vec<Generation>, Error>> + Send;
    /// Has workers leave a generation that was live.
    fn retire(&self, generation: &Generation) -> impl Future<Output = Result<Generation, Error>> + Send;
    /// Drops what a retired generation holds.
    fn drop_retired(&self, generation: &Generation) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A registry as a worker follows it: with the model that the worker was started with.
#[derive(Clone, Debug)]
pub struct Followed<R> {
    registry: R,
    model: Model,
}

impl<R: Registry> Followed<R> {
    /// `registry` beside `model`.
    pub fn new(registry: R, model: Model) -> Followed<R> {
        Followed { registry, model }
    }

    /// [`Registry::ensure`].
    pub async fn ensure(&self) -> Result<Served, Error> {
        self.registry.ensure(&self.model).await
    }

    /// [`Registry::look`].
    pub async fn look(&self) -> Result<Served, Error> {
        self.registry.look(&self.model).await
    }
}

impl Registry for postgres::Registry {
    async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.ensure(model).await
    }

    async fn look(&self, model: &Model) -> Result<Served, Error> {
        self.look(model).await
    }

    async fn generations(&self) -> Result<Vec<Generation>, Error> {
        self.generations().await
    }

    async fn retire(&self, generation: &Generation) -> Result<Generation, Error> {
        self.retire(generation).await
    }

    async fn drop_retired(&self, generation: &Generation) -> Result<(), Error> {
        self.drop_retired(generation).await
    }
}

impl Registry for opensearch::Registry {
    async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.ensure(model).await
    }

    async fn look(&self, model: &Model) -> Result<Served, Error> {
        self.look(model).await
    }

    async fn generations(&self) -> Result<Vec<Generation>, Error> {
        self.generations().await
    }

    async fn retire(&self, generation: &Generation) -> Result<Generation, Error> {
        self.retire(generation).await
    }

    async fn drop_retired(&self, generation: &Generation) -> Result<(), Error> {
        self.drop_retired(generation).await
    }
}
