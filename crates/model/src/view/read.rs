//! The `views` of a model file.
//!
//! The form has been checked against the language's schema, so what is missing or of another type here was reported
//! there, and is passed over.

use aqueduct_contract::TypeName;

use super::column_type::ColumnType;
use super::fit::misfit;
use super::{Column, PostgresView, SearchView, View};
use crate::Expression;
use crate::document::{Entry, Node, Place};
use crate::problem::Report;
use crate::schema::Schema;

/// Columns of every table, of ours and of Postgres's own.
const RESERVED_COLUMNS: [&str; 12] = [
    "tenant",
    "id",
    "item_version",
    "deleted",
    "created_at",
    "updated_at",
    "tableoid",
    "xmin",
    "cmin",
    "xmax",
    "cmax",
    "ctid",
];

/// The view of a type that has no `views`: a table with its attributes in one column, an index with all of them.
pub(crate) fn default_view(type_name: &TypeName, place: Place, report: &mut Report) -> View {
    let name = type_name.lower();
    if name.len() > super::NAME_LIMIT {
        let message = format!(
            "a view named `{name}` would be longer than {} characters: give the type `views`",
            super::NAME_LIMIT
        );
        report.add(place, message);
    }
    check_view_name(&name, place, report);
    View {
        name,
        type_name: type_name.clone(),
        postgres: Some(PostgresView { columns: vec![whole()] }),
        opensearch: Some(SearchView { mappings: None, document: None }),
    }
}

/// Reads every view; `schema` is the type's, where it compiled.
pub(crate) fn read(
    views: &Node,
    type_name: &TypeName,
    schema: Option<&Schema>,
    report: &mut Report,
) -> Vec<View> {
    let mut found = Vec::new();
    for Entry { key, place, value } in views.entries() {
        check_view_name(key, *place, report);
        found.push(View {
            name: key.clone(),
            type_name: type_name.clone(),
            postgres: value.get("postgres").map(|node| postgres(node, schema, report)),
            opensearch: value.get("opensearch").map(|node| opensearch(node, schema, report)),
        });
    }
    found
}

/// Generations are tables beside the view, `orders__g1`: no view may have such a name.
fn check_view_name(name: &str, place: Place, report: &mut Report) {
    let generation = name.rsplit_once("__g").map(|(_, number)| number);
    if generation.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        report.add(place, format!("the view name `{name}` ends as the tables of generations do"));
    }
}

fn postgres(node: &Node, schema: Option<&Schema>, report: &mut Report) -> PostgresView {
    let Some(columns) = node.get("columns") else { return PostgresView { columns: vec![whole()] } };
    let columns = columns.entries().iter().filter_map(|entry| column(entry, schema, report)).collect();
    PostgresView { columns }
}

fn column(entry: &Entry, schema: Option<&Schema>, report: &mut Report) -> Option<Column> {
    let name = &entry.key;
    if RESERVED_COLUMNS.contains(&name.as_str()) {
        report.add(entry.place, format!("every table has a column `{name}` already"));
    }
    let column_type = entry.value.get("type").and_then(|node| column_type(node, report));
    let from = entry.value.get("from").and_then(|node| expression(node, "from", schema, report));
    let (column_type, from) = (column_type?, from?);
    if let Some(schema) = schema
        && let Some(message) = misfit(&from, schema, column_type)
    {
        let place = entry.value.get("from").map_or(entry.place, |node| node.place);
        report.add(place, message);
    }
    let index =
        entry.value.get("index").is_some_and(|node| matches!(node.tree, crate::document::Tree::Bool(true)));
    Some(Column { name: name.clone(), column_type, from, index })
}

fn column_type(node: &Node, report: &mut Report) -> Option<ColumnType> {
    match node.text()?.parse() {
        Ok(column_type) => Some(column_type),
        Err(error) => {
            let suggestion = ColumnType::suggestion(node.text()?);
            report.suggest(node.place, error.to_string(), suggestion);
            None
        }
    }
}

fn opensearch(node: &Node, schema: Option<&Schema>, report: &mut Report) -> SearchView {
    let document = node.get("document").and_then(|node| {
        let document = expression(node, "document", schema, report)?;
        if let Some(schema) = schema
            && let Some(types) = super::fit::not_an_object(&document, schema)
        {
            report
                .add(node.place, format!("`document`: a document is an object, and this is of type {types}"));
        }
        Some(document)
    });
    SearchView { mappings: node.get("mappings").map(Node::json), document }
}

fn expression(node: &Node, key: &str, schema: Option<&Schema>, report: &mut Report) -> Option<Expression> {
    match Expression::compile(node.text()?, schema) {
        Ok(expression) => Some(expression),
        Err(mistakes) => {
            for mistake in mistakes {
                report.suggest(node.place, format!("`{key}`: {}", mistake.message), mistake.suggestion);
            }
            None
        }
    }
}

/// The one column of a table that is given none.
fn whole() -> Column {
    Column {
        name: "attributes".to_owned(),
        column_type: ColumnType::Jsonb,
        from: Expression::whole(),
        index: false,
    }
}
