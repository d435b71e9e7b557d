//! The `letters` table: a row for each item that a consumer group could not apply an event of.
//!
//! Its owner, the process that has the partition, loads a partition's letters when it gets it and works on those that
//! somebody set to [`State::Redrive`]. Every change makes a new revision, and whoever replaces or removes a letter names
//! the revision that was read: a letter that changed meanwhile stays.

use std::str::FromStr;

use aqueduct_contract::{ItemKey, Names, Version, format_time};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, ScalarAttributeType};
use futures::stream::{self, Stream, TryStreamExt};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::condition_failed;
use crate::row::{Attributes, Row, number, text};
use crate::setup::Table;
use crate::{Error, Result};

pub(crate) fn table() -> Table {
    Table {
        name: "letters",
        partition: ("partition", ScalarAttributeType::S),
        sort: Some(("item", ScalarAttributeType::S)),
        indexes: vec![],
        expires: None,
    }
}

/// An item's first event that a group has not applied, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The consumer group.
    pub group: String,
    /// The topic of the record.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The record's key; for a record whose key is not an item's, [`Letter::without_item`].
    pub item: String,
    /// The first version not applied, where it is known.
    pub version: Option<Version>,
    /// The stable code of what is wrong, such as `EventInvalid`.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often somebody had it tried again, to no avail.
    pub redrives: u32,
    /// When it was filed first.
    pub filed_at: Timestamp,
    /// Where it stands.
    pub state: State,
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for somebody to decide.
    Open,
    /// Is to be tried again by the owner of its partition.
    Redrive,
    /// Waits, and the later events of its item with it.
    Parked,
    /// Was redriven too often to no avail: is not, unless somebody insists.
    Quarantined,
}

/// A letter as it was read, with its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The letter.
    pub letter: Letter,
    revision: Uuid,
}

impl Letter {
    /// What stands for the item of a record whose key is not an item's: no key of an item begins with `@`.
    #[must_use]
    pub fn without_item(offset: i64) -> String {
        format!("@{offset}")
    }
}

/// The letters of all groups.
#[derive(Clone, Debug)]
pub struct Letters {
    client: Client,
    table: String,
}

impl Letters {
    /// The letters under `names`.
    #[must_use]
    pub fn new(client: Client, names: &Names) -> Letters {
        Letters { client, table: names.table("letters") }
    }

    /// Files a letter, in place of the item's earlier one if there is one.
    pub async fn put(&self, letter: &Letter) -> Result<Filed> {
        let filed = Filed { letter: letter.clone(), revision: Uuid::new_v4() };
        let put = self.client.put_item().table_name(&self.table).set_item(Some(filed.row()));
        put.send().await.map_err(Error::of)?;
        Ok(filed)
    }

    /// Puts `letter` in the place of `filed` unless that changed or went meanwhile; `None` if so. Both are of one item.
    pub async fn replace_if_unchanged(&self, filed: &Filed, letter: &Letter) -> Result<Option<Filed>> {
        let new = Filed { letter: letter.clone(), revision: Uuid::new_v4() };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(new.row()))
            .condition_expression("revision = :revision")
            .expression_attribute_values(":revision", text(filed.revision))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        use aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException;
        match put.send().await {
            Ok(_) => Ok(Some(new)),
            Err(error) => match error.as_service_error() {
                // Where the answer was lost, the new revision stands.
                Some(ConditionalCheckFailedException(failed)) => match failed.item() {
                    Some(row) if self.read(row.clone())?.revision == new.revision => Ok(Some(new)),
                    _ => Ok(None),
                },
                _ => Err(Error::of(error)),
            },
        }
    }

    /// Removes the letter unless it changed meanwhile. `true` when it is gone, whoever removed it.
    pub async fn remove_if_unchanged(&self, filed: &Filed) -> Result<bool> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("partition", text(partition_key(&filed.letter)))
            .key("item", text(&filed.letter.item))
            .condition_expression("attribute_not_exists(revision) OR revision = :revision")
            .expression_attribute_values(":revision", text(filed.revision));
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if condition_failed(&error) => Ok(false),
            Err(error) => Err(Error::of(error)),
        }
    }

    /// The letters of one partition in a group, all in memory: their number is bounded by the engine's brake.
    pub async fn load(&self, group: &str, topic: &str, partition: i32) -> Result<Vec<Filed>> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#partition = :partition")
            .expression_attribute_names("#partition", "partition")
            .expression_attribute_values(":partition", text(join(group, topic, partition)))
            .consistent_read(true);
        let rows = query.into_paginator().items().send();
        rows.try_collect().await.map_err(Error::of)?.into_iter().map(|row| self.read(row)).collect()
    }

    /// The letter of an item in a group, whose events are in that partition.
    pub async fn get(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        item: &ItemKey,
    ) -> Result<Option<Filed>> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("partition", text(join(group, topic, partition)))
            .key("item", text(item.to_string()))
            .consistent_read(true);
        get.send().await.map_err(Error::of)?.item.map(|row| self.read(row)).transpose()
    }

    /// The letters of all groups, in no order, with one page in memory.
    pub fn all(&self) -> impl Stream<Item = Result<Filed>> + '_ {
        let rows =
            self.client.scan().table_name(&self.table).consistent_read(true).into_paginator().items().send();
        stream::try_unfold(rows, move |mut rows| async move {
            match rows.next().await {
                None => Ok(None),
                Some(row) => Ok(Some((self.read(row.map_err(Error::of)?)?, rows))),
            }
        })
        .into_stream()
    }

    fn read(&self, row: Attributes) -> Result<Filed> {
        let row = Row { table: &self.table, attributes: row };
        let letter = Letter {
            group: row.parse("group")?,
            topic: row.parse("topic")?,
            partition: row.parse("topic_partition")?,
            offset: row.parse("offset")?,
            item: row.parse("item")?,
            version: row.parse_optional("item_version")?,
            code: row.parse("code")?,
            message: row.parse("message")?,
            attempts: row.parse("attempts")?,
            redrives: row.parse("redrives")?,
            filed_at: row.parse("filed_at")?,
            state: row.parse("state")?,
        };
        Ok(Filed { letter, revision: row.parse("revision")? })
    }
}

fn join(group: &str, topic: &str, partition: i32) -> String {
    format!("{group}|{topic}-{partition}")
}

fn partition_key(letter: &Letter) -> String {
    join(&letter.group, &letter.topic, letter.partition)
}

impl Filed {
    fn row(&self) -> Attributes {
        let letter = &self.letter;
        let mut row = vec![
            ("partition", text(partition_key(letter))),
            ("item", text(&letter.item)),
            ("group", text(&letter.group)),
            ("topic", text(&letter.topic)),
            ("topic_partition", number(letter.partition)),
            ("offset", number(letter.offset)),
            ("code", text(&letter.code)),
            ("message", text(&letter.message)),
            ("attempts", number(letter.attempts)),
            ("redrives", number(letter.redrives)),
            ("filed_at", text(format_time(letter.filed_at))),
            ("state", text(letter.state.as_str())),
            ("revision", text(self.revision)),
        ];
        row.extend(letter.version.map(|version| ("item_version", number(version))));
        row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl State {
    /// The state as text: `open`, `redrive`, `parked`, `quarantined`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Redrive => "redrive",
            State::Parked => "parked",
            State::Quarantined => "quarantined",
        }
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<State, String> {
        let states = [State::Open, State::Redrive, State::Parked, State::Quarantined];
        states
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a state of a letter"))
    }
}
