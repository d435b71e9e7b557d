//! The swap: readers see one generation up to a moment and another from then on.
//!
//! ```text
//! refuse what would not survive · wait for readers that began before
//! BEGIN
//!   LOCK the live tables IN SHARE MODE      writers of the live generation wait, readers do not
//!   the other group commits what the topics hold now
//!   DROP VIEW, CREATE VIEW                  with what was given to the old one
//!   registry: live → previous, other → live
//! COMMIT
//! ```
//!
//! The lock is what pauses the live generation. No worker has to hear of it or to answer, so neither a dead one, nor one that
//! woke up after an hour, nor one with an old registry can break it: whatever stands in the live tables once the lock is had
//! comes from records below the ends of the topics as they are read then, and nothing is added until the swap is over. A
//! process that dies ends its session and with it the lock; of one that hangs the server ends it
//! (`idle_in_transaction_session_timeout`). Nothing is left to clean up.
//!
//! A transaction that began reading before the new generation was level sees it as it was then: at REPEATABLE READ rows could
//! be missing. So the switch waits until every snapshot from before has ended. Those are told by when their transaction began,
//! not by `backend_xmin`, which any long write holds back for all. Prepared transactions read nothing any more, so they do
//! not count. Sessions of other users are seen by members of `pg_read_all_stats` alone.
//!
//! `DROP` and `CREATE`, because a view cannot be replaced by one with other columns. What was given to the old view (owner,
//! privileges, options, comments) is given to the new one, grants by their owner; what cannot be made again refuses the swap,
//! with a list. A grant on the table of the live generation is given to the other's, since a view with `security_invoker`
//! needs it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tokio::time::{Instant, sleep, timeout_at};

use super::building::locked;
use super::{Registry, execute, exists, in_name, lock, note};
use crate::postgres::ddl;
use crate::postgres::quote::identifier;
use crate::swap::{Patience, Reason};
use crate::{Error, Generation, State};

/// Longer than it takes Postgres to end an autovacuum that is in the way: `deadlock_timeout`.
const TABLE_LOCK: Duration = Duration::from_secs(3);
/// How long new readers wait behind us for those that read now.
const VIEW_LOCK: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(100);
/// No session. 0 would stand for prepared transactions.
const NOBODY: i32 = -1;

/// A generation's table and the public view over it. Names are quoted, but for `name`, which is the public one.
struct Table {
    physical: String,
    name: String,
    public: String,
    create_public: String,
}

impl Registry {
    /// Makes `to` what readers see. It is loaded and building, or was live before. `level` is awaited while writes to the live
    /// generation are held up: it ends once the group of `to` has committed what the topics hold by then. Whatever fails,
    /// and whenever the process dies, either all of it has happened or nothing.
    pub async fn swap(
        &self,
        to: &Generation,
        reason: Reason,
        patience: Patience,
        level: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let to = self.get(to).await?;
        let live = self.live_beside(&to).await?;
        let (old, new) = (tables(&live)?, tables(&to)?);
        let mut connection = self.pool.acquire().await?;
        for table in &old {
            no_dependants(&mut connection, &live, table).await?;
        }
        for table in &new {
            self.same_security(&mut connection, &to, &old, table).await?;
        }
        drop(connection);
        self.snapshots_ended(NOBODY, Instant::now() + patience.before).await?;

        let deadline = Instant::now() + patience.held;
        let mut transaction = self.pool.begin().await?;
        self.limits(&mut transaction, patience.held).await?;
        // Nobody who starts makes a public view meanwhile.
        lock(&mut transaction).await?;
        // In the order of numbers, as everybody who locks two would.
        let (first, second) = if live.number < to.number { (&live, &to) } else { (&to, &live) };
        let (first, second) =
            (locked(&mut transaction, first).await?, locked(&mut transaction, second).await?);
        let unchanged = |one: &Generation| {
            [&live, &to].iter().any(|read| read.number == one.number && read.state == one.state)
        };
        if !unchanged(&first) || !unchanged(&second) {
            return Err(Error::state(&to, "was changed by somebody else at the same time: look again"));
        }
        let names: Vec<String> = old.iter().map(|table| table.physical.clone()).collect();
        let hold = format!("LOCK TABLE {} IN SHARE MODE", names.join(", "));
        retry(&mut transaction, TABLE_LOCK, deadline, vec![hold], &live).await?;
        timeout_at(deadline, level).await.map_err(|_| behind(&to))??;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await?;
        self.snapshots_ended(pid, deadline).await?;
        switch(&mut transaction, &live, (&old, &new), deadline).await?;
        change(&mut transaction, &live, State::Previous, reason).await?;
        change(&mut transaction, &to, State::Live, reason).await?;
        transaction.commit().await?;
        tracing::info!(view = to.view(), from = live.number, to = to.number, "swapped in Postgres");
        Ok(())
    }

