//! The `audit` table: what people did to letters, kept for ever.
//!
//! A letter is gone once it is redriven or discarded, and takes what is noted on it along; the dead-letter topic forgets
//! after 30 days and tells other consumers of failures, not of decisions. So an action has a row of its own, written
//! **before** the letter is touched and completed afterwards: no letter changes without a trace, and of a command that died
//! half-way the row says `asked`, which is all that is known.

use aqueduct_contract::{Names, Version, format_time};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::ScalarAttributeType;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::row::{Attributes, Row, number, text};
use crate::setup::Table;
use crate::{Error, Letter, Result};

pub(crate) fn table() -> Table {
    Table {
        name: "audit",
        partition: ("letter", ScalarAttributeType::S),
        sort: Some(("entry", ScalarAttributeType::S)),
        indexes: vec![],
        expires: None,
    }
}

/// One action of a person on a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When it was asked for.
    #[serde(with = "aqueduct_contract::micros")]
    pub at: Timestamp,
    /// Who did it: `user@host`.
    pub who: String,
    /// What was done: `redrive`, `discard`, `skip`.
    pub action: String,
    /// The letter's state before.
    pub state: String,
    /// The letter's code.
    pub code: String,
    /// The letter's version, where it is known.
    pub version: Option<Version>,
    /// `asked`; then `done`, or `changed` when the letter had changed meanwhile and was left alone.
    pub outcome: String,
    /// Tells two actions of the same moment apart.
    #[serde(skip)]
    id: Uuid,
}

impl Entry {
    /// What is about to be done to `letter`.
    #[must_use]
    pub fn new(who: &str, action: &str, letter: &Letter) -> Entry {
        Entry {
            at: Timestamp::now(),
            who: who.to_owned(),
            action: action.to_owned(),
            state: letter.state.as_str().to_owned(),
            code: letter.code.clone(),
            version: letter.version,
            outcome: "asked".to_owned(),
            id: Uuid::now_v7(),
        }
    }
}

/// What was done to the letters of all groups.
#[derive(Clone, Debug)]
pub struct Audit {
    client: Client,
    table: String,
}

impl Audit {
    /// The table under `names`.
    #[must_use]
    pub fn new(client: Client, names: &Names) -> Audit {
        Audit { client, table: names.table("audit") }
    }

    /// Notes an action on `letter`, or its outcome when it is noted already.
    pub async fn note(&self, letter: &Letter, entry: &Entry) -> Result<()> {
        let mut row: Attributes = [
            ("letter", text(key(letter))),
            ("entry", text(format!("{}|{}", format_time(entry.at), entry.id))),
            ("at", text(format_time(entry.at))),
            ("who", text(&entry.who)),
            ("action", text(&entry.action)),
            ("state", text(&entry.state)),
            ("code", text(&entry.code)),
            ("outcome", text(&entry.outcome)),
            ("id", text(entry.id)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        row.extend(entry.version.map(|version| ("item_version".to_owned(), number(version))));
        self.client.put_item().table_name(&self.table).set_item(Some(row)).send().await.map_err(Error::of)?;
        Ok(())
    }

    /// What was done to letters of this item in this group and partition, in order.
    pub async fn of(&self, letter: &Letter) -> Result<Vec<Entry>> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("letter = :letter")
            .expression_attribute_values(":letter", text(key(letter)))
            .consistent_read(true);
        let rows = query.into_paginator().items().send();
        rows.try_collect().await.map_err(Error::of)?.into_iter().map(|row| self.read(row)).collect()
    }

    fn read(&self, row: Attributes) -> Result<Entry> {
        let row = Row { table: &self.table, attributes: row };
        Ok(Entry {
            at: row.parse("at")?,
            who: row.parse("who")?,
            action: row.parse("action")?,
            state: row.parse("state")?,
            code: row.parse("code")?,
            version: row.parse_optional("item_version")?,
            outcome: row.parse("outcome")?,
            id: row.parse("id")?,
        })
    }
}

fn key(Letter { group, topic, partition, item, .. }: &Letter) -> String {
    format!("{group}|{topic}-{partition}|{item}")
}
