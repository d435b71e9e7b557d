//! Giving up on letters.
//!
//! A letter of a read model stands for one version that is missing there; without the letter nobody looks for it any more.
//! Where every event counts, later events of the item wait behind the letter, and simply taking it away would lose them: the
//! version that failed is skipped, and the owner of the partition goes on with the next ones from the store.

use std::process::ExitCode;

use anyhow::Result;

use super::desk::{Change, Changed, Desk};
use super::filter::Filter;
use crate::confirm::confirm;

/// `aqueduct dead-letters discard`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Discard {
    #[command(flatten)]
    filter: Filter,
    /// All letters
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Discard {
    pub(super) async fn run(self) -> Result<ExitCode> {
        self.filter.chosen(self.all)?;
        let desk = Desk::open(&self.filter).await?;
        let found = desk.find(&self.filter).await?;
        if found.is_empty() {
            eprintln!("there is no such letter");
            return Ok(ExitCode::SUCCESS);
        }
        confirm(&format!("Discard {} letters?", found.len()), self.yes)?;
        let (mut gone, mut skipped, mut left) = (0, 0, 0);
        for filed in &found {
            // What the store does not know has no later events that wait.
            let waits = desk.every_event_counts(&filed.letter) && desk.latest(&filed.letter).await?.is_some();
            let change = if waits { Change::Skip } else { Change::Discard };
            match desk.change(filed, &change).await? {
                Changed::Gone => gone += 1,
                Changed::Into(_) => skipped += 1,
                Changed::Meanwhile => left += 1,
            }
        }
        eprintln!("discarded: {gone}, skipped to the next version: {skipped}, left alone: {left}");
        Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
