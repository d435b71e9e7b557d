//! Removing tombstones that are old enough.
//!
//! Nothing says where they stand: an index for them would cost every update of every row. So the table is read block by block,
//! as it lies on the disk, and a purge rests as long as it has worked.

use std::time::Instant;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::building::locked;
use super::{Registry, execute, in_name};
use crate::postgres::ddl;
use crate::postgres::quote::identifier;
use crate::tombstones::{CLAIM, SHIFT};
use crate::{Error, Generation};

/// Blocks of one statement, 8 KiB each: ten thousand rows or two.
const BLOCKS: i64 = 256;
/// How long the note waits for writers; they wait behind it meanwhile.
const LOCK: &str = "SET LOCAL lock_timeout = '3s'";

impl Registry {
    /// How many tombstones of events at or before `through` a generation has. It looks no further once they are `enough`.
    pub async fn tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        enough: u64,
    ) -> Result<u64, Error> {
        let count = |table: &str, blocks: &str| {
            format!(
                "SELECT count(*) FROM {table} WHERE {blocks} AND deleted AND updated_at <= $1::timestamptz"
            )
        };
        let mut found = 0;
        let mut from = 0;
        while let Some(statement) = self.of_blocks(generation, from, count).await? {
            let begun = Instant::now();
            let query = sqlx::query_scalar(AssertSqlSafe(statement)).persistent(false);
            let counted: i64 =
                query.bind(aqueduct_contract::format_time(through)).fetch_one(&self.pool).await?;
            found += counted.unsigned_abs();
            if found >= enough {
                break;
            }
            from += BLOCKS;
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(found)
    }

    /// Notes that tombstones of events at or before `through` may be gone from now on, and that this process removes them; returns
    /// once every writer of the generation knows. [`Error::Purging`] while another process does.
    pub async fn begin_purge(&self, generation: &Generation, through: Timestamp) -> Result<(), Error> {
        let mut transaction = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        execute(&mut transaction, LOCK.to_owned()).await?;
        let busy = |error: Error| match error {
            Error::Postgres(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("55P03") => {
                Error::Locked { view: generation.view().to_owned() }
            }
            other => other,
        };
        // Before the table, as a swap does.
        let found = locked(&mut transaction, generation).await.map_err(busy)?;
        if !found.is_consumed() {
            return Err(Error::state(&found, format!("is {}: no worker keeps it", found.state)));
        }
        let noted = sqlx::query(
            "INSERT INTO aqueduct_internal.purges AS p (view, generation, purged_through, until) \
             VALUES ($1, $2, $3::timestamptz, clock_timestamp() + $4 * interval '1 second') \
             ON CONFLICT (view, generation) DO UPDATE SET until = excluded.until, \
             purged_through = greatest(p.purged_through, excluded.purged_through) \
             WHERE coalesce(p.until < clock_timestamp(), true)",
        )
        .bind(found.view())
        .bind(i64::from(found.number))
        .bind(aqueduct_contract::format_time(through))
        .bind(CLAIM.as_secs_f64())
        .execute(&mut *transaction)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(Error::Purging { view: found.view().to_owned(), number: found.number });
        }
        // A batch that holds its lock by now is waited for; one that gets it later takes its snapshot after that.
        let table = identifier(&ddl::table_name(&found)).map_err(in_name(&found))?;
        execute(&mut transaction, format!("LOCK TABLE {table} IN SHARE MODE")).await.map_err(busy)?;
        Ok(transaction.commit().await?)
    }

    /// Removes the tombstones of events at or before `through`, which [`begin_purge`](Registry::begin_purge) noted; `removed` hears of
    /// each batch. `false` when it ended early, because others may take the generation to be free by then.
    pub async fn remove_tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, Error> {
        // Rows that somebody writes at this moment are passed over, so that nobody waits for a purge that waits for them.
        let delete = |table: &str, blocks: &str| {
            format!(
                "DELETE FROM {table} WHERE deleted AND updated_at <= $1::timestamptz AND ctid = ANY (ARRAY(\
                 SELECT ctid FROM {table} WHERE {blocks} AND deleted AND updated_at <= $1::timestamptz \
                 FOR UPDATE SKIP LOCKED))"
            )
        };
        let start = Instant::now();
        let mut from = 0;
        while let Some(statement) = self.of_blocks(generation, from, delete).await? {
            let begun = Instant::now();
            let mut transaction = self.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
            let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
            let query = query.bind(aqueduct_contract::format_time(through));
            let deleted = query.execute(&mut *transaction).await?.rows_affected();
            transaction.commit().await?;
            removed(deleted);
            from += BLOCKS;
            if start.elapsed() > SHIFT {
                return Ok(false);
            }
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(true)
    }

    /// Lets others remove tombstones of the generation.
    pub async fn end_purge(&self, generation: &Generation) -> Result<(), Error> {
        sqlx::query("UPDATE aqueduct_internal.purges SET until = NULL WHERE view = $1 AND generation = $2")
            .bind(generation.view())
            .bind(i64::from(generation.number))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A statement about the next blocks of a generation's own table, its name quoted; `None` behind the last. Child tables have
    /// no rows of deleted items.
    async fn of_blocks(
        &self,
        generation: &Generation,
        from: i64,
        statement: impl Fn(&str, &str) -> String,
    ) -> Result<Option<String>, Error> {
        let table = identifier(&ddl::table_name(generation)).map_err(in_name(generation))?;
        let blocks: Option<i64> = sqlx::query_scalar(
            "SELECT pg_relation_size(to_regclass($1)) / current_setting('block_size')::bigint",
        )
        .bind(&table)
        .fetch_one(&self.pool)
        .await?;
        let blocks = blocks.ok_or_else(|| Error::state(generation, "has lost its table"))?;
        let range = format!("ctid >= '({from},0)'::tid AND ctid < '({},0)'::tid", from + BLOCKS);
        Ok((from < blocks).then(|| statement(&table, &range)))
    }
}
