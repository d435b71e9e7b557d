//! An item as a row of the `data` table.

use aqueduct_contract::{Item, ItemKey, format_time};
use aws_sdk_dynamodb::types::AttributeValue;

use super::attributes;
use crate::Result;
use crate::row::{Attributes, Row, number, text};

/// The row of `item`, or why it cannot be one.
pub(crate) fn row_of(item: &Item) -> Result<Attributes> {
    let attributes = [
        ("pk", text(item.key.pk())),
        ("sk", text(item.key.sk())),
        ("item_version", number(item.version)),
        ("deleted", AttributeValue::Bool(item.deleted)),
        ("created_at", text(format_time(item.created_at))),
        ("created_by", text(&item.created_by)),
        ("updated_at", text(format_time(item.updated_at))),
        ("updated_by", text(&item.updated_by)),
        ("attributes", attributes::encode_fields(&item.attributes)?),
    ];
    Ok(attributes.map(|(name, value)| (name.to_owned(), value)).into())
}

/// The item of a row.
pub(super) fn of_row(mut row: Row<'_>) -> Result<Item> {
    let fields = match row.attributes.remove("attributes") {
        Some(AttributeValue::M(fields)) => fields,
        _ => return Err(row.corrupt("its attributes are missing")),
    };
    Ok(Item {
        key: ItemKey::from_pk_sk(&row.parse::<String>("pk")?, &row.parse::<String>("sk")?)
            .map_err(|error| row.corrupt(error))?,
        version: row.parse("item_version")?,
        attributes: attributes::decode_fields(fields).map_err(|error| row.corrupt(error))?,
        deleted: row.flag("deleted")?,
        created_at: row.parse("created_at")?,
        created_by: row.parse("created_by")?,
        updated_at: row.parse("updated_at")?,
        updated_by: row.parse("updated_by")?,
    })
}

/// What [`DataTable`](super::DataTable) returns for `item` when it holds it: its numbers are equal by amount, though
/// `1.0` is then `1`. Who compares a store with it by value compares with this.
pub fn as_stored(item: &Item) -> Result<Item> {
    of_row(Row { table: "data", attributes: row_of(item)? })
}
