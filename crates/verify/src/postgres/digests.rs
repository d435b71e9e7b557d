//! Digests of a generation's rows: those that Postgres computes, and those that they should be.
//!
//! The text of a row is the same on both sides: the table's place among those of the view, then every column quoted.

use aqueduct_contract::{Tenant, format_time};
use aqueduct_model::ColumnType;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Row, Values, ddl};
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};

use super::rendering::{quote, rendered, timestamp};
use crate::Error;
use crate::buckets::{BITS, Buckets, Share};

/// The bucket of a row.
fn bucket() -> String {
    format!("('x' || left(md5(tenant || '|' || id), {}))::bit({BITS})::integer", BITS / 4)
}

/// Digests of all rows of these tables by bucket, of the tenant `$1` or of all; without tombstones of events at or before `$2`.
pub(super) fn statement(tables: &[ddl::Table<'_>]) -> Result<String, QuoteError> {
    let digested = tables.iter().enumerate().map(|(place, table)| {
        let own = table.own.iter().map(|(name, _)| *name);
        let columns = own.chain(table.columns.iter().map(|column| column.name.as_str()));
        let quoted = columns.map(|column| Ok(format!("quote_nullable({}::text)", identifier(column)?)));
        let quoted = quoted.collect::<Result<Vec<_>, QuoteError>>()?.join(", ");
        // Child tables have no rows of deleted items.
        let is_there = if place == 0 { "NOT (deleted AND updated_at <= $2::timestamptz) IS TRUE" } else { "true" };
        Ok(format!(
            "SELECT {} AS bucket, ('x' || left(md5(concat_ws(',', {place}, {quoted})), 16))::bit(64)::bigint AS digest
             FROM {} WHERE ($1::text IS NULL OR tenant = $1) AND {is_there}",
            bucket(),
            identifier(&table.name)?
        ))
    });
    let digested = digested.collect::<Result<Vec<_>, QuoteError>>()?.join(" UNION ALL ");
    Ok(format!(
        "SELECT bucket, count(*) AS entries, bit_xor(digest) AS digest FROM ({digested}) digested GROUP BY bucket"
    ))
}

/// The keys of all rows of these tables in the buckets `$2`, of the tenant `$1` or of all.
pub(super) fn keys_statement(tables: &[ddl::Table<'_>]) -> Result<String, QuoteError> {
    let of = |table: &ddl::Table<'_>| {
        Ok(format!(
            "SELECT tenant, id FROM {} WHERE ($1::text IS NULL OR tenant = $1) AND {} = ANY($2)",
            identifier(&table.name)?,
            bucket()
        ))
    };
    let all = tables.iter().map(of).collect::<Result<Vec<_>, QuoteError>>()?;
    // An item without a row of its own may have some in a child table.
    Ok(all.join(" UNION "))
}

/// Runs a [`statement`].
pub(super) async fn of_table(
    pool: &PgPool,
    statement: &str,
    tenant: Option<&Tenant>,
    purged_through: Option<Timestamp>,
) -> Result<Buckets, Error> {
    let mut transaction = begin(pool).await?;
    let query = sqlx::query(AssertSqlSafe(statement)).bind(tenant.map(Tenant::as_str));
    let query = query.bind(purged_through.map(format_time));
    let mut buckets = Buckets::default();
    for row in query.fetch_all(&mut *transaction).await? {
        let (bucket, entries, digest): (i32, i64, i64) =
            (row.try_get("bucket")?, row.try_get("entries")?, row.try_get("digest")?);
        let bucket = usize::try_from(bucket).unwrap_or_default();
        buckets.add(bucket, Share { entries: entries.unsigned_abs(), digest: digest.cast_unsigned() });
    }
    Ok(buckets)
}

/// A transaction that reads all of a table, however long that takes, and shows values as [`rendering`](super::rendering) does.
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// What the view gives, of each table: from what [`share`] works out how Postgres shows it.
pub(super) fn types(tables: &[ddl::Table<'_>]) -> Vec<Vec<ColumnType>> {
    tables.iter().map(|table| table.columns.iter().map(|column| column.column_type).collect()).collect()
}

/// What the rows of an item should add to its bucket; `None` when a value's rendering is not known for certain. Columns stand in
/// the order of [`ddl::OWN_COLUMNS`] and [`ddl::CHILD_COLUMNS`].
pub(super) fn share(types: &[Vec<ColumnType>], row: &Row<'_>) -> Option<Share> {
    let (own, children) = types.split_first()?;
    let version = row.item_version.to_string();
    let (created_at, updated_at) = (timestamp(row.created_at)?, timestamp(row.updated_at)?);
    let deleted = if row.deleted { "true" } else { "false" };
    let mut share =
        share_of(0, &[row.tenant, row.id, &version, deleted, &created_at, &updated_at], own, &row.values)?;
    for (place, (columns, rows)) in (1..).zip(children.iter().zip(&row.children)) {
        for (position, values) in rows.iter().enumerate() {
            let position = position.to_string();
            share.add(share_of(place, &[row.tenant, row.id, &position, &version], columns, values)?);
        }
    }
    Some(share)
}

fn share_of(place: usize, own: &[&str], types: &[ColumnType], values: &Values<'_>) -> Option<Share> {
    let mut text = place.to_string();
    for own in own {
        text.push(',');
        quote(Some(own), &mut text);
    }
    for (column_type, value) in types.iter().zip(values) {
        text.push(',');
        match value {
            Some(value) => quote(Some(&rendered(*column_type, value)?), &mut text),
            None => quote(None, &mut text),
        }
    }
    Some(Share::of(text.as_bytes()))
}
