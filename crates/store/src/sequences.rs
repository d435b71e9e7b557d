//! Running numbers: atomic counters in the `sequences` table.

use aqueduct_contract::{Names, Tenant, TypeName};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ReturnValue, ScalarAttributeType};

use crate::row::{Row, number, text};
use crate::setup::Table;
use crate::{Error, Result};

pub(crate) fn table() -> Table {
    Table {
        name: "sequences",
        partition: ("pk", ScalarAttributeType::S),
        sort: Some(("sk", ScalarAttributeType::S)),
        indexes: vec![],
        expires: None,
    }
}

/// The counters.
#[derive(Clone, Debug)]
pub struct Sequences {
    client: Client,
    table: String,
}

impl Sequences {
    /// The counters under `names`.
    #[must_use]
    pub fn new(client: Client, names: &Names) -> Sequences {
        Sequences { client, table: names.table("sequences") }
    }

    /// The next number, from 1, of a tenant's and type's counter; `counter` tells apart those of one type, such as the
    /// years of a number that begins again each January. No number is given twice. One can be left out: when its answer was lost, or
    /// its command failed after drawing it.
    pub async fn next(&self, tenant: &Tenant, type_name: &TypeName, counter: &str) -> Result<u64> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("pk", text(format!("SEQ#{tenant}")))
            .key("sk", text(format!("{type_name}#{counter}")))
            .update_expression("ADD #value :one")
            .expression_attribute_names("#value", "value")
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::UpdatedNew);
        let answer = update.send().await.map_err(Error::of)?;
        Row { table: &self.table, attributes: answer.attributes.unwrap_or_default() }.parse("value")
    }
}
