//! Writing rows into tables that nobody reads yet.
//!
//! `COPY`, because nothing is there that a row could meet: the table has no key and no index until it is loaded, and each item
//! comes once. A unit is one transaction with the note that it is done, so that a load that is killed and begun again writes
//! nothing twice.

use std::borrow::Cow;

use anyhow::{Context, Result};
use aqueduct_contract::format_time;
use aqueduct_engine::{Reason, Record, SinkError};
use aqueduct_sync_rds::classify::classify;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Loads, Row, RowMapper, ddl};
use aqueduct_views::{Generation, MappingError};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::unit::{Failed, Outage, Written};

/// The table of a generation that is being built.
pub(super) struct Table {
    pool: PgPool,
    generation: Generation,
    mapper: RowMapper,
    loads: Loads,
    /// One statement a table, in the order of [`ddl::tables`].
    copies: Vec<String>,
}

/// One unit.
pub(super) struct Writing<'t> {
    table: &'t Table,
    transaction: Transaction<'static, Postgres>,
}

impl Table {
    pub(super) fn new(pool: PgPool, generation: &Generation, loads: Loads) -> Result<Table> {
        let view = generation.definition.postgres.as_ref().context("a generation without a table")?;
        Ok(Table {
            pool,
            mapper: RowMapper::new(view),
            copies: ddl::tables(generation).iter().map(copy).collect::<Result<_, _>>()?,
            loads,
            generation: generation.clone(),
        })
    }

    pub(super) async fn begin(&self) -> Result<Writing<'_>, Outage> {
        let mut transaction = self.pool.begin().await.map_err(outage)?;
        // It is idle while the source is read, and while the load rests.
        let patiently = "SET LOCAL idle_in_transaction_session_timeout = 0";
        sqlx::raw_sql(patiently).execute(&mut *transaction).await.map_err(outage)?;
        Ok(Writing { table: self, transaction })
    }

    fn row(&self, record: &Record) -> Result<(Vec<Vec<u8>>, bool), Reason> {
        let item = record.item()?;
        let foreign =
            |error: aqueduct_views::ForeignItem| Reason::new(Reason::EVENT_INVALID, error.to_string());
        self.generation.check_type(&item.key).map_err(foreign)?;
        let row = self.mapper.row(&item).map_err(|error| {
            Reason::new(MappingError::CODE, format!("view {}, {error}", self.generation.view()))
        })?;
        Ok((lines(&row), row.deleted))
    }
}

impl Writing<'_> {
    /// Writes the records that can be written, each of another item.
    pub(super) async fn write(&mut self, records: &[Record]) -> Result<Written, Outage> {
        let mut written = Written::default();
        let mut lines = Vec::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            match self.table.row(record) {
                Ok((of_tables, deleted)) => lines.push(Lines { index, of_tables, deleted }),
                Err(reason) => written.failed.push(Failed { index, reason }),
            }
        }
        // Postgres does not say which row it does not take: halve until it stands alone.
        let mut waiting = vec![lines.as_slice()];
        while let Some(part) = waiting.pop() {
            match copy_in(&mut self.transaction, &self.table.copies, part).await.map_err(classify) {
                Ok(()) => {
                    let deleted = part.iter().filter(|line| line.deleted).count();
                    written.tombstones += deleted as u64;
                    written.rows += (part.len() - deleted) as u64;
                }
                Err(SinkError::Poison(reason)) => match part {
                    [line] => written.failed.push(Failed { index: line.index, reason }),
                    _ => {
                        let (first, second) = part.split_at(part.len() / 2);
                        waiting.extend([second, first]);
                    }
                },
                Err(SinkError::Unavailable(source)) => return Err(Outage(source)),
                Err(other) => return Err(Outage(Box::new(other))),
            }
        }
        Ok(written)
    }

    /// Commits, and with it that the unit is done.
    pub(super) async fn finish(mut self, unit: &str, known: &Value) -> Result<(), Outage> {
        self.table
            .loads
            .note(&mut self.transaction, unit, known)
            .await
            .map_err(|error| Outage(error.into()))?;
        self.transaction.commit().await.map_err(outage)
    }
}

/// An item as `COPY` takes it.
struct Lines {
    index: usize,
    /// Of each table what of it stands there.
    of_tables: Vec<Vec<u8>>,
    deleted: bool,
}

/// All of them or none, within the transaction.
async fn copy_in(
    connection: &mut PgConnection,
    copies: &[String],
    items: &[Lines],
) -> Result<(), sqlx::Error> {
    if items.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql("SAVEPOINT batch").execute(&mut *connection).await?;
    let copied = send(connection, copies, items).await;
    let end = if copied.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch" };
    let ended = sqlx::raw_sql(end).execute(connection).await;
    copied.and(ended.map(drop))
}

async fn send(connection: &mut PgConnection, copies: &[String], items: &[Lines]) -> Result<(), sqlx::Error> {
    for (table, statement) in copies.iter().enumerate() {
        let mut copy = connection.copy_in_raw(statement).await?;
        for items in items.chunks(512) {
            copy.send(items.iter().map(|item| item.of_tables[table].as_slice()).collect::<Vec<_>>().concat())
                .await?;
        }
        copy.finish().await?;
    }
    Ok(())
}

fn outage(error: sqlx::Error) -> Outage {
    Outage(aqueduct_views::Error::from(error).into())
}

fn copy(table: &ddl::Table<'_>) -> Result<String, QuoteError> {
    let names = table.own.iter().map(|(name, _)| *name);
    let names = names.chain(table.columns.iter().map(|column| column.name.as_str()));
    let names = names.map(identifier).collect::<Result<Vec<_>, _>>()?.join(", ");
    Ok(format!("COPY {} ({names}) FROM STDIN", identifier(&table.name)?))
}

/// What of the row stands in each table, in the text format of `COPY`, columns in the order of [`copy`]. Values are as Postgres reads
/// them in a literal, which is what the workers' statements cast.
fn lines(row: &Row<'_>) -> Vec<Vec<u8>> {
    let (version, deleted) = (row.item_version.to_string(), if row.deleted { "t" } else { "f" });
    let (created_at, updated_at) = (format_time(row.created_at), format_time(row.updated_at));
    let own = [row.tenant, row.id, &version, deleted, &created_at, &updated_at];
    let mut of_tables = vec![Vec::new()];
    add_line(&mut of_tables[0], &own, &row.values);
    of_tables.extend(row.children.iter().map(|elements| {
        let mut lines = Vec::new();
        for (position, values) in elements.iter().enumerate() {
            add_line(&mut lines, &[row.tenant, row.id, &position.to_string(), &version], values);
        }
        lines
    }));
    of_tables
}

fn add_line(lines: &mut Vec<u8>, own: &[&str], values: &[Option<Cow<'_, str>>]) {
    let all = own.iter().map(|value| Some(*value)).chain(values.iter().map(Option::as_deref));
    for (column, value) in all.enumerate() {
        if column > 0 {
            lines.push(b'\t');
        }
        match value {
            None => lines.extend_from_slice(br"\N"),
            Some(text) => text.bytes().for_each(|byte| match byte {
                b'\\' => lines.extend_from_slice(br"\\"),
                b'\t' => lines.extend_from_slice(br"\t"),
                b'\n' => lines.extend_from_slice(br"\n"),
                b'\r' => lines.extend_from_slice(br"\r"),
                other => lines.push(other),
            }),
        }
    }
    lines.push(b'\n');
}
