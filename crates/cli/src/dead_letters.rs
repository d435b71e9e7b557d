//! `aqueduct dead-letters`: what could not be applied, and what becomes of it.
//!
//! ```text
//! letters ──filter──▶ list     what stands there
//!                     show     with the event, and what today's code would write
//!                     redrive  state `redrive`: the owner of the partition applies the item from the store
//!                     discard  the letter goes; where every event counts, its version is skipped
//! ```
//!
//! Nothing here applies an event: that is for the partition's owner, in the item's lane. Every change names the revision
//! that was read, so that a letter which changed meanwhile is left alone and reported; and everything that is done is
//! noted, on standard error as a line of JSON and for good in the table [`audit`](aqueduct_store::audit).

mod desk;
mod discard;
mod filter;
mod list;
mod preview;
mod redrive;
mod wait;

use std::process::ExitCode;

use anyhow::Result;

/// `aqueduct dead-letters`
#[derive(clap::Args, Clone, Debug)]
pub struct DeadLetters {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Task {
    /// List letters
    List(list::List),
    /// Print letters as JSON with their event, what today's code would write, and what was done to them
    Show(list::Show),
    /// Have letters tried again by the owner of their partition
    Redrive(redrive::Redrive),
    /// Give up on letters; where every event counts, skip the version that failed and go on
    Discard(discard::Discard),
}

impl DeadLetters {
    /// Exits with 0 when all that was asked for is done, else with 1.
    pub async fn run(self) -> Result<ExitCode> {
        match self.task {
            Task::List(list) => list.run().await,
            Task::Show(show) => show.run().await,
            Task::Redrive(redrive) => redrive.run().await,
            Task::Discard(discard) => discard.run().await,
        }
    }
}
