//! Columns that no value of their source could ever fill, as far as the schema tells.
//!
//! Only what is certain is refused: a path whose type the schema leaves open may hold anything.

use super::column_type::ColumnType;
use crate::Expression;
use crate::schema::{Field, Schema, Shape};

/// Why no value at `from` fits a column of that type.
pub(super) fn misfit(from: &Expression, schema: &Schema, column_type: ColumnType) -> Option<String> {
    let shape = shape_at(from, schema)?;
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

/// The type of `document`, if it is never an object.
pub(super) fn not_an_object(document: &Expression, schema: &Schema) -> Option<String> {
    let types = shape_at(document, schema)?.types()?;
    (!types.contains(&"object")).then(|| types.join(" or "))
}

fn shape_at<'s>(from: &Expression, schema: &'s Schema) -> Option<Shape<'s>> {
    from.path()?.iter().try_fold(Shape::of(schema.json()), |shape, field| match shape.field(field) {
        Field::Possible(shape) => shape,
        Field::Never(_) | Field::NoObject(_) => None,
    })
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
