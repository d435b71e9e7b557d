//! Which generations there are in Postgres: the table `aqueduct_internal.views`.
//!
//! Registration and what is registered are made in one transaction: a registered generation has its table, always.
//! Workers that start at once wait for each other at an advisory lock, and all but the first find the work done.
//!
//! A change of a generation locks its row, so that two of them come one after the other, and no other generation waits.
//!
//! What holds no data (indexes, the public view) is made again when it is missing. A table is not: its events are
//! behind the committed offsets of its group, so an empty one would stay empty. Its sink waits, loudly, until it is
//! back.

mod building;
mod purge;
mod retire;
mod swap;

use aqueduct_model::{Model, View};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::ddl;
use super::quote::{QuoteError, identifier};
use crate::{Change, Error, Generation, Served, State, definition};

/// The views of one database.
#[derive(Clone, Debug)]
pub struct Registry {
    pool: PgPool,
}

impl Registry {
    /// The registry in `pool`'s database.
    #[must_use]
    pub fn new(pool: PgPool) -> Registry {
        Registry { pool }
    }

    /// Makes generation 1 of every view of the model that is not registered, and returns what is consumed. Safe to call by
    /// many at once; calling it again does nothing.
    pub async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.migrate().await?;
        let wanted = definition::all_in_postgres(model);
        let mut transaction = self.pool.begin().await?;
        lock(&mut transaction).await?;
        let registered = generations(&mut transaction).await?;
        for view in &wanted {
            if registered.iter().all(|generation| generation.view() != view.name) {
                create_first(&mut transaction, view).await?;
            }
        }
        let all = generations(&mut transaction).await?;
        for generation in all.iter().filter(|generation| generation.state == State::Live) {
            complete(&mut transaction, generation).await?;
        }
        transaction.commit().await?;
        Ok(Served::compare(all, &wanted))
    }

    /// What is consumed now, compared with the model. Makes nothing.
    pub async fn look(&self, model: &Model) -> Result<Served, Error> {
        Ok(Served::compare(self.generations().await?, &definition::all_in_postgres(model)))
    }

    async fn migrate(&self) -> Result<(), Error> {
        // The lock that migrations take belongs to the connection. Should they fail, it has to end with it, instead of
        // going back to the pool still locked.
        let alone = self.pool.options().clone().max_connections(1);
        let alone = alone.connect_lazy_with(self.pool.connect_options().as_ref().clone());
        let migrated = migrations().run(&alone).await;
        alone.close().await;
        Ok(migrated?)
    }

    /// Every generation, by view and number. Fails while nothing was ever registered in this database.
    pub async fn generations(&self) -> Result<Vec<Generation>, Error> {
        generations(&mut *self.pool.acquire().await?).await
    }

    /// Every change of state, of one view or of all, the oldest first.
    pub async fn history(&self, view: Option<&str>) -> Result<Vec<Change>, Error> {
        let changes = sqlx::query_scalar(
            "SELECT to_jsonb(c) || jsonb_build_object('from', from_state, 'to', to_state) \
             FROM aqueduct_internal.view_changes c WHERE view = coalesce($1, view) ORDER BY id",
        );
        let changes: Vec<Value> = changes.bind(view).fetch_all(&self.pool).await?;
        let read =
            |change| serde_json::from_value(change).map_err(|error| Error::Registry(error.to_string()));
        changes.into_iter().map(read).collect()
    }
}

/// Waits for others who make generations; until the end of the transaction.
async fn lock(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('aqueduct.views'))").execute(connection).await?;
    Ok(())
}

fn migrations() -> sqlx::migrate::Migrator {
    let mut migrations = sqlx::migrate!();
    // The user may have migrations of their own in this database. The schema is not called `aqueduct`: connections of a
    // role with that name would find it first in their search path, and make the tables of views there.
    migrations.create_schema("aqueduct_internal");
    migrations.dangerous_set_table_name("aqueduct_internal.migrations");
    // While a release is rolled out, workers of the one before find migrations they do not know.
    migrations.set_ignore_missing(true);
    migrations
}

async fn generations(connection: &mut PgConnection) -> Result<Vec<Generation>, Error> {
    // As JSON, so that columns which a release before this one did not make are missing and no error.
    let entries =
        sqlx::query_scalar("SELECT to_jsonb(v) FROM aqueduct_internal.views v ORDER BY view, generation");
    let entries: Vec<Value> = entries.fetch_all(&mut *connection).await?;
    let mut generations: Vec<Generation> =
        entries.into_iter().map(Generation::read).collect::<Result<_, _>>()?;
    // The same holds of a table.
    let is_there = sqlx::query_scalar("SELECT to_regclass('aqueduct_internal.purges') IS NOT NULL");
    if is_there.fetch_one(&mut *connection).await? {
        let purged = sqlx::query_scalar("SELECT to_jsonb(p) FROM aqueduct_internal.purges p");
        for purged in purged.fetch_all(connection).await? {
            let purged: Purged =
                serde_json::from_value(purged).map_err(|error| Error::Registry(error.to_string()))?;
            let of = generations
                .iter_mut()
                .find(|one| one.view() == purged.view && one.number == purged.generation);
            if let Some(generation) = of {
                generation.purged_through = Some(purged.purged_through);
            }
        }
    }
    Ok(generations)
}

