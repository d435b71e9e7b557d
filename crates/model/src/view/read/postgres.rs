//! The `postgres` of a view.

use super::{check_view_name, expression};
use crate::Expression;
use crate::document::{Entry, Node, Tree};
use crate::problem::Report;
use crate::spelling::nearest;
use crate::view::fit::{Known, misfit, never};
use crate::view::{ChildTable, Column, ColumnType, PostgresView, TextSearch, default};

/// Columns of every view's table.
const OWN_COLUMNS: [&str; 6] = ["tenant", "id", "item_version", "deleted", "created_at", "updated_at"];
/// Columns of every child table.
const CHILD_COLUMNS: [&str; 4] = ["tenant", "id", "position", "item_version"];
/// Columns of Postgres's own.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

pub(super) fn read(node: &Node, known: &Known<'_>, report: &mut Report) -> PostgresView {
    let given = node.get("columns").map(|node| columns(node, &OWN_COLUMNS, known, report));
    let columns = given.unwrap_or_else(|| vec![whole()]);
    let children = node.get("children").into_iter().flat_map(Node::entries);
    let children = children.filter_map(|entry| child(entry, known, report)).collect();
    let indexes = indexes(node, &["item_version", "created_at", "updated_at"], &columns, report);
    let search = node.get("search").and_then(|node| search(node, &columns, report));
    if let (Some(_), Some(given)) = (&search, node.get("columns"))
        && let Some(entry) = given.entries().iter().find(|entry| entry.key == TextSearch::COLUMN)
    {
        report.add(entry.place, "the column `search` is the one that the view's `search` makes");
    }
    PostgresView { columns, children, indexes, search, condition: None }
}

/// The one column of a table that is given none.
pub(super) fn whole() -> Column {
    Column {
        name: "attributes".to_owned(),
        column_type: ColumnType::Jsonb,
        from: Expression::whole(),
        index: false,
        default: None,
    }
}

fn child(entry: &Entry, known: &Known<'_>, report: &mut Report) -> Option<ChildTable> {
    let Entry { key, place, value } = entry;
    check_view_name(key, *place, report);
    let each = value.get("each").and_then(|node| {
        let each = expression(node, "each", known, report)?;
        if let Some(types) = never("array", &each, known) {
            report.add(
                node.place,
                format!("`each`: elements are those of a list, and this is of type {types}"),
            );
        }
        Some(each)
    });
    let element = each.as_ref().and_then(|each| known.shape_at(each)).and_then(|list| list.item());
    let known = Known { element: Some(element), ..known.clone() };
    let columns = columns(value.get("columns")?, &CHILD_COLUMNS, &known, report);
    let indexes = indexes(value, &["position", "item_version"], &columns, report);
    Some(ChildTable { name: key.clone(), each: each?, columns, indexes })
}

/// The `indexes` of a table, over its columns and those of `own`.
fn indexes(node: &Node, own: &[&str], columns: &[Column], report: &mut Report) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for index in node.get("indexes").into_iter().flat_map(Node::items) {
        let mut names: Vec<String> = Vec::new();
        for node in index.items() {
            let Some(name) = node.text() else { continue };
            let column = columns.iter().find(|column| column.name == name);
            if ["tenant", "id"].contains(&name) {
                report.add(
                    node.place,
                    format!(
                        "`indexes`: every index begins with tenant and ends with id, `{name}` is left out"
                    ),
                );
            } else if column.is_none() && !own.contains(&name) {
                let known = columns.iter().map(|column| column.name.as_str()).chain(own.iter().copied());
                report.suggest(
                    node.place,
                    format!("`indexes`: there is no column `{name}`"),
                    nearest(name, known),
                );
            } else if column.is_some_and(|column| column.column_type == ColumnType::Jsonb) {
                report.add(
                    node.place,
                    format!("`indexes`: `{name}` is a jsonb, which has an index of its own: `index: true`"),
                );
            }
            names.push(name.to_owned());
        }
        let alone = |column: &Column| column.index && names == [column.name.as_str()];
        if found.contains(&names) || columns.iter().any(alone) {
            report.add(index.place, "`indexes`: the same index stands twice");
        }
        found.push(names);
    }
    found
}

fn search(node: &Node, columns: &[Column], report: &mut Report) -> Option<TextSearch> {
    let mut names = Vec::new();
    for node in node.get("columns")?.items() {
        let Some(name) = node.text() else { continue };
        match columns.iter().find(|column| column.name == name) {
            Some(column) if matches!(column.column_type, ColumnType::Text | ColumnType::Jsonb) => {}
            Some(Column { column_type, .. }) => {
                report.add(
                    node.place,
                    format!("`search`: `{name}` is a {column_type}, which has no words; text and jsonb have"),
                );
            }
            None => {
                let known = columns.iter().map(|column| column.name.as_str());
                report.suggest(
                    node.place,
                    format!("`search`: there is no column `{name}`"),
                    nearest(name, known),
                );
            }
        }
        names.push(name.to_owned());
    }
    let language = node.get("language").map_or(Some("simple"), Node::text)?;
    Some(TextSearch { columns: names, language: language.to_owned() })
}

fn columns(node: &Node, reserved: &[&str], known: &Known<'_>, report: &mut Report) -> Vec<Column> {
    node.entries().iter().filter_map(|entry| column(entry, reserved, known, report)).collect()
}

fn column(entry: &Entry, reserved: &[&str], known: &Known<'_>, report: &mut Report) -> Option<Column> {
    let name = &entry.key;
    if reserved.iter().chain(&SYSTEM_COLUMNS).any(|reserved| reserved == name) {
        report.add(entry.place, format!("every table has a column `{name}` already"));
    }
    let column_type = entry.value.get("type").and_then(|node| column_type(node, report));
    let from = entry.value.get("from").and_then(|node| expression(node, "from", known, report));
    let (column_type, from) = (column_type?, from?);
    if let Some(message) = misfit(&from, known, column_type) {
        let place = entry.value.get("from").map_or(entry.place, |node| node.place);
        report.add(place, message);
    }
    let index = entry.value.get("index").is_some_and(|node| matches!(node.tree, Tree::Bool(true)));
    let default = entry.value.get("default").map(|node| {
        let value = node.json();
        if let Some(message) = default::misfit(&value, column_type) {
            report.add(node.place, format!("`default`: {message}"));
        }
        value
    });
    Some(Column { name: name.clone(), column_type, from, index, default })
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
