//! A generation from its beginning until it is loaded, or given up.
//!
//! Each step is one transaction: it is done or it is not, whenever its process dies, and can be done again.

use aqueduct_model::View;

use super::{Registry, execute, generations, in_name, lock, note, register};
use crate::postgres::ddl;
use crate::{Error, Generation, State};

impl Registry {
    /// Begins the next generation of a registered view: its tables, without key and indexes, empty. No worker consumes it until
    /// [`finish_load`](Registry::finish_load). Of several who begin at once one does; the others get [`Error::Building`].
    pub async fn begin(&self, view: &View) -> Result<Generation, Error> {
        self.migrate().await?;
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let all = generations(&mut transaction).await?;
        let mut own = all.into_iter().filter(|generation| generation.view() == view.name).peekable();
        if own.peek().is_none() {
            return Err(Error::Unregistered(view.name.clone()));
        }
        if let Some(building) = own.find(|generation| generation.state == State::Building) {
            return Err(Error::Building { store: "Postgres", generation: Box::new(building) });
        }
        let highest: i32 = sqlx::query_scalar(
            "SELECT max(generation) FROM (SELECT view, generation FROM aqueduct_internal.views \
             UNION ALL SELECT view, generation FROM aqueduct_internal.view_changes) AS ever WHERE view = $1",
        )
        .bind(&view.name)
        .fetch_one(&mut *transaction)
        .await?;
        // The registry takes numbers above zero alone.
        let definition = View { opensearch: None, ..view.clone() };
        let generation = Generation::new(definition, highest.unsigned_abs() + 1, State::Building);
        register(&mut transaction, &generation, "begun").await?;
        transaction.commit().await?;
        tracing::info!(view = view.name, generation = generation.number, "began a generation in Postgres");
        self.get(&generation).await
    }

    /// Makes what a [`begin`](Registry::begin) that was cut off has left unmade: nothing, since it is one transaction. Fails when
    /// the generation is not being built, or its table is gone.
    pub async fn resume(&self, generation: &Generation) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let found = self.get(generation).await?;
        if found.state != State::Building {
            return Err(Error::state(&found, format!("is {}, not being built", found.state)));
        }
        for table in ddl::tables(&found) {
            if !super::exists(&mut connection, generation, &table.name).await? {
                return Err(Error::state(&found, "has lost its table: cancel it and begin again"));
            }
        }
        Ok(())
    }

    /// Ends the load: makes keys and indexes and looks at the values once for the planner. From then on workers consume the
    /// generation, so its group has to have its offsets before. Takes as long as the indexes take; does nothing the second time.
    pub async fn finish_load(&self, generation: &Generation) -> Result<Generation, Error> {
        let mut transaction = self.pool.begin().await?;
        // An index takes as long as its table is large.
        execute(&mut transaction, "SET LOCAL statement_timeout = 0".to_owned()).await?;
        let found = locked(&mut transaction, generation).await?;
        match found.state {
            State::Building if found.loaded.is_some() => return Ok(found),
            State::Building => {}
            other => return Err(Error::state(&found, format!("is {other}, not being built"))),
        }
        let keys = ddl::create_key(&found).map_err(in_name(&found))?;
        let indexes = ddl::create_indexes(&found).map_err(in_name(&found))?;
        let analyze = ddl::analyze(&found).map_err(in_name(&found))?;
        for statement in keys.into_iter().chain(indexes).chain(analyze) {
            execute(&mut transaction, statement).await?;
        }
        sqlx::query(
            "UPDATE aqueduct_internal.views SET loaded_at = clock_timestamp() WHERE view = $1 AND generation = $2",
        )
        .bind(found.view())
        .bind(i64::from(found.number))
        .execute(&mut *transaction)
        .await?;
        note(&mut transaction, &found, Some(State::Building), State::Building, "loaded").await?;
        transaction.commit().await?;
        self.get(&found).await
    }

    /// Gives up what is being built: its tables and its entry are gone, the history stays. Does nothing the second time.
    pub async fn cancel(&self, generation: &Generation) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let found = match locked(&mut transaction, generation).await {
            Err(Error::State { .. }) => return Ok(()),
            found => found?,
        };
        if found.state != State::Building {
            return Err(Error::state(&found, format!("is {}, not being built", found.state)));
        }
        for statement in ddl::drop_tables(&found).map_err(in_name(&found))? {
            execute(&mut transaction, statement).await?;
        }
        sqlx::query("DELETE FROM aqueduct_internal.views WHERE view = $1 AND generation = $2")
            .bind(found.view())
            .bind(i64::from(found.number))
            .execute(&mut *transaction)
            .await?;
        note(&mut transaction, &found, Some(State::Building), State::Cancelled, "cancelled").await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A generation as it is registered now.
    pub(super) async fn get(&self, generation: &Generation) -> Result<Generation, Error> {
        let all = self.generations().await?;
        let found = all.into_iter().find(|one| one.sink() == generation.sink());
        found.ok_or_else(|| Error::state(generation, "is not registered"))
    }
}

/// The same, with its entry locked until the end of the transaction.
pub(super) async fn locked(
    connection: &mut sqlx::PgConnection,
    generation: &Generation,
) -> Result<Generation, Error> {
    let entry = sqlx::query_scalar(
        "SELECT to_jsonb(v) FROM aqueduct_internal.views v WHERE view = $1 AND generation = $2 FOR UPDATE",
    );
    let entry = entry.bind(generation.view()).bind(i64::from(generation.number));
    let entry: Option<serde_json::Value> = entry.fetch_optional(connection).await?;
    entry.map(Generation::read).ok_or_else(|| Error::state(generation, "is not registered"))?
}
