//! What a comparison found.

use std::fmt;

use serde::Serialize;

use crate::{DeadLettered, Difference};

/// What was compared and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Items in the event store.
    pub items: u64,
    /// Of these, those that were compared one by one: their digests differed from those of a read model, or those of items in
    /// the same bucket did.
    pub compared: u64,
    /// The read models compared with it.
    pub read_models: Vec<String>,
    /// Items that wait for a decision about a letter, and stand as they did before it.
    pub dead_lettered: Vec<DeadLettered>,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dead_lettered in &self.dead_lettered {
            writeln!(f, "{dead_lettered}")?;
        }
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        let verdict = match self.differences.len() {
            0 => "agree".to_owned(),
            1 => "1 difference".to_owned(),
            n => format!("{n} differences"),
        };
        write!(f, "{} items in {}: {verdict}", self.items, self.read_models.join(", "))?;
        match self.dead_lettered.len() {
            0 => writeln!(f),
            n => writeln!(f, ", {n} dead-lettered"),
        }
    }
}
