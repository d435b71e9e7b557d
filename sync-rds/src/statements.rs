//! What writes a batch of rows: one statement.
//!
//! ```sql
//! WITH purged AS (SELECT … AS through FROM aqueduct_internal.purges …), applied AS (
//!   INSERT INTO "orders__g1" AS t (…) SELECT … FROM (SELECT unnest($1::text[]), …) WHERE updated_at > through
//!   ON CONFLICT (tenant, id) DO UPDATE SET … WHERE t.item_version < excluded.item_version
//!   RETURNING t.tenant, t.id
//! )
//! SELECT number, through, tenant, id FROM (SELECT count(*) AS number FROM applied) AS counted LEFT JOIN applied ON number < …
//! ```
//!
//! Arrays are unnested side by side in a `SELECT`, which Postgres does as it goes: as functions in `FROM` each would be stored first.
//!
//! One statement, whatever the number of rows, so that it is prepared once a connection. The guard makes any order and any
//! repetition of batches end in the latest version; what comes back tells applied from stale. Mostly all or none are applied: then
//! one row says so, and no keys travel.
//!
//! What is from before tombstones were removed (`aqueduct_views::tombstones`) creates no row: a second statement updates the rows that
//! there are. It is needed only when events come again that are a day old.
//!
//! A view with child tables takes several, in one transaction: see [`children`].

mod children;

use std::collections::HashSet;
use std::sync::Arc;

use aqueduct_contract::Guard;
use aqueduct_views::Generation;
use aqueduct_views::postgres::quote::{QuoteError, identifier, literal};
use aqueduct_views::postgres::{Row, ddl};
use jiff::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool, Postgres};

use self::children::Replacement;

/// The rows of a batch that were newer than what the table held.
#[derive(Debug)]
pub enum Applied {
    /// Every one.
    All,
    /// Some.
    Of {
        /// Those that were.
        newer: HashSet<Key>,
        /// Those that the table has nothing of, and that may not create it.
        refused: HashSet<Key>,
        /// Up to which moment tombstones may be gone, when any may.
        purged_through: Option<Timestamp>,
    },
}

/// A tenant and an id.
pub type Key = (String, String);

impl Applied {
    /// Whether `row`, one of the batch, was newer.
    #[must_use]
    pub fn contains(&self, row: &Row<'_>) -> bool {
        match self {
            Applied::All => true,
            Applied::Of { newer, .. } => newer.contains(&key(row)),
        }
    }

    /// Up to which moment tombstones may be gone, where `row` was kept out because its own may be among them.
    #[must_use]
    pub fn refused(&self, row: &Row<'_>) -> Option<Timestamp> {
        match self {
            Applied::Of { refused, purged_through, .. } if refused.contains(&key(row)) => *purged_through,
            _ => None,
        }
    }
}

fn key(row: &Row<'_>) -> Key {
    (row.tenant.to_owned(), row.id.to_owned())
}

/// What writes the rows of one generation.
#[derive(Clone, Debug)]
pub struct Statements {
    upsert: Upsert,
    /// In the order of the view.
    children: Vec<Replacement>,
}

impl Statements {
    /// Those for `generation`.
    pub fn new(generation: &Generation, guard: Guard) -> Result<Statements, QuoteError> {
        let tables = ddl::tables(generation);
        let children = tables.iter().skip(1).map(Replacement::new).collect::<Result<_, _>>()?;
        Ok(Statements { upsert: Upsert::new(generation, guard)?, children })
    }

    /// Writes rows of different keys, with their children, and tells which of them were newer than what the table held.
    pub async fn execute(&self, pool: &PgPool, rows: Vec<&Row<'_>>) -> Result<Applied, sqlx::Error> {
        if self.children.is_empty() || rows.is_empty() {
            let mut connection = pool.acquire().await?;
            return self.upsert.execute(&mut connection, rows).await;
        }
        // Whatever the database's default is. Above it, a statement would not see what another transaction committed while
        // the one before waited for its lock.
        let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let applied = self.upsert.execute(&mut transaction, rows.clone()).await?;
        let changed: Vec<&Row<'_>> = rows.into_iter().filter(|row| applied.contains(row)).collect();
        if !changed.is_empty() {
            for (child, replacement) in self.children.iter().enumerate() {
                replacement.execute(&mut transaction, &changed, child).await?;
            }
        }
        transaction.commit().await?;
        Ok(applied)
    }
}

