//! What writes a batch of rows: one statement.
//!
//! ```sql
//! WITH applied AS (
//!   INSERT INTO "orders__g1" AS t (…) SELECT … FROM unnest($1::text[], …)
//!   ON CONFLICT (tenant, id) DO UPDATE SET … WHERE t.item_version < excluded.item_version
//!   RETURNING t.tenant, t.id
//! )
//! SELECT number, tenant, id FROM (SELECT count(*) AS number FROM applied) AS counted LEFT JOIN applied ON number < …
//! ```
//!
//! One statement, whatever the number of rows, so that it is prepared once a connection. The guard makes any order and any
//! repetition of batches end in the latest version; what comes back tells applied from stale. Mostly all or none are applied: then
//! one row says so, and no keys travel.
//!
//! A view with child tables takes several, in one transaction: see [`children`].

mod children;

use std::collections::HashSet;
use std::sync::Arc;

use aqueduct_contract::Guard;
use aqueduct_views::Generation;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Row, ddl};
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

use self::children::Replacement;

/// The rows of a batch that were newer than what the table held.
#[derive(Debug)]
pub enum Applied {
    /// Every one.
    All,
    /// Those with this tenant and id.
    Of(HashSet<(String, String)>),
}

impl Applied {
    /// Whether `row`, one of the batch, was newer.
    #[must_use]
    pub fn contains(&self, row: &Row<'_>) -> bool {
        match self {
            Applied::All => true,
            Applied::Of(keys) => keys.contains(&(row.tenant.to_owned(), row.id.to_owned())),
        }
    }
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
            return self.upsert.execute(pool, rows).await;
        }
        // Whatever the database's default is. Above it, a statement would not see what another transaction committed while
        // the one before waited for its lock.
        let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let applied = self.upsert.execute(&mut *transaction, rows.clone()).await?;
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
        let arrays = list(&|number, parameter| format!("${number}::{}[]", parameter.sent_as), 0);
        let aliases = list(&|number, _| format!("c{number}"), 0);
        let updates = list(&|_, Parameter { name, .. }| format!("{name} = excluded.{name}"), KEY_COLUMNS);
        let older = match guard {
            Guard::Older => "<",
            Guard::OlderOrSame => "<=",
        };
        let sql = format!(
            "WITH applied AS (\n\
             INSERT INTO {table} AS t ({names})\n\
             SELECT {values}\n\
             FROM unnest({arrays}) AS s ({aliases})\n\
             ON CONFLICT (tenant, id) DO UPDATE SET {updates}\n\
             WHERE t.item_version {older} excluded.item_version\n\
             RETURNING t.tenant, t.id\n\
             )\n\
             SELECT number, tenant, id FROM (SELECT count(*) AS number FROM applied) AS counted\n\
             LEFT JOIN applied ON number < cardinality($1)"
        );
        Ok(Upsert { sql: sql.into() })
    }

    /// Writes rows of different keys and tells which of them were newer than what the table held.
    pub async fn execute(
        &self,
        executor: impl PgExecutor<'_>,
        mut rows: Vec<&Row<'_>>,
    ) -> Result<Applied, sqlx::Error> {
        if rows.is_empty() {
            return Ok(Applied::All);
        }
        // Locks are taken in the order of the rows. In another order, two batches could each wait for the other's.
        rows.sort_unstable_by_key(|row| (row.tenant, row.id));

        // Every name in the statement went through `quote`.
        let mut query = sqlx::query_as(AssertSqlSafe(self.sql.clone()))
            .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.item_version).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.deleted).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.created_at.as_microsecond()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.updated_at.as_microsecond()).collect::<Vec<_>>());
        for index in 0..rows[0].values.len() {
            query = query.bind(rows.iter().map(|row| row.values[index].as_deref()).collect::<Vec<_>>());
        }
        let answer: Vec<(i64, Option<String>, Option<String>)> = query.fetch_all(executor).await?;
        if answer.first().is_some_and(|(number, ..)| usize::try_from(*number) == Ok(rows.len())) {
            return Ok(Applied::All);
        }
        Ok(Applied::Of(answer.into_iter().filter_map(|(_, tenant, id)| Some((tenant?, id?))).collect()))
    }
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
