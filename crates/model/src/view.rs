//! Read models of a type: which columns a table has, what a document holds.
//!
//! A worker serves the definition that the registry holds, which may be older than the model file's: so a view becomes
//! canonical JSON and is read back from it, expressions compiled again.

mod analysis;
mod column_type;
mod default;
mod fit;
pub(crate) mod read;

use aqueduct_contract::{Tenant, TypeName};
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
    /// The columns of each index over several, in the order of the model file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Vec<String>>,
    /// Full text to search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<TextSearch>,
    /// An item has a row only while this is true of it; otherwise it is as if it were deleted.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expression>,
}

/// A column `search`, of type `tsvector`, that Postgres makes of other columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSearch {
    /// From the one that weighs most.
    pub columns: Vec<String>,
    /// A text search configuration of Postgres.
    pub language: String,
}

impl TextSearch {
    /// What the column is called.
    pub const COLUMN: &'static str = "search";
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
    /// As a view's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Vec<String>>,
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
    /// What stands where `from` gives null. A deleted item has null all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
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
    /// An item has a document only while this is true of it; otherwise it is as if it were deleted.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Expression>,
    /// Analyzers and what they are made of, as `settings.analysis` of an index has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Value>,
    /// What documents are spread over the shards by; by their ids, if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
}

/// What decides on which shard a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// Its tenant: all that a tenant has is on one shard, and a search asks that one alone.
    Tenant,
}

impl SearchView {
    /// The `routing` of requests about what `tenant` has.
    #[must_use]
    pub fn routing_of<'t>(&self, tenant: &'t Tenant) -> Option<&'t str> {
        self.routing.map(|Routing::Tenant| tenant.as_str())
    }
}

impl View {
    /// What the registry keeps, as JSON. Two views are the same when this is. [`serde`] reads it back.
    #[must_use]
    pub fn definition(&self) -> Value {
        serde_json::json!(self)
    }
}