/// The upsert of one generation's table.
#[derive(Clone, Debug)]
pub struct Upsert {
    sql: Arc<str>,
    /// For rows from before tombstones were removed.
    update: Arc<str>,
}

/// As what a table's own columns are sent and what is made of it, in the order of [`ddl::OWN_COLUMNS`]. Times go as microseconds,
/// which Postgres need not read from text.
const OWN_PARAMETERS: [(&str, &str); 6] = [
    ("text", ""),
    ("text", ""),
    ("bigint", ""),
    ("boolean", ""),
    ("bigint", " * interval '1 microsecond' + timestamptz 'epoch'"),
    ("bigint", " * interval '1 microsecond' + timestamptz 'epoch'"),
];

/// `tenant` and `id`, first of [`ddl::OWN_COLUMNS`].
const KEY_COLUMNS: usize = 2;

/// One column of the statement.
struct Parameter {
    /// The column, quoted.
    name: String,
    sent_as: &'static str,
    /// What stands behind the value.
    conversion: String,
}

impl Upsert {
    /// The statement for `generation`.
    pub fn new(generation: &Generation, guard: Guard) -> Result<Upsert, QuoteError> {
        let own = ddl::OWN_COLUMNS.iter().zip(OWN_PARAMETERS);
        let own = own.map(|((name, _), (sent_as, conversion))| (*name, sent_as, conversion.to_owned()));
        let columns = generation.definition.postgres.iter().flat_map(|view| &view.columns);
        let columns =
            columns.map(|column| (column.name.as_str(), "text", format!("::{}", column.column_type)));
        let parameters: Vec<Parameter> = own
            .chain(columns)
            .map(|(name, sent_as, conversion)| Ok(Parameter { name: identifier(name)?, sent_as, conversion }))
            .collect::<Result<_, _>>()?;

        let table = identifier(&ddl::table_name(generation))?;
        let list = |each: &dyn Fn(usize, &Parameter) -> String, after: usize| {
            let each = |(index, parameter): (usize, &Parameter)| each(index + 1, parameter);
            parameters.iter().enumerate().skip(after).map(each).collect::<Vec<_>>().join(", ")
        };
        let names = list(&|_, parameter| parameter.name.clone(), 0);
        let values = list(&|number, parameter| format!("c{number}{}", parameter.conversion), 0);
        let arrays =
            list(&|number, parameter| format!("unnest(${number}::{}[]) AS c{number}", parameter.sent_as), 0);
        let updates = list(&|_, Parameter { name, .. }| format!("{name} = excluded.{name}"), KEY_COLUMNS);
        let changes = list(
            &|number, Parameter { name, conversion, .. }| format!("{name} = c{number}{conversion}"),
            KEY_COLUMNS,
        );
        // A repair writes what the event store says is the latest version: nothing is too old for it.
        let (older, purged) = match guard {
            Guard::Older => ("<", "max(purged_through)"),
            Guard::OlderOrSame => ("<=", "NULL::timestamptz"),
        };
        let (view, number) = (literal(generation.view())?, generation.number);
        let sql = format!(
            "WITH purged AS (\n\
             SELECT (extract(epoch FROM {purged}) * 1000000)::bigint AS through\n\
             FROM aqueduct_internal.purges WHERE view = {view} AND generation = {number}\n\
             ), applied AS (\n\
             INSERT INTO {table} AS t ({names})\n\
             SELECT {values}\n\
             FROM (SELECT {arrays}) AS s\n\
             WHERE c6 > coalesce((SELECT through FROM purged), c6 - 1)\n\
             ON CONFLICT (tenant, id) DO UPDATE SET {updates}\n\
             WHERE t.item_version {older} excluded.item_version\n\
             RETURNING t.tenant, t.id\n\
             )\n\
             SELECT number, (SELECT through FROM purged), tenant, id FROM (SELECT count(*) AS number FROM applied) AS counted\n\
             LEFT JOIN applied ON number < cardinality($1)"
        );
        let update = format!(
            "WITH applied AS (\n\
             UPDATE {table} AS t SET {changes}\n\
             FROM (SELECT {arrays}) AS s\n\
             WHERE t.tenant = c1 AND t.id = c2 AND t.item_version {older} c3\n\
             RETURNING t.tenant, t.id\n\
             )\n\
             SELECT t.tenant, t.id, a.id IS NOT NULL FROM {table} AS t\n\
             JOIN unnest($1, $2) AS k (tenant, id) ON t.tenant = k.tenant AND t.id = k.id\n\
             LEFT JOIN applied AS a ON a.tenant = t.tenant AND a.id = t.id"
        );
        Ok(Upsert { sql: sql.into(), update: update.into() })
    }

