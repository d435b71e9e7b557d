//! The `data` table: the latest item as native attributes, for reads and lists by tenant and type.
//!
//! Written by the projector only, and only when the version is higher than the one that stands: a late event changes
//! nothing. A deleted item stays, marked, or a late event would bring it back.

mod attributes;
mod item;
mod scan;

use aqueduct_contract::{Event, Guard, Item, ItemKey, Names, Tenant, TypeName};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ScalarAttributeType;
use futures::stream::{self, Stream, TryStreamExt};

pub use item::as_stored;
pub(crate) use item::row_of;

use crate::error::condition_failed;
use crate::row::{Attributes, Row, number, text};
use crate::setup::Table;
use crate::{Error, Result};

/// Pages that one list request reads before it answers with what it has: many deleted items in a row end it early.
const PAGES_A_LIST: usize = 10;

pub(crate) fn table() -> Table {
    Table {
        name: "data",
        partition: ("pk", ScalarAttributeType::S),
        sort: Some(("sk", ScalarAttributeType::S)),
        indexes: vec![],
        expires: None,
    }
}

/// The read table.
#[derive(Clone, Debug)]
pub struct DataTable {
    client: Client,
    table: String,
}

/// What a guarded write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The item stands as of this event.
    Applied,
    /// The version stood already, or a later one.
    Stale,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Items in order of their sort keys, none deleted.
    pub items: Vec<Item>,
    /// The sort key to start after for the rest; `None` at the end.
    pub next: Option<String>,
}

impl DataTable {
    /// The table under `names`.
    #[must_use]
    pub fn new(client: Client, names: &Names) -> DataTable {
        DataTable { client, table: names.table("data") }
    }

    /// Makes the item what it is after `event`, unless that version or a later one stands. Repeating it is harmless.
    /// [`Error::Unstorable`] and [`Error::TooLarge`] are the event's fault: no item of the kind can stand here.
    pub async fn put_if_newer(&self, event: &Event) -> Result<PutOutcome> {
        self.put(event, Guard::Older).await
    }

    /// The same, unless what stands is of a version that `guard` protects.
    pub async fn put(&self, event: &Event, guard: Guard) -> Result<PutOutcome> {
        let row = row_of(&event.item)?;
        let size = crate::row::size(&row);
        if size > crate::row::SIZE_LIMIT {
            return Err(Error::TooLarge { size, limit: crate::row::SIZE_LIMIT });
        }
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row))
            .condition_expression(match guard {
                Guard::Older => "attribute_not_exists(pk) OR item_version < :version",
                Guard::OlderOrSame => "attribute_not_exists(pk) OR item_version <= :version",
            })
            .expression_attribute_values(":version", number(event.item.version));
        match put.send().await {
            Ok(_) => Ok(PutOutcome::Applied),
            Err(error) if condition_failed(&error) => Ok(PutOutcome::Stale),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// Takes an item out that no event made. One that an event made has to stay, be it deleted: an older event would bring it back.
    pub async fn remove(&self, key: &ItemKey) -> Result<()> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.key("pk", text(key.pk())).key("sk", text(key.sk()));
        delete.send().await.map_err(Error::of)?;
        Ok(())
    }

    /// Whether the table can be read at all, for readiness.
    pub async fn probe(&self) -> Result<()> {
        // No item is there: no key of an item looks like this.
        let get = self.client.get_item().table_name(&self.table).key("pk", text("#")).key("sk", text("#"));
        get.send().await.map_err(Error::of)?;
        Ok(())
    }

    /// One item, deleted or not, read consistently.
    pub async fn get(&self, key: &ItemKey) -> Result<Option<Item>> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(key.pk()))
            .key("sk", text(key.sk()))
            .consistent_read(true);
        get.send().await.map_err(Error::of)?.item.map(|row| self.read(row)).transpose()
    }

    /// The items of a tenant and type that are not deleted, in order of their sort keys, at most `limit`, those after
    /// `start_after` if given (any text will do: it need not be there). A page may be short, or even empty, before the
    /// end: only [`Page::next`] tells.
    pub async fn list(
        &self,
        tenant: &Tenant,
        type_name: &TypeName,
        limit: u32,
        start_after: Option<&str>,
    ) -> Result<Page> {
        let limit = limit.max(1) as usize;
        let mut items: Vec<Item> = Vec::new();
        let mut after = start_after.map(str::to_owned);
        for _ in 0..PAGES_A_LIST {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .expression_attribute_values(":pk", text(format!("{tenant}#{type_name}")))
                .expression_attribute_values(":false", aws_sdk_dynamodb::types::AttributeValue::Bool(false))
                .filter_expression("deleted = :false")
                // One more than asked for tells whether there is a rest.
                .limit(i32::try_from(limit - items.len() + 1).unwrap_or(i32::MAX))
                .consistent_read(true);
            let query = match &after {
                None => query.key_condition_expression("pk = :pk"),
                Some(sk) => query
                    .key_condition_expression("pk = :pk AND sk > :after")
                    .expression_attribute_values(":after", text(sk)),
            };
            let page = query.send().await.map_err(Error::of)?;
            for row in page.items.unwrap_or_default() {
                items.push(self.read(row)?);
            }
            if items.len() > limit {
                items.truncate(limit);
                let next = items.last().map(|item| item.key.sk());
                return Ok(Page { items, next });
            }
            let Some(mut last) = page.last_evaluated_key else { return Ok(Page { items, next: None }) };
            after = last.remove("sk").and_then(|sk| sk.as_s().ok().cloned());
        }
        Ok(Page { items, next: after })
    }

    /// The items in one of `segments` parts of the table, which can be read side by side; deleted or not, in no order, with one page
    /// in memory.
    pub fn segment(&self, segment: i32, segments: i32) -> impl Stream<Item = Result<Item>> + '_ {
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let pages = scan.segment(segment).total_segments(segments).into_paginator().items().send();
        stream::try_unfold(pages, move |mut pages| async move {
            match pages.next().await {
                None => Ok(None),
                Some(row) => Ok(Some((self.read(row.map_err(Error::of)?)?, pages))),
            }
        })
        .into_stream()
    }

    fn read(&self, row: Attributes) -> Result<Item> {
        item::of_row(Row { table: &self.table, attributes: row })
    }
}