/// A row of `aqueduct_internal.purges`.
#[derive(Deserialize)]
struct Purged {
    view: String,
    generation: u32,
    purged_through: Timestamp,
}

async fn create_first(connection: &mut PgConnection, view: &View) -> Result<(), Error> {
    let generation = Generation::new(view.clone(), 1, State::Live);
    register(connection, &generation, "registered").await?;
    for statement in ddl::create_key(&generation).map_err(in_name(&generation))? {
        execute(connection, statement).await?;
    }
    tracing::info!(view = view.name, generation = 1, "registered a view and made its table");
    Ok(())
}

/// Makes the tables of a generation, without key and indexes, and its entry.
async fn register(connection: &mut PgConnection, generation: &Generation, why: &str) -> Result<(), Error> {
    for table in ddl::tables(generation) {
        if exists(connection, generation, &table.name).await? {
            return Err(Error::Taken { view: generation.view().to_owned(), name: table.name });
        }
        for statement in [table.create(), table.comment()] {
            execute(connection, statement.map_err(in_name(generation))?).await?;
        }
    }
    let view = &generation.definition;
    sqlx::query(
        "INSERT INTO aqueduct_internal.views \
         (view, generation, type, state, definition, digest, created_at, changed_at, loaded_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz, $7::timestamptz, $8::timestamptz)",
    )
    .bind(&view.name)
    .bind(i64::from(generation.number))
    .bind(view.type_name.as_str())
    .bind(generation.state.as_str())
    .bind(view.definition())
    .bind(definition::digest(view))
    .bind(aqueduct_contract::format_time(generation.created_at))
    .bind(generation.loaded.map(aqueduct_contract::format_time))
    .execute(&mut *connection)
    .await?;
    note(connection, generation, None, generation.state, why).await
}

/// Writes a change of state into the history.
async fn note(
    connection: &mut PgConnection,
    generation: &Generation,
    from: Option<State>,
    to: State,
    why: &str,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO aqueduct_internal.view_changes (view, generation, from_state, to_state, why) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(generation.view())
    .bind(i64::from(generation.number))
    .bind(from.map(State::as_str))
    .bind(to.as_str())
    .bind(why)
    .execute(connection)
    .await?;
    Ok(())
}

fn in_name(generation: &Generation) -> impl Fn(QuoteError) -> Error {
    |source| Error::Name { view: generation.view().to_owned(), source }
}

/// Makes what a live generation's tables should have around them.
async fn complete(connection: &mut PgConnection, generation: &Generation) -> Result<(), Error> {
    for table in ddl::tables(generation) {
        if !exists(connection, generation, &table.name).await? {
            tracing::error!(
                view = generation.view(),
                table = table.name,
                "the table of this view is gone; its events wait until it is restored from a backup"
            );
            continue;
        }
        for statement in table.create_indexes().map_err(in_name(generation))? {
            execute(connection, statement).await?;
        }
        if !exists(connection, generation, table.public).await? {
            execute(connection, table.create_public_view().map_err(in_name(generation))?).await?;
            continue;
        }
        let ours: bool = sqlx::query_scalar(SHOWS_A_GENERATION)
            .bind(generation.view())
            .bind(table.public)
            .fetch_one(&mut *connection)
            .await?;
        if !ours {
            return Err(Error::Taken { view: generation.view().to_owned(), name: table.public.to_owned() });
        }
    }
    Ok(())
}

/// Whether the SQL view `$2` reads a table of that name of a generation of the view `$1`. Told by what it depends on, since
/// comments and owners are the user's to change.
const SHOWS_A_GENERATION: &str = "SELECT EXISTS (\
    SELECT FROM aqueduct_internal.views g \
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass \
        AND d.refobjid = to_regclass(quote_ident($2 || '__g' || g.generation)) \
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
    WHERE g.view = $1 AND r.ev_class = to_regclass(quote_ident($2)))";

async fn exists(connection: &mut PgConnection, generation: &Generation, name: &str) -> Result<bool, Error> {
    let name = identifier(name).map_err(in_name(generation))?;
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(name).fetch_one(connection).await?)
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), Error> {
    // Generated by `ddl`, every name through `quote`.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
