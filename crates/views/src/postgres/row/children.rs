//! The rows that the elements of a list become.
//!
//! A list at a plain path is cut into its elements, and their columns are looked up in the text of each: nothing is parsed but
//! what an expression needs.

use std::borrow::Cow;

use aqueduct_model::{ChildTable, Element, Expression, Paths, Scope};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::{Values, made, taken};
use crate::MappingError;

/// Maps an item to the rows of one child table.
#[derive(Clone, Debug)]
pub(super) struct ChildMapper {
    table: ChildTable,
    /// Of the columns, in an element.
    paths: Paths,
    /// Some columns are more than a path.
    computes: bool,
}

impl ChildMapper {
    pub(super) fn new(table: &ChildTable) -> ChildMapper {
        let from = || table.columns.iter().map(|column| &column.from);
        ChildMapper {
            paths: Paths::of_elements(from()),
            computes: !from().all(|from| from.is_path() || from.is_element_path()),
            table: table.clone(),
        }
    }

    /// The list, and the columns. Those of them that are paths of the item are looked up with the item's others.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        std::iter::once(&self.table.each).chain(self.table.columns.iter().map(|column| &column.from))
    }

    pub(super) fn evaluates(&self) -> bool {
        self.computes || !self.table.each.is_path()
    }

    /// The rows of an item in which `found` stands at the paths of [`expressions`](ChildMapper::expressions).
    pub(super) fn rows<'i>(
        &self,
        found: &[Option<&'i RawValue>],
        scope: Option<&Scope<'_>>,
    ) -> Result<Vec<Values<'i>>, MappingError> {
        let fail =
            |message: String| MappingError { part: format!("child table {}", self.table.name), message };
        let no_list = |source: &str| fail(format!("`{source}` gives no list"));
        let (list, found) = found.split_first().map_or((None, found), |(list, found)| (*list, found));
        let Some(scope) = scope.filter(|_| !self.table.each.is_path()) else {
            let Some(list) = list.filter(|list| list.get() != "null") else { return Ok(Vec::new()) };
            let elements: Vec<&'i RawValue> =
                serde_json::from_str(list.get()).map_err(|_| no_list(self.table.each.source()))?;
            let rows = elements.into_iter().enumerate();
            return rows.map(|(position, element)| self.row(position, element, found, scope)).collect();
        };
        let list = self.table.each.evaluate(scope).map_err(|error| fail(error.to_string()))?;
        let elements = match list {
            Value::Null => Vec::new(),
            Value::Array(elements) => elements,
            _ => return Err(no_list(self.table.each.source())),
        };
        let rows = elements.iter().enumerate().map(|(position, element)| {
            let element = to_raw_value(element).map_err(|error| fail(error.to_string()))?;
            let row = self.row(position, &element, found, Some(scope))?;
            Ok(row.into_iter().map(|value| value.map(|text| Cow::Owned(text.into_owned()))).collect())
        });
        rows.collect()
    }

    fn row<'e>(
        &self,
        position: usize,
        element: &'e RawValue,
        of_item: &[Option<&'e RawValue>],
        scope: Option<&Scope<'_>>,
    ) -> Result<Values<'e>, MappingError> {
        let unreadable = |error: serde_json::Error| MappingError {
            part: format!("child table {}", self.table.name),
            message: error.to_string(),
        };
        let found = self.paths.look_up(element).map_err(unreadable)?;
        let parsed: Option<Value> =
            self.computes.then(|| serde_json::from_str(element.get())).transpose().map_err(unreadable)?;
        let element = scope.zip(parsed.as_ref()).map(|(scope, parsed)| Element::of(scope, parsed));
        let values = self.table.columns.iter().zip(found.into_iter().zip(of_item));
        let values = values.map(|(column, (found, of_item))| {
            let value = match &element {
                _ if column.from.is_element_path() => taken(column, found),
                Some(element) if !column.from.is_path() => made(column, column.from.evaluate_for(element)),
                _ => taken(column, *of_item),
            };
            value.map_err(|message| MappingError {
                part: format!("column {}.{} of element {position}", self.table.name, column.name),
                message,
            })
        });
        values.collect()
    }
}
