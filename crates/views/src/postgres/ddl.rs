//! The SQL that makes a generation: its tables, and of each the key, the indexes and the public view.
//!
//! A table has no constraint beyond its key. Uniqueness and presence are the write side's business: two items may
//! swap a value, and their events arrive in either order.
//!
//! Key and indexes are steps of their own, since they are made faster after a table was filled than while it is.

use std::collections::HashSet;

use aqueduct_model::{Column, ColumnType, TextSearch};
use sha2::{Digest, Sha256};

use super::quote::{NAME_LIMIT, QuoteError, identifier, literal};
use crate::Generation;

/// Columns that every view's table has, before those of the view.
pub const OWN_COLUMNS: [(&str, &str); 6] = [
    ("tenant", r#"text COLLATE "C" NOT NULL"#),
    ("id", r#"text COLLATE "C" NOT NULL"#),
    ("item_version", "bigint NOT NULL"),
    ("deleted", "boolean NOT NULL"),
    ("created_at", "timestamptz NOT NULL"),
    ("updated_at", "timestamptz NOT NULL"),
];

/// Columns that every child table has, before those of the view. The position is the element's in its list, from 0; the version
/// is the item's.
pub const CHILD_COLUMNS: [(&str, &str); 4] = [
    ("tenant", r#"text COLLATE "C" NOT NULL"#),
    ("id", r#"text COLLATE "C" NOT NULL"#),
    ("position", "integer NOT NULL"),
    ("item_version", "bigint NOT NULL"),
];

/// Percent of a page that rows are first put into. Items change soon after they are made, and often many at once: where the page has
/// room, Postgres writes the next version beside the last one and leaves the indexes alone (a heap-only tuple).
pub const FILL: u8 = 70;

/// The physical table of a view: `orders__g1`.
#[must_use]
pub fn table_name(generation: &Generation) -> String {
    physical(generation.view(), generation)
}

fn physical(name: &str, generation: &Generation) -> String {
    format!("{name}__g{}", generation.number)
}

/// All tables of a generation, in the order in which they are written: the view's own, then its child tables.
#[must_use]
pub fn tables(generation: &Generation) -> Vec<Table<'_>> {
    let view = generation.definition.postgres.as_ref();
    let own = Table {
        generation,
        name: table_name(generation),
        public: generation.view(),
        own: &OWN_COLUMNS,
        columns: view.map_or(&[], |view| &view.columns),
        indexes: view.map_or(&[], |view| &view.indexes),
        search: view.and_then(|view| view.search.as_ref()),
        key: &["tenant", "id"],
        fill: Some(FILL),
    };
    let children = view.into_iter().flat_map(|view| &view.children).map(|child| Table {
        generation,
        name: physical(&child.name, generation),
        public: &child.name,
        own: &CHILD_COLUMNS,
        columns: &child.columns,
        indexes: &child.indexes,
        search: None,
        key: &["tenant", "id", "position"],
        fill: None,
    });
    std::iter::once(own).chain(children).collect()
}

/// Makes the keys of all tables.
pub fn create_key(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    tables(generation).iter().map(Table::create_key).collect()
}

/// Makes the indexes of all tables.
pub fn create_indexes(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    let indexes = tables(generation).iter().map(Table::create_indexes).collect::<Result<Vec<_>, _>>()?;
    Ok(indexes.concat())
}

/// Drops all tables, those that are there.
pub fn drop_tables(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    let drop = |table: &Table<'_>| Ok(format!("DROP TABLE IF EXISTS {}", identifier(&table.name)?));
    tables(generation).iter().map(drop).collect()
}

/// Has the planner know what the tables hold.
pub fn analyze(generation: &Generation) -> Result<Vec<String>, QuoteError> {
    let analyze = |table: &Table<'_>| Ok(format!("ANALYZE {}", identifier(&table.name)?));
    tables(generation).iter().map(analyze).collect()
}

/// One table of a generation.
#[derive(Clone, Debug)]
pub struct Table<'g> {
    generation: &'g Generation,
    /// The physical table: `orders__g1`.
    pub name: String,
    /// The SQL view that readers use: `orders`.
    pub public: &'g str,
    /// The columns that every table of its kind has, with their types.
    pub own: &'static [(&'static str, &'static str)],
    /// The columns that the view gives, which come after them.
    pub columns: &'g [Column],
    /// The columns of each index over several.
    pub indexes: &'g [Vec<String>],
    /// What a last column, which Postgres makes, is made of.
    pub search: Option<&'g TextSearch>,
    /// The columns of its key.
    pub key: &'static [&'static str],
    /// Percent of a page that is filled at first, if rows change where they stand: those of a child table are replaced.
    fill: Option<u8>,
}

impl Table<'_> {
    /// Makes the table, without its key. Keys compare as bytes (`COLLATE "C"`), so that their order is the same on every
    /// server.
    pub fn create(&self) -> Result<String, QuoteError> {
        let own = self.own.iter().map(|(name, of)| Ok(format!("{} {of}", identifier(name)?)));
        let given = self
            .columns
            .iter()
            .map(|column| Ok(format!("{} {}", identifier(&column.name)?, column.column_type)));
        let search = self.search.map(|search| self.text_search(search));
        let columns = own.chain(given).chain(search).collect::<Result<Vec<_>, QuoteError>>()?.join(",\n    ");
        let fill = self.fill.map(|percent| format!(" WITH (fillfactor = {percent})")).unwrap_or_default();
        Ok(format!("CREATE TABLE {} (\n    {columns}\n){fill}", identifier(&self.name)?))
    }

    /// The column that is searched for words.
    fn text_search(&self, search: &TextSearch) -> Result<String, QuoteError> {
        let language = literal(&search.language)?;
        let weights = ["A", "B", "C", "D"].into_iter().chain(std::iter::repeat("D"));
        let words = search.columns.iter().zip(weights).map(|(name, weight)| {
            let is_json = |column: &Column| column.name == *name && column.column_type == ColumnType::Jsonb;
            let nothing = if self.columns.iter().any(is_json) { "'null'::jsonb" } else { "''" };
            let column = identifier(name)?;
            Ok(format!(
                "setweight(to_tsvector({language}::regconfig, coalesce({column}, {nothing})), '{weight}')"
            ))
        });
        let words = words.collect::<Result<Vec<_>, QuoteError>>()?.join(" || ");
        Ok(format!("{} tsvector GENERATED ALWAYS AS ({words}) STORED", identifier(TextSearch::COLUMN)?))
    }

    /// Makes its key, once.
    pub fn create_key(&self) -> Result<String, QuoteError> {
        Ok(format!("ALTER TABLE {} ADD PRIMARY KEY ({})", identifier(&self.name)?, self.key.join(", ")))
    }

    /// Says in the database what the table is.
    pub fn comment(&self) -> Result<String, QuoteError> {
        let Table { generation, public, .. } = self;
        let of = if *public == generation.view() { String::new() } else { format!("{public}, of ") };
        let text = format!(
            "Aqueduct: {of}generation {} of the view {}, of {} items. Written by sync-rds; read the view, not this.",
            generation.number,
            generation.view(),
            generation.definition.type_name
        );
        Ok(format!("COMMENT ON TABLE {} IS {}", identifier(&self.name)?, literal(&text)?))
    }

    /// Makes the indexes that the view asks for. Each begins with the tenant, as every query of a tenant does, and ends with
    /// the id, so that pages in the order of the columns are read from it; a `jsonb` column has one that answers `@>`, and what
    /// is searched for words one for that.
    pub fn create_indexes(&self) -> Result<Vec<String>, QuoteError> {
        let mut taken = HashSet::new();
        let mut statements = Vec::new();
        let mut add = |columns: &[&str], of: String| {
            let name = index_name(&self.name, columns, &mut taken);
            let (name, table) = (identifier(&name)?, identifier(&self.name)?);
            statements.push(format!("CREATE INDEX IF NOT EXISTS {name} ON {table} {of}"));
            Ok::<_, QuoteError>(())
        };
        for column in self.columns.iter().filter(|column| column.index) {
            let of = identifier(&column.name)?;
            let of = match column.column_type {
                ColumnType::Jsonb => format!("USING gin ({of} jsonb_path_ops)"),
                _ => format!("(tenant, {of}, id)"),
            };
            add(&[&column.name], of)?;
        }
        for columns in self.indexes {
            let quoted = columns.iter().map(|name| identifier(name)).collect::<Result<Vec<_>, _>>()?;
            let names: Vec<&str> = columns.iter().map(String::as_str).collect();
            add(&names, format!("(tenant, {}, id)", quoted.join(", ")))?;
        }
        if self.search.is_some() {
            add(&[TextSearch::COLUMN], format!("USING gin ({})", identifier(TextSearch::COLUMN)?))?;
        }
        Ok(statements)
    }
    /// Makes the public view: what is not deleted, without what only writers need. An item that is deleted has no rows in
    /// child tables.
    pub fn create_public_view(&self) -> Result<String, QuoteError> {
        let own = self.own.iter().map(|(name, _)| *name).filter(|name| *name != DELETED);
        let columns = own.chain(self.columns.iter().map(|column| column.name.as_str()));
        let columns = columns.chain(self.search.map(|_| TextSearch::COLUMN));
        let columns = columns.map(identifier).collect::<Result<Vec<_>, _>>()?.join(", ");
        let (view, table) = (identifier(self.public)?, identifier(&self.name)?);
        let hidden = self.own.iter().any(|(name, _)| *name == DELETED);
        let shown = if hidden { " WHERE NOT deleted" } else { "" };
        Ok(format!("CREATE VIEW {view} AS SELECT {columns} FROM {table}{shown}"))
    }
}

