//! The rows of a child table, replaced for the items of a batch that were newer.
//!
//! The upsert of the items' own rows comes before, in the same transaction, and holds the locks of those rows until the end. So of
//! two versions of an item the later waits for the earlier, and then sees and deletes its rows. It must be another statement for
//! that: one statement sees what was there when it began, before it waited for the lock, and would leave the rows of both.

use std::sync::Arc;

use aqueduct_views::postgres::Row;
use aqueduct_views::postgres::ddl::Table;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use sqlx::{AssertSqlSafe, PgConnection};

/// Replaces the rows of one child table.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    delete: Arc<str>,
    insert: Arc<str>,
    columns: usize,
}

/// As what the columns of every child table are sent, in the order of `ddl::CHILD_COLUMNS`.
const OWN_PARAMETERS: [&str; 4] = ["text", "text", "integer", "bigint"];

impl Replacement {
    pub(super) fn new(table: &Table<'_>) -> Result<Replacement, QuoteError> {
        let name = identifier(&table.name)?;
        let own = table.own.iter().zip(OWN_PARAMETERS);
        let own = own.map(|((column, _), sent_as)| (*column, sent_as, String::new()));
        let given = table.columns.iter();
        let given = given.map(|column| (column.name.as_str(), "text", format!("::{}", column.column_type)));
        let (mut columns, mut arrays, mut aliases, mut values) = (vec![], vec![], vec![], vec![]);
        for (index, (column, sent_as, conversion)) in own.chain(given).enumerate() {
            columns.push(identifier(column)?);
            arrays.push(format!("${}::{sent_as}[]", index + 1));
            aliases.push(format!("c{index}"));
            values.push(format!("c{index}{conversion}"));
        }
        let list = |parts: Vec<String>| parts.join(", ");
        Ok(Replacement {
            delete: format!(
                "DELETE FROM {name} AS t USING unnest($1::text[], $2::text[]) AS s (tenant, id)\n\
                 WHERE t.tenant = s.tenant AND t.id = s.id"
            )
            .into(),
            insert: format!(
                "INSERT INTO {name} ({})\nSELECT {}\nFROM unnest({}) AS s ({})",
                list(columns),
                list(values),
                list(arrays),
                list(aliases)
            )
            .into(),
            columns: table.columns.len(),
        })
    }

    /// Replaces what the table, the `child`th of the view, has of `changed`, whose own rows this transaction has written.
    pub(super) async fn execute(
        &self,
        transaction: &mut PgConnection,
        changed: &[&Row<'_>],
        child: usize,
    ) -> Result<(), sqlx::Error> {
        // Every name in the statements went through `quote`.
        sqlx::query(AssertSqlSafe(self.delete.clone()))
            .bind(changed.iter().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(changed.iter().map(|row| row.id).collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
        let rows = || {
            changed.iter().flat_map(|row| {
                // More elements than fit are more than an item can have.
                let numbered = (0_i32..).zip(row.children.get(child).into_iter().flatten());
                numbered.map(|(position, values)| (*row, position, values))
            })
        };
        if rows().next().is_none() {
            return Ok(());
        }
        let mut query = sqlx::query(AssertSqlSafe(self.insert.clone()))
            .bind(rows().map(|(row, ..)| row.tenant).collect::<Vec<_>>())
            .bind(rows().map(|(row, ..)| row.id).collect::<Vec<_>>())
            .bind(rows().map(|(_, position, _)| position).collect::<Vec<_>>())
            .bind(rows().map(|(row, ..)| row.item_version).collect::<Vec<_>>());
        for index in 0..self.columns {
            query = query.bind(rows().map(|(_, _, values)| values[index].as_deref()).collect::<Vec<_>>());
        }
        query.execute(transaction).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_views::postgres::ddl;
    use aqueduct_views::{Generation, State};
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rows_of_changed_items_are_deleted_and_inserted() {
        let columns = json!([
            { "name": "code", "type": "text", "from": "it.code", "index": true },
            { "name": r#"c1"; --"#, "type": "numeric(14,2)", "from": "it.x", "index": false },
        ]);
        let children = json!([{ "name": "order_items", "each": "self.items", "columns": columns }]);
        let definition =
            json!({ "name": "orders", "type": "ORDER", "postgres": { "columns": [], "children": children } });
        let generation = Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live);
        let replacement = Replacement::new(&ddl::tables(&generation)[1]).unwrap();
        insta::assert_snapshot!(format!("{}\n\n{}", replacement.delete, replacement.insert));
    }
}
