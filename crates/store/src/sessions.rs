//! The `sessions` table: what a caller has written and may not see in a read model yet.
//!
//! An entry names an item and the version that the caller wrote, and goes when the session is over. What was written stands
//! in `events`.

use std::time::Duration;

use aqueduct_contract::{ItemKey, Names, Tenant, TypeName, Version};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ScalarAttributeType;
use jiff::Timestamp;

use crate::error::condition_failed;
use crate::row::{Row, number, text};
use crate::setup::Table;
use crate::{Error, Result};

pub(crate) fn table() -> Table {
    Table {
        name: "sessions",
        partition: ("session", ScalarAttributeType::S),
        sort: Some(("entry", ScalarAttributeType::S)),
        indexes: vec![],
        expires: Some("expires"),
    }
}

/// What callers have written lately.
#[derive(Clone, Debug)]
pub struct Sessions {
    client: Client,
    table: String,
    lasts: Duration,
}

impl Sessions {
    /// The sessions under `names`, which last so long after each write.
    #[must_use]
    pub fn new(client: Client, names: &Names, lasts: Duration) -> Sessions {
        Sessions { client, table: names.table("sessions"), lasts }
    }

    /// Notes that `user` wrote this version of the item. A later one that is noted already stays.
    pub async fn note(&self, user: &str, key: &ItemKey, version: Version, now: Timestamp) -> Result<()> {
        let lasts = i64::try_from(self.lasts.as_secs()).unwrap_or(i64::MAX);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("session", text(session(user, key.tenant())))
            .item("entry", text(format!("{}#{}#{}", key.type_name(), key.pk(), key.sk())))
            .item("item", text(key.to_string()))
            .item("item_version", number(version))
            .item("expires", number(now.as_second().saturating_add(lasts)))
            .condition_expression("attribute_not_exists(entry) OR item_version < :version")
            .expression_attribute_values(":version", number(version));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if condition_failed(&error) => Ok(()),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// What `user` has written of a type lately, at most `limit` items. DynamoDB removes what is over only some time later.
    pub async fn written(
        &self,
        user: &str,
        tenant: &Tenant,
        type_name: &TypeName,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<(ItemKey, Version)>> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#session = :session AND begins_with(#entry, :type)")
            .filter_expression("expires > :now")
            .expression_attribute_names("#session", "session")
            .expression_attribute_names("#entry", "entry")
            .expression_attribute_values(":session", text(session(user, tenant)))
            .expression_attribute_values(":type", text(format!("{type_name}#")))
            .expression_attribute_values(":now", number(now.as_second()))
            .consistent_read(true);
        let mut rows = query.into_paginator().items().send();
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next().await
        {
            let row = Row { table: &self.table, attributes: row.map_err(Error::of)? };
            found.push((row.parse("item")?, row.parse("item_version")?));
        }
        Ok(found)
    }
}

/// A tenant has no `#`, so the last one divides.
fn session(user: &str, tenant: &Tenant) -> String {
    format!("{user}#{tenant}")
}
