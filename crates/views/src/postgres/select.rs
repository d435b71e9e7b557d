//! One page of a view's rows: filtered, sorted, and read on from where the page before ended.
//!
//! ```sql
//! SELECT t."id", t."total"::text FROM (
//!     (SELECT … FROM "orders" t WHERE tenant = $1 AND "total" = $2 AND "id" < $3 ORDER BY … LIMIT …)
//!     UNION ALL
//!     (SELECT … FROM "orders" t WHERE tenant = $1 AND "total" < $2 ORDER BY … LIMIT …)
//! ) t ORDER BY t."total" DESC, t."id" DESC LIMIT …
//! ```
//!
//! "After these keys" is a union of ranges, one a key, and not one condition with `OR`: each is a range of an index, so that
//! the thousandth page costs what the first does. Most pages are one range, read from the view itself. Null sorts as in Postgres, as if
//! it were larger than any value.
//!
//! Names are quoted, values are parameters. They are text, cast in the statement; [`value`] has refused before what a cast
//! would not take.

mod keyset;
mod row;
mod value;

use std::sync::Arc;

use aqueduct_contract::Tenant;
use aqueduct_model::{ColumnType, PostgresView};
use sqlx::{AssertSqlSafe, PgPool};

use super::quote::identifier;
use crate::{Error, ReadError};

pub use row::Row;
pub use value::check;

/// What a reader sees of every row, before the view's own columns. The tenant is the reader's own.
pub const OWN_COLUMNS: [(&str, ColumnType); 4] = [
    ("id", ColumnType::Text),
    ("item_version", ColumnType::Bigint),
    ("created_at", ColumnType::Timestamptz),
    ("updated_at", ColumnType::Timestamptz),
];

/// The columns that readers of a view may name, in order.
pub fn columns(view: &PostgresView) -> impl Iterator<Item = (&str, ColumnType)> {
    OWN_COLUMNS
        .into_iter()
        .chain(view.columns.iter().map(|column| (column.name.as_str(), column.column_type)))
}

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal; null is not equal to any value.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Equal to one of several.
    In,
    /// Text that begins so.
    Prefix,
    /// JSON that contains this JSON.
    Contains,
    /// Whether it is null.
    Null,
}

impl Operator {
    /// All of them.
    pub const ALL: [Operator; 10] = [
        Operator::Eq,
        Operator::Ne,
        Operator::Lt,
        Operator::Lte,
        Operator::Gt,
        Operator::Gte,
        Operator::In,
        Operator::Prefix,
        Operator::Contains,
        Operator::Null,
    ];

    /// How a request writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operator::Eq => "eq",
            Operator::Ne => "ne",
            Operator::Lt => "lt",
            Operator::Lte => "lte",
            Operator::Gt => "gt",
            Operator::Gte => "gte",
            Operator::In => "in",
            Operator::Prefix => "prefix",
            Operator::Contains => "contains",
            Operator::Null => "null",
        }
    }

    /// Whether columns of that type can be compared so.
    #[must_use]
    pub fn applies_to(self, column_type: ColumnType) -> bool {
        match self {
            Operator::Null => true,
            Operator::Contains => column_type == ColumnType::Jsonb,
            Operator::Prefix => column_type == ColumnType::Text,
            Operator::Eq | Operator::Ne | Operator::In => column_type != ColumnType::Jsonb,
            Operator::Lt | Operator::Lte | Operator::Gt | Operator::Gte => {
                !matches!(column_type, ColumnType::Jsonb | ColumnType::Boolean)
            }
        }
    }
}

/// One condition. All of a query's must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The column's name.
    pub column: String,
    /// Its type.
    pub column_type: ColumnType,
    /// How it is compared.
    pub operator: Operator,
    /// With what: values that [`check`] gave back. One, but for [`Operator::In`].
    pub values: Vec<String>,
}

/// One key of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The column's name.
    pub column: String,
    /// Its type.
    pub column_type: ColumnType,
    /// From the greatest down.
    pub descending: bool,
}

/// A page that is asked for. Its names must be the view's: they are quoted, and not looked up.
#[derive(Clone, Debug)]
pub struct Select {
    /// The public view.
    pub view: String,
    /// The columns that readers of the view may name: [`columns`].
    pub columns: Vec<(String, ColumnType)>,
    /// What each row shows, in order.
    pub fields: Vec<(String, ColumnType)>,
    /// Which rows.
    pub filters: Vec<Filter>,
    /// In which order; the last key is `id`, so that no two rows are equal.
    pub sort: Vec<Sort>,
    /// Rows at most.
    pub limit: u32,
    /// The keys of the row that the page before ended with.
    pub after: Option<Vec<Option<String>>>,
    /// Rows of the tenant in place of those that the view holds, or beside them; deleted ones hide theirs.
    pub own: Vec<OwnRow>,
}

