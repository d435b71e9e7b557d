//! The SQL that makes a generation: table, key, indexes, public view. Key and indexes are steps of their own, since they are
//! made faster after a table was filled than while it is.
//!
//! The table has no constraint beyond its key. Uniqueness and presence are the write side's business: two items may
//! swap a value, and their events arrive in either order.

use aqueduct_model::{Column, ColumnType};
use sha2::{Digest, Sha256};

use super::quote::{NAME_LIMIT, QuoteError, identifier, literal};
use crate::Generation;

/// Columns that every table has, before those of the view.
pub const OWN_COLUMNS: [(&str, &str); 6] = [
    ("tenant", r#"text COLLATE "C" NOT NULL"#),
    ("id", r#"text COLLATE "C" NOT NULL"#),
    ("item_version", "bigint NOT NULL"),
    ("deleted", "boolean NOT NULL"),
    ("created_at", "timestamptz NOT NULL"),
    ("updated_at", "timestamptz NOT NULL"),
];

/// The physical table: `orders__g1`.
#[must_use]
pub fn table_name(generation: &Generation) -> String {
    format!("{}__g{}", generation.view(), generation.number)
}

/// Makes the table, without its key. Keys compare as bytes (`COLLATE "C"`), so that their order is the same on every server.
pub fn create_table(generation: &Generation) -> Result<String, QuoteError> {
    let mut columns: Vec<String> = OWN_COLUMNS
        .iter()
        .map(|(name, of)| Ok(format!("{} {of}", identifier(name)?)))
        .collect::<Result<_, _>>()?;
    for column in columns_of(generation) {
        columns.push(format!("{} {}", identifier(&column.name)?, column.column_type));
    }
    let table = identifier(&table_name(generation))?;
    Ok(format!("CREATE TABLE {table} (\n    {}\n)", columns.join(",\n    ")))
}

/// Makes the keys of the tables.
pub fn create_key(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    let table = identifier(&table_name(generation))?;
    Ok(vec![format!("ALTER TABLE {table} ADD PRIMARY KEY (tenant, id)")])
}

/// Drops the tables, those that are there.
pub fn drop_tables(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    Ok(vec![format!("DROP TABLE IF EXISTS {}", identifier(&table_name(generation))?)])
}

/// Has the planner know what the tables hold.
pub fn analyze(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    Ok(vec![format!("ANALYZE {}", identifier(&table_name(generation))?)])
}

/// Says in the database what the table is.
pub fn comment_table(generation: &Generation) -> Result<String, QuoteError> {
    let table = identifier(&table_name(generation))?;
    let text = format!(
        "Aqueduct: generation {} of the view {}, of {} items. Written by sync-rds; read the view, not this.",
        generation.number,
        generation.view(),
        generation.definition.type_name
    );
    Ok(format!("COMMENT ON TABLE {table} IS {}", literal(&text)?))
}

/// Makes the indexes that the view asks for. Each begins with the tenant, as every query of a tenant does, and ends with the
/// id, so that pages in the order of the column are read from it; a `jsonb` column has one that answers `@>`.
pub fn create_indexes(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    let table = table_name(generation);
    let indexed = columns_of(generation).iter().filter(|column| column.index);
    indexed
        .map(|column| {
            let name = identifier(&index_name(&table, &column.name))?;
            let (table, of) = (identifier(&table)?, identifier(&column.name)?);
            Ok(match column.column_type {
                ColumnType::Jsonb => {
                    format!("CREATE INDEX IF NOT EXISTS {name} ON {table} USING gin ({of} jsonb_path_ops)")
                }
                _ => format!("CREATE INDEX IF NOT EXISTS {name} ON {table} (tenant, {of}, id)"),
            })
        })
        .collect()
}

/// Makes the public view: the rows that are not deleted, without what only writers need.
pub fn create_public_view(generation: &Generation) -> Result<String, QuoteError> {
    let own = OWN_COLUMNS.iter().map(|(name, _)| *name).filter(|name| *name != "deleted");
    let columns = own.chain(columns_of(generation).iter().map(|column| column.name.as_str()));
    let columns = columns.map(identifier).collect::<Result<Vec<_>, _>>()?.join(", ");
    let (view, table) = (identifier(generation.view())?, identifier(&table_name(generation))?);
    Ok(format!("CREATE VIEW {view} AS SELECT {columns} FROM {table} WHERE NOT deleted"))
}

fn columns_of(generation: &Generation) -> &[Column] {
    generation.definition.postgres.as_ref().map_or(&[], |view| &view.columns)
}

/// The same for the same table and column on every server, and different for different ones: a name that would be
/// too long ends in a digest instead of where Postgres would cut it.
fn index_name(table: &str, column: &str) -> String {
    let name = format!("{table}_{column}_idx");
    if name.len() <= NAME_LIMIT {
        return name;
    }
    let digest: String = Sha256::digest(&name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_LIMIT - digest.len() - "__idx".len();
    let kept =
        name.char_indices().map(|(at, character)| at + character.len_utf8()).take_while(|end| *end <= room);
    let kept = &name[..kept.last().unwrap_or(0)];
    format!("{kept}_{digest}_idx")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::State;

    fn generation(name: &str, columns: Value) -> Generation {
        let definition = json!({ "name": name, "type": "ORDER", "postgres": { "columns": columns } });
        Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live)
    }

    fn everything(generation: &Generation) -> String {
        let mut statements = vec![create_table(generation).unwrap(), comment_table(generation).unwrap()];
        statements.extend(create_key(generation).unwrap());
        statements.extend(create_indexes(generation).unwrap());
        statements.push(create_public_view(generation).unwrap());
        statements.join(";\n\n")
    }

    #[test]
    fn a_view_becomes_table_indexes_and_public_view() {
        let columns = json!([
            { "name": "customer_id", "type": "text", "from": "self.customerId", "index": true },
            { "name": "total", "type": "numeric(14,2)", "from": "self.total", "index": false },
            { "name": "placed_at", "type": "timestamptz", "from": "self.placedAt", "index": true },
            { "name": "lines", "type": "jsonb", "from": "self.items", "index": true },
        ]);
        insta::assert_snapshot!(everything(&generation("orders", columns)));
    }

    #[test]
    fn hostile_names_stay_names() {
        let columns = json!([
            { "name": r#"x" text); DROP TABLE y; --"#, "type": "text", "from": "self.x", "index": true },
            { "name": "Größe'\\", "type": "text", "from": "self.y", "index": true },
            { "name": "select", "type": "text", "from": "self.z", "index": false },
        ]);
        insta::assert_snapshot!(everything(&generation(r#"o"'; --\"#, columns)));
    }

    #[test]
    fn names_that_postgres_would_cut_are_refused() {
        let long = generation(&"v".repeat(62), json!([]));
        assert!(matches!(create_table(&long), Err(QuoteError::TooLong(_))));
        assert!(matches!(create_public_view(&long), Err(QuoteError::TooLong(_))));
    }

    #[test]
    fn long_index_names_fit_and_differ() {
        let table = format!("{}__g1", "v".repeat(48));
        let (one, other) = (index_name(&table, &"c".repeat(47)), index_name(&table, &"c".repeat(48)));
        assert_ne!(one, other);
        for name in [&one, &other, &index_name(&table, &"ä".repeat(24)), &index_name("x", &"✓".repeat(20))]
        {
            assert!(name.len() <= NAME_LIMIT && name.ends_with("_idx"), "{name}");
        }
        assert_eq!(one, index_name(&table, &"c".repeat(47)), "the same every time");
    }
}