    /// What is live where `to` can be.
    async fn live_beside(&self, to: &Generation) -> Result<Generation, Error> {
        crate::swap::can_be_live(to)?;
        let all = self.generations().await?;
        let live = all.into_iter().find(|one| one.view() == to.view() && one.state == State::Live);
        live.ok_or_else(|| Error::Unregistered(to.view().to_owned()))
    }

    async fn limits(&self, connection: &mut PgConnection, held: Duration) -> Result<(), Error> {
        // Should this process hang, the server ends the session, and with it the lock.
        let idle = held.as_millis() + 5_000;
        let limits = format!(
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = {idle}"
        );
        execute(connection, limits).await
    }

    /// Returns when nobody but the session `own` reads as of a moment before now.
    async fn snapshots_ended(&self, own: i32, deadline: Instant) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let now: String =
            sqlx::query_scalar("SELECT clock_timestamp()::text").fetch_one(&mut *connection).await?;
        loop {
            let sessions: Vec<String> = sqlx::query_scalar(include_str!("swap/snapshots.sql"))
                .bind(&now)
                .bind(own)
                .fetch_all(&mut *connection)
                .await?;
            if sessions.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::Reading { sessions });
            }
            sleep(PAUSE).await;
        }
    }

    /// Row security that readers of the live table are held to must be there on the other's, too.
    async fn same_security(
        &self,
        connection: &mut PgConnection,
        to: &Generation,
        old: &[Table],
        table: &Table,
    ) -> Result<(), Error> {
        let Some(old) = old.iter().find(|old| old.public == table.public) else { return Ok(()) };
        let lost: bool = sqlx::query_scalar(
            "SELECT old.relrowsecurity AND NOT new.relrowsecurity FROM pg_class old, pg_class new \
             WHERE old.oid = $1::text::regclass AND new.oid = $2::text::regclass",
        )
        .bind(&old.physical)
        .bind(&table.physical)
        .fetch_one(connection)
        .await?;
        if lost {
            let why = format!(
                "has no row security on {}, which {} has: enable it and make its policies, then swap",
                table.physical, old.physical
            );
            return Err(Error::state(to, why));
        }
        Ok(())
    }
}

/// The tables of a generation; its own first, then those of its children, always in this order.
fn tables(generation: &Generation) -> Result<Vec<Table>, Error> {
    let read = |table: &ddl::Table<'_>| {
        Ok(Table {
            physical: identifier(&table.name)?,
            name: table.public.to_owned(),
            public: identifier(table.public)?,
            create_public: table.create_public_view()?,
        })
    };
    ddl::tables(generation).iter().map(read).collect::<Result<_, _>>().map_err(in_name(generation))
}

async fn no_dependants(connection: &mut PgConnection, live: &Generation, table: &Table) -> Result<(), Error> {
    let found: Vec<String> = sqlx::query_scalar(include_str!("swap/dependants.sql"))
        .bind(&table.public)
        .fetch_all(connection)
        .await?;
    if found.is_empty() { Ok(()) } else { Err(Error::Dependants { view: live.view().to_owned(), found }) }
}

