//! Columns that no value of their source could ever fill, as far as the schema tells.
//!
//! Only what is certain is refused: a path whose type the schema leaves open may hold anything.

use super::column_type::ColumnType;
use crate::Expression;
use crate::schema::{Field, Schema, Shape};

/// Why no value at `from` fits a column of that type.
pub(super) fn misfit(from: &Expression, known: &Known<'_>, column_type: ColumnType) -> Option<String> {
    let shape = known.shape_at(from)?;
    let types = shape.types()?;
    let format = shape.format();
    let possible = types.iter().filter(|of| **of != "null").any(|of| fits(of, format, column_type));
    let only_null = types.iter().all(|of| *of == "null");
    (!possible && !only_null).then(|| {
        let of = types.join(" or ");
        let format = format.map(|format| format!(" with the format {format}")).unwrap_or_default();
        format!("`{}` is of type {of}{format}, which is never a {column_type}", from.source())
    })
}

/// The types that `from` can have, if it is never of the type `expected`.
pub(super) fn never(expected: &str, from: &Expression, known: &Known<'_>) -> Option<String> {
    let types = known.shape_at(from)?.types()?;
    (!types.contains(&expected)).then(|| types.join(" or "))
}

/// What is known of what expressions see.
#[derive(Clone, Debug, Default)]
pub(super) struct Known<'s> {
    /// The type's schema, where it compiled.
    pub(super) schema: Option<&'s Schema>,
    /// Of `it`, where there is one.
    pub(super) element: Option<Option<Shape<'s>>>,
}

impl<'s> Known<'s> {
    /// What is known of the value at a plain path.
    pub(super) fn shape_at(&self, from: &Expression) -> Option<Shape<'s>> {
        let (start, fields) = match (from.path(), from.element_path()) {
            (Some(fields), _) => (Shape::of(self.schema?.json()), fields),
            (None, Some(fields)) => (self.element.clone()??, fields),
            (None, None) => return None,
        };
        fields.iter().try_fold(start, |shape, field| match shape.field(field) {
            Field::Possible(shape) => shape,
            Field::Never(_) | Field::NoObject(_) => None,
        })
    }
}

/// Whether Postgres could read a value of that JSON type as the column's. Text without a format may spell anything.
fn fits(of: &str, format: Option<&str>, column_type: ColumnType) -> bool {
    match (column_type, of) {
        (ColumnType::Text | ColumnType::Jsonb, _) => true,
        (_, "array" | "object") => false,
        (ColumnType::Bigint | ColumnType::Integer, "integer" | "number")
        | (ColumnType::Numeric { .. } | ColumnType::DoublePrecision, "integer" | "number")
        | (ColumnType::Boolean, "boolean") => true,
        (_, "string") => match format {
            None => true,
            Some("decimal") => {
                matches!(column_type, ColumnType::Numeric { .. } | ColumnType::DoublePrecision)
            }
            Some("date-time" | "date") => matches!(column_type, ColumnType::Timestamptz | ColumnType::Date),
            Some("uuid") => column_type == ColumnType::Uuid,
            Some(_) => false,
        },
        _ => false,
    }
}