const DELETED: &str = "deleted";

/// The same for the same table and columns on every server, and different for different ones: a name that would be
/// too long, or is taken, ends in a digest.
fn index_name(table: &str, columns: &[&str], taken: &mut HashSet<String>) -> String {
    let name = format!("{table}_{}_idx", columns.join("_"));
    if name.len() <= NAME_LIMIT && taken.insert(name.clone()) {
        return name;
    }
    let digest = Sha256::digest(format!("{table}({})", columns.join(",")));
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
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
        of_view(name, json!({ "columns": columns }))
    }

    fn of_view(name: &str, postgres: Value) -> Generation {
        let definition = json!({ "name": name, "type": "ORDER", "postgres": postgres });
        Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live)
    }

    fn everything(generation: &Generation) -> String {
        let mut statements = Vec::new();
        for table in tables(generation) {
            statements.extend([table.create(), table.create_key(), table.comment()].map(Result::unwrap));
            statements.extend(table.create_indexes().unwrap());
            statements.push(table.create_public_view().unwrap());
        }
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
    fn a_child_table_has_its_key_indexes_and_public_view() {
        let column = |name: &str, column_type: &str, index: bool| json!({ "name": name, "type": column_type, "from": format!("it.{name}"), "index": index });
        let children = json!([
            { "name": "order_items", "each": "self.items", "columns": [column("code", "text", true)] },
            { "name": "order_notes", "each": "self.notes", "columns": [column("text", "jsonb", true)] },
        ]);
        insta::assert_snapshot!(everything(&of_view(
            "orders",
            json!({ "columns": [], "children": children })
        )));
    }

    #[test]
    fn indexes_over_several_columns_and_words_to_search() {
        let column = |name: &str, column_type: &str| json!({ "name": name, "type": column_type, "from": format!("self.{name}"), "index": false });
        let columns = [column("name", "text"), column("tags", "jsonb"), column("placed_at", "timestamptz")];
        let view = json!({
            "columns": columns,
            "indexes": [["name", "placed_at"], ["updated_at"]],
            "search": { "columns": ["name", "tags"], "language": "english" },
        });
        insta::assert_snapshot!(everything(&of_view("products", view)));
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
        let table = &tables(&long)[0];
        assert!(matches!(table.create(), Err(QuoteError::TooLong(_))));
        assert!(matches!(table.create_public_view(), Err(QuoteError::TooLong(_))));
    }

    #[test]
    fn long_index_names_fit_and_differ() {
        let table = format!("{}__g1", "v".repeat(48));
        let name = |table: &str, column: &str| index_name(table, &[column], &mut HashSet::new());
        let (one, other) = (name(&table, &"c".repeat(47)), name(&table, &"c".repeat(48)));
        assert_ne!(one, other);
        for name in [&one, &other, &name(&table, &"ä".repeat(24)), &name("x", &"✓".repeat(20))] {
            assert!(name.len() <= NAME_LIMIT && name.ends_with("_idx"), "{name}");
        }
        assert_eq!(one, name(&table, &"c".repeat(47)), "the same every time");
        let mut taken = HashSet::new();
        let names = [&["a_b", "c"][..], &["a", "b_c"], &["a_b_c"]]
            .map(|columns| index_name("t", columns, &mut taken));
        assert_eq!(names[0], "t_a_b_c_idx");
        assert!(names[1] != names[0] && names[2] != names[0] && names[1] != names[2], "{names:?}");
    }
}
