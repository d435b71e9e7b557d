//! The one statement that writes a batch of rows.
//!
//! ```sql
//! INSERT INTO "orders__g1" AS t (…) SELECT … FROM unnest($1::text[], …)
//! ON CONFLICT (tenant, id) DO UPDATE SET … WHERE t.item_version < excluded.item_version
//! RETURNING t.tenant, t.id
//! ```
//!
//! One statement, whatever the number of rows, so that it is prepared once a connection. The guard makes any order and any
//! repetition of batches end in the latest version; what comes back tells applied from stale.

use std::collections::HashSet;
use std::sync::Arc;

use aqueduct_views::Generation;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Row, ddl};
use sqlx::{AssertSqlSafe, PgPool};

/// Tenant and id of a row.
pub type RowKey = (String, String);

/// The upsert of one generation's table.
#[derive(Clone, Debug)]
pub struct Upsert {
    sql: Arc<str>,
}

/// What a table's own columns are cast from text to, in the order of [`ddl::OWN_COLUMNS`].
const OWN_CASTS: [&str; 6] = ["text", "text", "bigint", "boolean", "timestamptz", "timestamptz"];

/// `tenant` and `id`, first of [`ddl::OWN_COLUMNS`].
const KEY_COLUMNS: usize = 2;

impl Upsert {
    /// The statement for `generation`.
    pub fn new(generation: &Generation) -> Result<Upsert, QuoteError> {
        let own = ddl::OWN_COLUMNS.iter().zip(OWN_CASTS).map(|((name, _), cast)| (*name, cast.to_owned()));
        let columns = generation.definition.postgres.iter().flat_map(|view| &view.columns);
        let columns: Vec<(String, String)> = own
            .chain(columns.map(|column| (column.name.as_str(), column.column_type.to_string())))
            .map(|(name, cast)| Ok((identifier(name)?, cast)))
            .collect::<Result<_, _>>()?;

        let table = identifier(&ddl::table_name(generation))?;
        let list = |each: &dyn Fn(usize, &str, &str) -> String, after: usize| {
            let each = |(index, (name, cast)): (usize, &(String, String))| each(index + 1, name, cast);
            columns.iter().enumerate().skip(after).map(each).collect::<Vec<_>>().join(", ")
        };
        let names = list(&|_, name, _| name.to_owned(), 0);
        let values = list(&|number, _, cast| format!("c{number}::{cast}"), 0);
        let arrays = list(&|number, _, _| format!("${number}::text[]"), 0);
        let aliases = list(&|number, _, _| format!("c{number}"), 0);
        let updates = list(&|_, name, _| format!("{name} = excluded.{name}"), KEY_COLUMNS);
        let sql = format!(
            "INSERT INTO {table} AS t ({names})\n\
             SELECT {values}\n\
             FROM unnest({arrays}) AS s ({aliases})\n\
             ON CONFLICT (tenant, id) DO UPDATE SET {updates}\n\
             WHERE t.item_version < excluded.item_version\n\
             RETURNING t.tenant, t.id"
        );
        Ok(Upsert { sql: sql.into() })
    }

    /// Writes rows of different keys and returns the keys of those that were newer than what the table held.
    pub async fn execute(&self, pool: &PgPool, mut rows: Vec<&Row>) -> Result<HashSet<RowKey>, sqlx::Error> {
        if rows.is_empty() {
            return Ok(HashSet::new());
        }
        // Locks are taken in the order of the rows. In another order, two batches could each wait for the other's.
        rows.sort_unstable_by_key(|row| (&row.tenant, &row.id));

        let text = |value: fn(&Row) -> &str| rows.iter().map(|row| value(row)).collect::<Vec<_>>();
        let written = |value: fn(&Row) -> String| rows.iter().map(|row| value(row)).collect::<Vec<_>>();
        // Every name in the statement went through `quote`.
        let mut query = sqlx::query_as(AssertSqlSafe(self.sql.clone()))
            .bind(text(|row| &row.tenant))
            .bind(text(|row| &row.id))
            .bind(written(|row| row.item_version.to_string()))
            .bind(written(|row| row.deleted.to_string()))
            .bind(text(|row| &row.created_at))
            .bind(text(|row| &row.updated_at));
        for index in 0..rows[0].values.len() {
            query = query.bind(rows.iter().map(|row| row.values[index].as_deref()).collect::<Vec<_>>());
        }
        Ok(query.fetch_all(pool).await?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_views::State;
    use serde_json::{Value, json};

    use super::*;

    fn upsert(name: &str, columns: Value) -> String {
        let definition = json!({ "name": name, "type": "ORDER", "postgres": { "columns": columns } });
        let generation = Generation {
            definition: serde_json::from_value(definition).unwrap(),
            number: 1,
            state: State::Live,
            created_at: Default::default(),
        };
        Upsert::new(&generation).unwrap().sql.to_string()
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
