//! What the registries of both stores do alike, for whoever works with either and does not know with which.

use aqueduct_model::Model;
use jiff::Timestamp;

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
    /// How many tombstones of events at or before `through` a generation has, or `enough` of them.
    fn tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        enough: u64,
    ) -> impl Future<Output = Result<u64, Error>> + Send;
    /// Notes `through` as how far tombstones may be gone, and returns when no writer is left that does not know.
    fn begin_purge(
        &self,
        generation: &Generation,
        through: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;
    /// Removes them after that. `false` when it has to be begun again to go on.
    fn remove_tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> impl Future<Output = Result<bool, Error>> + Send;
    /// Lets others begin.
    fn end_purge(&self, generation: &Generation) -> impl Future<Output = Result<(), Error>> + Send;
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

    /// Without the model.
    #[must_use]
    pub fn registry(&self) -> &R {
        &self.registry
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

    async fn tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        enough: u64,
    ) -> Result<u64, Error> {
        self.tombstones(generation, through, enough).await
    }

    async fn begin_purge(&self, generation: &Generation, through: Timestamp) -> Result<(), Error> {
        self.begin_purge(generation, through).await
    }

    async fn remove_tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, Error> {
        self.remove_tombstones(generation, through, removed).await
    }

    async fn end_purge(&self, generation: &Generation) -> Result<(), Error> {
        self.end_purge(generation).await
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

    async fn tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        enough: u64,
    ) -> Result<u64, Error> {
        self.tombstones(generation, through, enough).await
    }

    async fn begin_purge(&self, generation: &Generation, through: Timestamp) -> Result<(), Error> {
        self.begin_purge(generation, through).await
    }

    async fn remove_tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, Error> {
        self.remove_tombstones(generation, through, removed).await
    }

    async fn end_purge(&self, generation: &Generation) -> Result<(), Error> {
        self.end_purge(generation).await
    }
}
