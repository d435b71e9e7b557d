//! What came of a rebuild.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use aqueduct_contract::Names;
use aqueduct_engine::Group;
use aqueduct_service::Settings;
use aqueduct_store::{Letter, Letters};
use futures::stream::TryStreamExt;

use super::unit::Counts;

/// Of one generation.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) counts: Counts,
    /// The first of those that failed.
    pub(super) letters: Vec<Letter>,
    /// `None` when it was loaded before.
    pub(super) loaded_in: Option<Duration>,
    pub(super) took: Duration,
}

/// The first letters of a group, by item.
pub(super) async fn letters(settings: &Settings, group: &Group, most: usize) -> Result<Vec<Letter>> {
    let letters = Letters::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
    let mut all = std::pin::pin!(letters.all());
    let mut found = Vec::new();
    while let Some(filed) = all.try_next().await? {
        if filed.letter.group == group.id {
            found.push(filed.letter);
        }
    }
    found.sort_by(|one, other| one.item.cmp(&other.item));
    found.truncate(most);
    Ok(found)
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items, {} deleted ones, {} set aside", self.rows, self.tombstones, self.letters)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} in {:.1} s", self.name, self.counts, self.took.as_secs_f64())?;
        if let Some(loaded_in) = self.loaded_in {
            write!(f, ", of these {:.1} s for the load", loaded_in.as_secs_f64())?;
        }
        for letter in &self.letters {
            let version = letter.version.map(|version| format!(", version {version}")).unwrap_or_default();
            write!(f, "\n  {}{version}: {}: {}", letter.item, letter.code, letter.message)?;
        }
        if self.counts.letters > self.letters.len() as u64 {
            write!(f, "\n  … `aqueduct dead-letters list` shows all")?;
        }
        Ok(())
    }
}
