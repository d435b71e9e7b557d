//! The SQL that makes a generation: table, indexes, public view.
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

/// Makes the table. Keys compare as bytes (`COLLATE "C"`), so that their order is the same on every server.
pub fn create_table(generation: &Generation) -> Result<String, QuoteError> {
    let mut columns: Vec<String> = OWN_COLUMNS
        .iter()
        .map(|(name, of)| Ok(format!("{} {of}", identifier(name)?)))
        .collect::<Result<_, _>>()?;
    for column in columns_of(generation) {
        columns.push(format!("{} {}", identifier(&column.name)?, column.column_type));
    }
    let table = identifier(&table_name(generation))?;
    Ok(format!("CREATE TABLE {table} (\n    {},\n    PRIMARY KEY (tenant, id)\n)", columns.join(",\n    ")))
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

/// Makes the indexes that the view asks for. Each begins with the tenant, as every query of a tenant does; a `jsonb`
/// column has one that answers `@>`.
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
                _ => format!("CREATE INDEX IF NOT EXISTS {name} ON {table} (tenant, {of})"),
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