/// Makes the public views anew over the tables of another generation.
async fn switch(
    transaction: &mut Transaction<'_, Postgres>,
    live: &Generation,
    (old, new): (&[Table], &[Table]),
    deadline: Instant,
) -> Result<(), Error> {
    let aside = |table: &Table| identifier(&format!("aqueduct_{}", table.name));
    let mut renames = Vec::new();
    for table in old {
        let name = aside(table).map_err(in_name(live))?;
        renames.push(format!("ALTER VIEW IF EXISTS {} RENAME TO {name}", table.public));
    }
    // This is where readers are waited for: what follows has its locks already.
    retry(transaction, VIEW_LOCK, deadline, renames, live).await?;
    for table in new {
        if exists(transaction, live, &table.name).await? {
            return Err(Error::Taken { view: live.view().to_owned(), name: table.name.clone() });
        }
        execute(transaction, table.create_public.clone()).await?;
        let Some(before) = old.iter().find(|old| old.public == table.public) else { continue };
        let name = aside(before).map_err(in_name(live))?;
        inherit(transaction, &name, &table.public).await?;
        inherit(transaction, &before.physical, &table.physical).await?;
    }
    for table in old {
        let drop = format!("DROP VIEW IF EXISTS {}", aside(table).map_err(in_name(live))?);
        execute(transaction, drop).await?;
    }
    Ok(())
}

/// Gives the relation `new` what `old` was given. Without `old`, nothing.
async fn inherit(connection: &mut PgConnection, old: &str, new: &str) -> Result<(), Error> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(old)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(());
    }
    // First: privileges are those of the owner to give. A table stays whose it is, since its worker drops it one day.
    let owner: Option<String> = sqlx::query_scalar(
        "SELECT format('ALTER VIEW %s OWNER TO %s', new.oid::regclass, old.relowner::regrole) \
         FROM pg_class old, pg_class new WHERE old.oid = $1::text::regclass AND new.oid = $2::text::regclass \
         AND new.relkind = 'v' AND old.relowner <> new.relowner",
    )
    .bind(old)
    .bind(new)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(owner) = owner {
        execute(connection, owner).await?;
    }
    let statements: Vec<String> = sqlx::query_scalar(include_str!("swap/inherit.sql"))
        .bind(old)
        .bind(new)
        .fetch_all(&mut *connection)
        .await?;
    for statement in statements {
        execute(connection, statement).await?;
    }
    Ok(())
}

/// Tries statements until their locks are had, each time for `wait`, so that nobody waits behind us for longer.
async fn retry(
    transaction: &mut Transaction<'_, Postgres>,
    wait: Duration,
    deadline: Instant,
    statements: Vec<String>,
    live: &Generation,
) -> Result<(), Error> {
    let together = format!("SET LOCAL lock_timeout = {}; {}", wait.as_millis(), statements.join("; "));
    loop {
        // Undone alone, so that the transaction goes on.
        let mut attempt = transaction.begin().await?;
        match sqlx::raw_sql(AssertSqlSafe(together.clone())).execute(&mut *attempt).await {
            Ok(_) => {
                attempt.commit().await?;
                return Ok(());
            }
            Err(error) if is(&error, "55P03") && Instant::now() < deadline => {
                attempt.rollback().await?;
                sleep(PAUSE).await;
            }
            Err(error) if is(&error, "55P03") => {
                return Err(Error::Locked { view: live.view().to_owned() });
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn change(
    connection: &mut PgConnection,
    generation: &Generation,
    to: State,
    reason: Reason,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE aqueduct_internal.views SET state = $3, changed_at = clock_timestamp() \
         WHERE view = $1 AND generation = $2",
    )
    .bind(generation.view())
    .bind(i64::from(generation.number))
    .bind(to.as_str())
    .execute(&mut *connection)
    .await?;
    note(connection, generation, Some(generation.state), to, reason.as_str()).await
}

fn behind(to: &Generation) -> Error {
    Error::Behind { view: to.view().to_owned(), number: to.number, why: "time is up".to_owned() }
}

fn is(error: &sqlx::Error, state: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == state)
}
