//! Read models of a type: which columns a table has, what a document holds.
//!
//! A worker serves the definition that the registry holds, which may be older than the model file's: so a view becomes
//! canonical JSON and is read back from it, expressions compiled again.

mod column_type;
mod fit;
pub(crate) mod read;

use aqueduct_contract::TypeName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use column_type::{ColumnType, ColumnTypeError};

use crate::Expression;

/// Characters of a name of a view: with `__g` and a number behind it, it still fits into a name of Postgres.
const NAME_LIMIT: usize = 48;

/// One read model, in Postgres, OpenSearch or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Unique in the model; `[a-z][a-z0-9_]{0,47}`, so that it names a table and an index.
    pub name: String,
    /// Whose items it shows.
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// Its table.
    pub postgres: Option<PostgresView>,
    /// Its index.
    pub opensearch: Option<SearchView>,
}

/// A table beside the columns that every table has (`tenant`, `id`, `item_version`, `deleted`, `created_at`,
/// `updated_at`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresView {
    /// In the order of the model file.
    pub columns: Vec<Column>,
    /// Tables with a row for each element of a list, in the order of the model file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<ChildTable>,
}

/// A table with a row for each element of a list that an item gives, beside the columns that every such table has (`tenant`,
/// `id`, `position`, `item_version`). The rows of an item are replaced together, with the item's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildTable {
    /// As a view's; views and child tables of a model have different names.
    pub name: String,
    /// The list. What gives null has no elements.
    pub each: Expression,
    /// In the order of the model file. Their expressions see an element as `it`.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// `[a-z][a-z0-9_]{0,47}`.
    pub name: String,
    /// Its type in Postgres.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// Where its value comes from.
    pub from: Expression,
    /// Whether the table has an index on tenant and this column.
    pub index: bool,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchView {
    /// OpenSearch mappings of the document's own fields, an object with `properties`. They stand over those that follow
    /// from the type's schema, or, with a `document`, over OpenSearch's own choice; `None` leaves it at those.
    pub mappings: Option<Value>,
    /// An expression that gives an object; `None` for all attributes.
    pub document: Option<Expression>,
}

impl View {
    /// What the registry keeps, as JSON. Two views are the same when this is. [`serde`] reads it back.
    #[must_use]
    pub fn definition(&self) -> Value {
        serde_json::json!(self)
    }
}
