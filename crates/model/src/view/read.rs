//! The `views` of a model file.
//!
//! The form has been checked against the language's schema, so what is missing or of another type here was reported
//! there, and is passed over.

mod opensearch;
mod postgres;

use aqueduct_contract::TypeName;

use super::fit::{Known, never};
use super::{PostgresView, SearchView, View};
use crate::Expression;
use crate::document::{Entry, Node, Place};
use crate::problem::Report;
use crate::schema::Schema;

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
        postgres: Some(PostgresView { columns: vec![postgres::whole()], ..PostgresView::default() }),
        opensearch: Some(SearchView::default()),
    }
}

/// Reads every view; `schema` is the type's, where it compiled.
pub(crate) fn read(
    views: &Node,
    type_name: &TypeName,
    schema: Option<&Schema>,
    report: &mut Report,
) -> Vec<View> {
    let known = Known { schema, element: None };
    let mut found = Vec::new();
    for Entry { key, place, value } in views.entries() {
        check_view_name(key, *place, report);
        let condition = value.get("where").and_then(|node| condition(node, &known, report));
        let table = value.get("postgres").map(|node| postgres::read(node, &known, report));
        let index = value.get("opensearch").map(|node| opensearch::read(node, &known, report));
        if table.is_none() && index.is_none() && !value.entries().is_empty() {
            report.add(*place, format!("the view `{key}` is in `postgres`, in `opensearch` or in both"));
        }
        found.push(View {
            name: key.clone(),
            type_name: type_name.clone(),
            // Each store's half says all that its rows or documents are made from.
            postgres: table.map(|table| PostgresView { condition: condition.clone(), ..table }),
            opensearch: index.map(|index| SearchView { condition, ..index }),
        });
    }
    found
}

/// The names of a type's views and child tables.
pub(crate) fn names(views: &Node) -> Vec<Named> {
    let named = |entry: &Entry, is_child| Named { name: entry.key.clone(), place: entry.place, is_child };
    let mut names = Vec::new();
    for view in views.entries() {
        names.push(named(view, false));
        let children = view.value.get("postgres").and_then(|node| node.get("children"));
        names.extend(children.into_iter().flat_map(Node::entries).map(|child| named(child, true)));
    }
    names
}

/// The name of a view or child table, which no other of the model may have.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) is_child: bool,
}

/// Generations are tables beside the view, `orders__g1`: no view or child table may have such a name.
fn check_view_name(name: &str, place: Place, report: &mut Report) {
    let generation = name.rsplit_once("__g").map(|(_, number)| number);
    if generation.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        report.add(place, format!("the name `{name}` ends as the tables of generations do"));
    }
}

fn condition(node: &Node, known: &Known<'_>, report: &mut Report) -> Option<Expression> {
    let condition = expression(node, "where", known, report)?;
    if let Some(types) = never("boolean", &condition, known) {
        report.add(node.place, format!("`where`: is true or false, and this is of type {types}"));
    }
    Some(condition)
}

fn expression(node: &Node, key: &str, known: &Known<'_>, report: &mut Report) -> Option<Expression> {
    let source = node.text()?;
    let compiled = match &known.element {
        None => Expression::compile(source, known.schema),
        Some(element) => Expression::compile_for_elements(source, known.schema, element.clone()),
    };
    match compiled {
        Ok(expression) => Some(expression),
        Err(mistakes) => {
            for mistake in mistakes {
                report.suggest(node.place, format!("`{key}`: {}", mistake.message), mistake.suggestion);
            }
            None
        }
    }
}
