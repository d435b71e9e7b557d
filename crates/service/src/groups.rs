//! The consumer groups of a fleet: one over all types that keeps the `data` table, one for each generation of a view.
//!
//! All of them hold the state of items: each can read its topics again without harm. Groups that cause something, once,
//! for every event do not belong in this list.

use aqueduct_contract::{Names, TypeName, Worker};
pub use aqueduct_engine::Group;
use aqueduct_views::{Error, Generation, opensearch, postgres};

use crate::Settings;

/// The groups of one fleet, as the registries of its views list them.
pub struct Groups {
    names: Names,
    types: Vec<TypeName>,
    postgres: postgres::Registry,
    opensearch: opensearch::Registry,
}

/// A group and the generation that it keeps; none for the `data` table.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The group.
    pub group: Group,
    /// What it keeps.
    pub generation: Option<Generation>,
}

/// The group `data` over the events of `types`: one for all, because they share the table and its limits.
#[must_use]
pub fn data_group<'a>(names: &Names, types: impl IntoIterator<Item = &'a TypeName>) -> Group {
    Group {
        id: names.data_group(),
        worker: Worker::Projector,
        sink: "data".to_owned(),
        topics: types.into_iter().map(|name| names.events_topic(name)).collect(),
    }
}

/// The group of one generation.
#[must_use]
pub fn view_group(names: &Names, worker: Worker, generation: &Generation) -> Group {
    Group {
        id: names.view_group(worker, generation.view(), generation.number),
        worker,
        sink: generation.sink(),
        topics: vec![names.events_topic(&generation.definition.type_name)],
    }
}

impl Groups {
    /// The groups of the fleet with these settings, whose model has `types`. Connects when it is asked.
    pub fn new(settings: &Settings, types: impl IntoIterator<Item = TypeName>) -> Result<Groups, Error> {
        let names = Names::new(&settings.prefix);
        Ok(Groups {
            types: types.into_iter().collect(),
            postgres: postgres::Registry::new(settings.postgres.connect_lazy()?),
            opensearch: opensearch::Registry::new(&settings.opensearch, &names)?,
            names,
        })
    }

    /// All of them. Fails while nothing was ever registered: `aqueduct setup` does.
    pub async fn all(&self) -> Result<Vec<Listed>, Error> {
        let (tables, indexes) = tokio::try_join!(self.of(Worker::SyncRds), self.of(Worker::SyncSearch))?;
        let data = self.of(Worker::Projector).await?;
        Ok(data.into_iter().chain(tables).chain(indexes).collect())
    }

    /// Those of one worker, which one server alone knows: of its views, the generations that are consumed.
    pub async fn of(&self, worker: Worker) -> Result<Vec<Listed>, Error> {
        let generations = match worker {
            Worker::Projector => {
                return Ok(vec![Listed { group: data_group(&self.names, &self.types), generation: None }]);
            }
            Worker::SyncRds => self.postgres.generations().await?,
            Worker::SyncSearch => self.opensearch.generations().await?,
        };
        let listed = |generation: Generation| Listed {
            group: view_group(&self.names, worker, &generation),
            generation: Some(generation),
        };
        Ok(generations.into_iter().filter(Generation::is_consumed).map(listed).collect())
    }
}
