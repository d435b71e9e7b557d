//! The `postgres` of a view.

use super::{check_view_name, expression};
use crate::Expression;
use crate::document::{Entry, Node, Tree};
use crate::problem::Report;
use crate::view::fit::{Known, misfit, never};
use crate::view::{ChildTable, Column, ColumnType, PostgresView};

/// Columns of every view's table.
const OWN_COLUMNS: [&str; 6] = ["tenant", "id", "item_version", "deleted", "created_at", "updated_at"];
/// Columns of every child table.
const CHILD_COLUMNS: [&str; 4] = ["tenant", "id", "position", "item_version"];
/// Columns of Postgres's own.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

pub(super) fn read(node: &Node, known: &Known<'_>, report: &mut Report) -> PostgresView {
    let given = node.get("columns").map(|node| columns(node, &OWN_COLUMNS, known, report));
    let children = node.get("children").into_iter().flat_map(Node::entries);
    PostgresView {
        columns: given.unwrap_or_else(|| vec![whole()]),
        children: children.filter_map(|entry| child(entry, known, report)).collect(),
    }
}

/// The one column of a table that is given none.
pub(super) fn whole() -> Column {
    Column {
        name: "attributes".to_owned(),
        column_type: ColumnType::Jsonb,
        from: Expression::whole(),
        index: false,
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
    Some(ChildTable { name: key.clone(), each: each?, columns })
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
