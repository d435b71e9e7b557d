//! Which generations there are in Postgres: the table `aqueduct_internal.views`.
//!
//! Registration and what is registered are made in one transaction: a registered generation has its table, always.
//! Workers that start at once wait for each other at an advisory lock, and all but the first find the work done.
//!
//! What holds no data (indexes, the public view) is made again when it is missing. A table is not: its events are
//! behind the committed offsets of its group, so an empty one would stay empty. Its sink waits, loudly, until it is
//! back.

use aqueduct_model::{Model, View};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};

use super::ddl;
use super::quote::{QuoteError, identifier};
use crate::{Error, Generation, Served, State, definition};

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

    /// Makes generation 1 of every view of the model that is not registered, and returns what is live. Safe to call by
    /// many at once; calling it again does nothing.
    pub async fn ensure(&self, model: &Model) -> Result<Served, Error> {
        self.migrate().await?;
        let wanted: Vec<View> =
            model.types().flat_map(|of| &of.views).filter_map(definition::in_postgres).collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtext('aqueduct.views'))")
            .execute(&mut *transaction)
            .await?;
        let registered = generations(&mut transaction).await?;
        for view in &wanted {
            if registered.iter().all(|generation| generation.view() != view.name) {
                create_first(&mut transaction, view).await?;
            }
        }
        let mut live = generations(&mut transaction).await?;
        live.retain(|generation| generation.state == State::Live);
        for generation in &live {
            complete(&mut transaction, generation).await?;
        }
        transaction.commit().await?;
        Ok(Served::compare(live, &wanted))
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
    let rows = sqlx::query(
        "SELECT view, generation, state, definition, to_char(created_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created_at \
         FROM aqueduct_internal.views ORDER BY view, generation",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Generation, Error> {
    let view: String = row.try_get("view")?;
    let unreadable = |what: &dyn std::fmt::Display| Error::Registry(format!("view {view}: {what}"));
    let number: i32 = row.try_get("generation")?;
    let created_at: String = row.try_get("created_at")?;
    let definition: Json<serde_json::Value> = row.try_get("definition")?;
    Ok(Generation {
        definition: serde_json::from_value(definition.0).map_err(|error| unreadable(&error))?,
        number: u32::try_from(number).map_err(|error| unreadable(&error))?,
        state: State::read(row.try_get("state")?),
        created_at: created_at.parse().map_err(|error| unreadable(&error))?,
    })
}

async fn create_first(connection: &mut PgConnection, view: &View) -> Result<(), Error> {
    let generation =
        Generation { definition: view.clone(), number: 1, state: State::Live, created_at: Timestamp::now() };
    let table = ddl::table_name(&generation);
    if exists(connection, &generation, &table).await? {
        return Err(Error::Taken { view: view.name.clone(), name: table });
    }
    let name_error = |source| Error::Name { view: view.name.clone(), source };
    execute(connection, ddl::create_table(&generation).map_err(name_error)?).await?;
    execute(connection, ddl::comment_table(&generation).map_err(name_error)?).await?;
    sqlx::query(
        "INSERT INTO aqueduct_internal.views (view, generation, type, state, definition, digest, created_at) \
         VALUES ($1, 1, $2, $3, $4, $5, $6::timestamptz)",
    )
    .bind(&view.name)
    .bind(view.type_name.as_str())
    .bind(State::LIVE)
    .bind(view.definition())
    .bind(definition::digest(view))
    .bind(aqueduct_contract::format_time(generation.created_at))
    .execute(connection)
    .await?;
    tracing::info!(view = view.name, generation = 1, "registered a view and made its table");
    Ok(())
}

/// Makes what a live generation's table should have around it.
async fn complete(connection: &mut PgConnection, generation: &Generation) -> Result<(), Error> {
    let name_error = |source: QuoteError| Error::Name { view: generation.view().to_owned(), source };
    let table = ddl::table_name(generation);
    if !exists(connection, generation, &table).await? {
        tracing::error!(
            view = generation.view(),
            table,
            "the table of this view is gone; its events wait until it is restored from a backup"
        );
        return Ok(());
    }
    for statement in ddl::create_indexes(generation).map_err(name_error)? {
        execute(connection, statement).await?;
    }
    if !exists(connection, generation, generation.view()).await? {
        return execute(connection, ddl::create_public_view(generation).map_err(name_error)?).await;
    }
    let ours: bool =
        sqlx::query_scalar(SHOWS_A_GENERATION).bind(generation.view()).fetch_one(connection).await?;
    if ours {
        Ok(())
    } else {
        Err(Error::Taken { view: generation.view().to_owned(), name: generation.view().to_owned() })
    }
}

/// Whether the SQL view `$1` reads a table of a generation of the view `$1`. Told by what it depends on, since comments
/// and owners are the user's to change.
const SHOWS_A_GENERATION: &str = "SELECT EXISTS (\
    SELECT FROM aqueduct_internal.views g \
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass \
        AND d.refobjid = to_regclass(quote_ident(g.view || '__g' || g.generation)) \
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid \
    WHERE g.view = $1 AND r.ev_class = to_regclass(quote_ident($1)))";

async fn exists(connection: &mut PgConnection, generation: &Generation, name: &str) -> Result<bool, Error> {
    let name =
        identifier(name).map_err(|source| Error::Name { view: generation.view().to_owned(), source })?;
    Ok(sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(name).fetch_one(connection).await?)
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), Error> {
    // Generated by `ddl`, every name through `quote`.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
