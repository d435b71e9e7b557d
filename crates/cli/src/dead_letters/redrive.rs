//! Having letters tried again.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use aqueduct_service::Groups;
use aqueduct_store::Letter;
use aqueduct_store::letters::{Filed, State};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::desk::{Change, Changed, Desk, described};
use super::filter::Filter;
use super::preview::Preview;
use super::wait;
use crate::rate::Rate;

/// `aqueduct dead-letters redrive`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Redrive {
    #[command(flatten)]
    filter: Filter,
    /// All letters
    #[arg(long)]
    all: bool,
    /// Change nothing: print what today's code would write for each item's latest version, a line of JSON each
    #[arg(long)]
    dry_run: bool,
    /// How many at most: the owner of a partition works on them beside its traffic
    #[arg(long, default_value = "50/s", value_name = "N/s")]
    rate: Rate,
    /// Also those that were redriven too often to no avail
    #[arg(long)]
    force: bool,
    /// Wait until each is gone or has failed again
    #[arg(long)]
    wait: bool,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<ExitCode> {
        self.filter.chosen(self.all)?;
        let desk = Desk::open(&self.filter).await?;
        let found = desk.find(&self.filter).await?;
        if self.dry_run {
            return self.preview(&desk, &found).await;
        }
        let mut ticks = interval(self.rate.period());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut waiting, mut left) = (Vec::new(), 0);
        for filed in &found {
            let Letter { group, item, .. } = &filed.letter;
            if let Some(why) = self.refusal(&desk, &filed.letter).await? {
                eprintln!("{group} {item}: not redriven: {why}");
                left += 1;
                continue;
            }
            if filed.letter.state == State::Redrive {
                waiting.push(filed.clone());
                continue;
            }
            ticks.tick().await;
            match desk.change(filed, &Change::Redrive).await? {
                Changed::Into(changed) => waiting.push(changed),
                Changed::Gone => {}
                Changed::Meanwhile => left += 1,
            }
        }
        eprintln!("to be redriven: {}, left alone: {left}", waiting.len());
        let failed = if self.wait { wait::until_done(&desk, waiting).await? } else { 0 };
        Ok(if left + failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Why it would do no good.
    async fn refusal(&self, desk: &Desk, letter: &Letter) -> Result<Option<String>> {
        if letter.state == State::Quarantined && !self.force {
            let why = format!("quarantined after {} redrives to no avail; --force insists", letter.redrives);
            return Ok(Some(why));
        }
        let Some(latest) = desk.latest(letter).await? else {
            return Ok(Some("the store has no event of it, it can only be discarded".to_owned()));
        };
        // A purge does not go beyond a letter, so this is one that was filed after it, for an event that came very late.
        let Some(worker) = desk.names.worker_of(&letter.group) else { return Ok(None) };
        let listed = Groups::new(&desk.settings, [])?.of(worker).await.context("the list of views")?;
        let listed = listed.into_iter().find(|listed| listed.group.id == letter.group);
        let purged = listed.and_then(|listed| listed.generation);
        Ok(purged.filter(|generation| generation.may_have_purged(latest.item.updated_at)).map(|generation| {
            format!(
                "its event is from before {}, up to which tombstones of {} were removed: `aqueduct rebuild {}` brings it",
                generation.purged_through.unwrap_or_default(),
                generation.sink(),
                generation.view()
            )
        }))
    }

    /// Exits with 1 when one of them would fail again.
    async fn preview(&self, desk: &Desk, found: &[Filed]) -> Result<ExitCode> {
        let preview = Preview::new(desk, &self.filter.file).await?;
        let mut code = ExitCode::SUCCESS;
        for Filed { letter, .. } in found {
            let latest = desk.latest(letter).await?;
            let mut line: Value = described(&desk.names, letter);
            line["today"] = match preview.of(letter, latest.as_ref()).await? {
                Ok(written) => json!({ "writes": written }),
                Err(error) => {
                    code = ExitCode::FAILURE;
                    json!({ "error": error })
                }
            };
            writeln!(std::io::stdout(), "{line}")?;
        }
        Ok(code)
    }
}