/// A row that a reader has, and the view not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRow {
    /// The item's id.
    pub id: String,
    /// Whether it hides the view's row and shows none.
    pub deleted: bool,
    /// A text for each of [`Select::columns`], which is cast to the column's type.
    pub values: Vec<Option<String>>,
}

/// What was found.
#[derive(Debug)]
pub struct Page {
    /// In order.
    pub rows: Vec<Row>,
    /// Where the next page goes on; none when this is the last.
    pub next: Option<Vec<Option<String>>>,
}

/// What a parameter holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Argument {
    One(String),
    Many(Vec<String>),
    Column(Vec<Option<String>>),
}

/// A statement under construction.
#[derive(Debug, Default)]
struct Arguments(Vec<Argument>);

impl Arguments {
    /// `$3::text::numeric(14,2)`. By way of text, so that a parameter has one type for the driver, whatever the column's.
    fn one(&mut self, value: &str, column_type: ColumnType) -> String {
        self.0.push(Argument::One(value.to_owned()));
        format!("${}::text::{}", self.0.len(), unbounded(column_type))
    }

    fn many(&mut self, values: &[String], column_type: ColumnType) -> String {
        self.0.push(Argument::Many(values.to_vec()));
        format!("${}::text[]::{}[]", self.0.len(), unbounded(column_type))
    }
}

/// A value is compared as it was given: `numeric(14,2)` would round it before.
fn unbounded(column_type: ColumnType) -> String {
    match column_type {
        ColumnType::Numeric { .. } => "numeric".to_owned(),
        other => other.to_string(),
    }
}

impl Select {
    /// Reads the page of `tenant`'s rows.
    pub async fn fetch(&self, pool: &PgPool, tenant: &Tenant) -> Result<Page, ReadError> {
        let (sql, arguments) = self.statement(tenant)?;
        // Every name in it went through `quote`.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for argument in arguments.0 {
            query = match argument {
                Argument::One(value) => query.bind(value),
                Argument::Many(values) => query.bind(values),
                Argument::Column(values) => query.bind(values),
            };
        }
        let fields = self.fields.clone().into();
        let found = query.fetch_all(pool).await.map_err(classify)?;
        let mut rows: Vec<Row> = found.into_iter().map(|row| Row::new(row, Arc::clone(&fields))).collect();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|last| self.keys(last)).transpose()?;
        Ok(Page { rows, next })
    }

    /// The keys of a row.
    fn keys(&self, row: &Row) -> Result<Vec<Option<String>>, ReadError> {
        let read: Vec<_> = self.read().collect();
        let place = |key: &Sort| read.iter().position(|(name, _)| *name == key.column);
        let keys = self.sort.iter().filter_map(|key| place(key).map(|place| (place, key.column_type)));
        keys.map(|(place, column_type)| row.text(place, column_type)).collect()
    }

    /// The columns that are read: what rows show, then the keys that they do not show.
    fn read(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let shown = |key: &&Sort| self.fields.iter().any(|(name, _)| *name == key.column);
        let keys = self.sort.iter().filter(move |key| !shown(key));
        let fields = self.fields.iter().map(|(name, column_type)| (name.as_str(), *column_type));
        fields.chain(keys.map(|key| (key.column.as_str(), key.column_type)))
    }

    fn statement(&self, tenant: &Tenant) -> Result<(String, Arguments), ReadError> {
        let quoted =
            |name: &str| identifier(name).map_err(|source| Error::Name { view: self.view.clone(), source });
        let mut arguments = Arguments::default();
        let mut conditions = vec![format!("tenant = {}", arguments.one(tenant.as_str(), ColumnType::Text))];
        for filter in &self.filters {
            conditions.push(condition(&quoted(&filter.column)?, filter, &mut arguments));
        }
        let keys: Vec<String> = self.sort.iter().map(|key| quoted(&key.column)).collect::<Result<_, _>>()?;
        // By their full names: plain ones would be those of the columns as they are shown.
        let order = keys
            .iter()
            .zip(&self.sort)
            .map(|(key, sort)| format!("t.{key}{}", if sort.descending { " DESC" } else { "" }))
            .collect::<Vec<_>>()
            .join(", ");
        let (mut names, mut shown) = (Vec::new(), Vec::new());
        for (name, column_type) in self.read() {
            let name = quoted(name)?;
            shown.push(row::expression(&format!("t.{name}"), column_type));
            names.push(name);
        }
        let (names, shown, source) =
            (names.join(", "), shown.join(", "), self.source(&mut arguments, &quoted)?);
        // One more than wanted tells whether there are more.
        let limit = self.limit.saturating_add(1);
        let conditions = conditions.join(" AND ");
        let ranges = match &self.after {
            None => vec![String::new()],
            Some(after) => keyset::ranges(&self.sort, &keys, after, &mut arguments),
        };
        let found = match ranges.as_slice() {
            [range] => format!("{source} t WHERE {conditions}{range}"),
            ranges => {
                let branch = |range| {
                    format!(
                        "(SELECT {names} FROM {source} t WHERE {conditions}{range} ORDER BY {order} LIMIT {limit})"
                    )
                };
                format!("({}) t", ranges.iter().map(branch).collect::<Vec<_>>().join("\nUNION ALL "))
            }
        };
        let sql = format!("SELECT {shown} FROM {found}\nORDER BY {order} LIMIT {limit}");
        Ok((sql, arguments))
    }
}