    /// Writes rows of different keys and tells which of them were newer than what the table held.
    pub async fn execute(
        &self,
        connection: &mut PgConnection,
        mut rows: Vec<&Row<'_>>,
    ) -> Result<Applied, sqlx::Error> {
        if rows.is_empty() {
            return Ok(Applied::All);
        }
        // Locks are taken in the order of the rows. In another order, two batches could each wait for the other's.
        rows.sort_unstable_by_key(|row| (row.tenant, row.id));

        let query = bound::<(i64, Option<i64>, Option<String>, Option<String>)>(&self.sql, &rows);
        let answer = query.fetch_all(&mut *connection).await?;
        let first = answer.first().map(|(number, through, ..)| (*number, *through));
        if first.is_some_and(|(number, _)| usize::try_from(number) == Ok(rows.len())) {
            return Ok(Applied::All);
        }
        let mut newer: HashSet<Key> =
            answer.into_iter().filter_map(|(.., tenant, id)| Some((tenant?, id?))).collect();
        let through = first.and_then(|(_, through)| Timestamp::from_microsecond(through?).ok());
        let mut refused = HashSet::new();
        let is_old =
            |row: &Row<'_>, through: Timestamp| row.updated_at.as_microsecond() <= through.as_microsecond();
        rows.retain(|row| through.is_some_and(|through| is_old(row, through)));
        if !rows.is_empty() {
            refused = rows.iter().map(|row| key(row)).collect();
            let found = bound::<(String, String, bool)>(&self.update, &rows).fetch_all(connection).await?;
            for (tenant, id, is_newer) in found {
                let key = (tenant, id);
                refused.remove(&key);
                if is_newer {
                    newer.insert(key);
                }
            }
        }
        Ok(Applied::Of { newer, refused, purged_through: through })
    }
}

/// A statement over rows, with an array for each column.
fn bound<'q, T: for<'r> FromRow<'r, sqlx::postgres::PgRow>>(
    sql: &Arc<str>,
    rows: &[&'q Row<'_>],
) -> QueryAs<'q, Postgres, T, PgArguments> {
    // Every name in the statement went through `quote`.
    let mut query = sqlx::query_as(AssertSqlSafe(sql.clone()))
        .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.item_version).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.deleted).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.created_at.as_microsecond()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.updated_at.as_microsecond()).collect::<Vec<_>>());
    for index in 0..rows[0].values.len() {
        query = query.bind(rows.iter().map(|row| row.values[index].as_deref()).collect::<Vec<_>>());
    }
    query
}

#[cfg(test)]
mod tests {
    use aqueduct_views::State;
    use serde_json::{Value, json};

    use super::*;

    fn upsert(name: &str, columns: Value) -> String {
        let definition = json!({ "name": name, "type": "ORDER", "postgres": { "columns": columns } });
        let generation = Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live);
        Upsert::new(&generation, Guard::Older).unwrap().sql.to_string()
    }

    #[test]
    fn a_batch_is_one_guarded_statement() {
        let columns = json!([
            { "name": "customer_id", "type": "text", "from": "self.customerId", "index": true },
            { "name": "total", "type": "numeric(14,2)", "from": "self.total", "index": false },
            { "name": "lines", "type": "jsonb", "from": "self.items", "index": false },
        ]);
        insta::assert_snapshot!(upsert("orders", columns));
    }

    #[test]
    fn hostile_names_stay_names() {
        let columns = json!([{ "name": r#"c1"; --"#, "type": "text", "from": "self.x", "index": false }]);
        insta::assert_snapshot!(upsert(r#"o" (x) SELECT 1; --"#, columns));
    }
}