impl Select {
    /// The view, or the view with the reader's own rows over it.
    fn source(
        &self,
        arguments: &mut Arguments,
        quoted: &impl Fn(&str) -> Result<String, Error>,
    ) -> Result<String, ReadError> {
        let view = quoted(&self.view)?;
        if self.own.is_empty() {
            return Ok(view);
        }
        let names: Vec<String> =
            self.columns.iter().map(|(name, _)| quoted(name)).collect::<Result<_, _>>()?;
        let names = names.join(", ");
        let ids: Vec<String> = self.own.iter().map(|row| row.id.clone()).collect();
        let hidden = arguments.many(&ids, ColumnType::Text);
        let shown: Vec<&OwnRow> = self.own.iter().filter(|row| !row.deleted).collect();
        let mut arrays = Vec::new();
        let mut casts = Vec::new();
        for (index, (name, column_type)) in self.columns.iter().enumerate() {
            let values = shown.iter().map(|row| row.values.get(index).cloned().flatten()).collect();
            arguments.0.push(Argument::Column(values));
            arrays.push(format!("${}::text[]", arguments.0.len()));
            let collation = if index == 0 { " COLLATE \"C\"" } else { "" };
            casts.push(format!("c{index}::{column_type}{collation} AS {}", quoted(name)?));
        }
        let aliases: Vec<String> = (0..self.columns.len()).map(|index| format!("c{index}")).collect();
        // The tenant of every statement is its first argument.
        Ok(format!(
            "(SELECT tenant, {names} FROM {view} WHERE tenant = $1 AND NOT id = ANY ({hidden})\n\
             UNION ALL SELECT $1::text COLLATE \"C\", {} FROM unnest({}) AS s ({}))",
            casts.join(", "),
            arrays.join(", "),
            aliases.join(", "),
        ))
    }
}

fn condition(column: &str, filter: &Filter, arguments: &mut Arguments) -> String {
    let first = filter.values.first().map_or("", String::as_str);
    let mut compare =
        |operator: &str| format!("{column} {operator} {}", arguments.one(first, filter.column_type));
    match filter.operator {
        Operator::Eq => compare("="),
        Operator::Ne => compare("IS DISTINCT FROM"),
        Operator::Lt => compare("<"),
        Operator::Lte => compare("<="),
        Operator::Gt => compare(">"),
        Operator::Gte => compare(">="),
        Operator::Prefix => compare("^@"),
        Operator::Contains => compare("@>"),
        Operator::In => {
            format!("{column} = ANY ({})", arguments.many(&filter.values, filter.column_type))
        }
        Operator::Null if first == "true" => format!("{column} IS NULL"),
        Operator::Null => format!("{column} IS NOT NULL"),
    }
}

/// Which failure is which.
pub(super) fn classify(error: sqlx::Error) -> ReadError {
    let sqlstate = match &error {
        sqlx::Error::Database(refusal) => refusal.code().unwrap_or_default().into_owned(),
        _ => String::new(),
    };
    match sqlstate.as_str() {
        "57014" => ReadError::TooSlow,
        // A value out of its type's range, such as a year that Postgres does not have.
        code if code.starts_with("22") => ReadError::Refused(
            error.as_database_error().map_or_else(String::new, |refusal| refusal.message().to_owned()),
        ),
        _ => ReadError::Unavailable(error.into()),
    }
}

#[cfg(test)]
mod tests;
