//! `aqueduct purge`: removes what stands for items that were deleted long ago.
//!
//! How far it goes and how is [`aqueduct_service::purge`], which the workers do by themselves where
//! `views.purge_tombstones_after` says so; this is its command.

use std::io::Write;

use anyhow::{Context, Result, bail};
use aqueduct_contract::format_time;
use aqueduct_service::purge::{Purged, Purger};
use aqueduct_service::{Misconfigured, Settings, SettingsFile};
use aqueduct_views::Generation;
use aqueduct_views::tombstones::LEAST_AGE;
use indicatif::ProgressBar;
use jiff::Timestamp;

use crate::moment::moment;
use crate::swap::store::{indexes, tables};
use crate::swap::{Store, spinner};

/// `aqueduct purge`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Removes the marked rows and documents that stand for items that were deleted, or are not shown any more, before a moment. It is \
noted with the generation: from before it, a replay is refused and `aqueduct rebuild` is the way. It goes no further than the \
oldest event that is not published, not committed by the generation's group, or set aside with a letter.")]
pub struct Purge {
    #[command(flatten)]
    file: SettingsFile,
    /// The view; by default all of them
    view: Option<String>,
    /// Only in this store; by default in both, one after the other
    #[arg(long = "in", value_enum, value_name = "STORE")]
    store: Option<Store>,
    /// Only what was deleted before this moment (2026-11-21T13:15:00Z) or this long ago (30d), at least 1d; by default
    /// `views.purge_tombstones_after`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    older_than: Option<Timestamp>,
    /// Count, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Purge {
    /// Purges what was chosen, generation by generation, with a line for each.
    pub async fn run(self) -> Result<()> {
        let settings = crate::fleet::settings(&self.file)?;
        let wanted = self.wanted(&settings)?;
        settings.kafka.reach().await?;
        let purger = Purger::new(&settings).await;
        let mut chosen = Vec::new();
        for store in Store::chosen(self.store) {
            let all = store.generations(&settings).await;
            let all = all.with_context(|| format!("the registry in {store}"))?;
            let is_meant = |one: &Generation| {
                one.is_consumed() && self.view.as_ref().is_none_or(|view| one.view() == view)
            };
            chosen.extend(all.into_iter().filter(is_meant).map(|one| (store, one)));
        }
        if chosen.is_empty() {
            bail!("there is no such view; `aqueduct views list` shows what there is");
        }
        for (store, generation) in chosen {
            let bar = spinner();
            let name = format!("{store} {}", generation.sink());
            bar.set_message(name.clone());
            let purged = self.purge(&settings, &purger, store, &generation, wanted, &bar).await;
            bar.finish_and_clear();
            let Purged { bound, tombstones } = purged.with_context(|| name.clone())?;
            let done = if self.dry_run { "would be removed" } else { "removed" };
            let (through, limit) = (format_time(bound.through), bound.limit);
            writeln!(
                std::io::stdout(),
                "{name}: {tombstones} tombstones {done}, through {through}, {limit}"
            )?;
        }
        Ok(())
    }

    fn wanted(&self, settings: &Settings) -> Result<Timestamp> {
        let now = Timestamp::now();
        let least = now - LEAST_AGE;
        let configured = settings.views.purge_tombstones_after;
        let configured = || configured.and_then(|after| now.checked_sub(after).ok());
        match self.older_than.or_else(configured) {
            Some(wanted) if wanted <= least => Ok(wanted),
            Some(_) => bail!(Misconfigured(
                "--older-than: what is younger than 1 day stays: its event may still come again".to_owned()
            )),
            None => bail!(Misconfigured(
                "--older-than says what is to go, as `views.purge_tombstones_after` is `never`".to_owned()
            )),
        }
    }

    async fn purge(
        &self,
        settings: &Settings,
        purger: &Purger,
        store: Store,
        generation: &Generation,
        wanted: Timestamp,
        bar: &ProgressBar,
    ) -> Result<Purged> {
        let worker = store.worker();
        let removed = |batch| {
            bar.inc(batch);
            bar.set_message(format!("{store} {}: {} removed", generation.sink(), bar.position()));
        };
        match (store, self.dry_run) {
            (Store::Postgres, true) => purger.count(&tables(settings)?, worker, generation, wanted).await,
            (Store::OpenSearch, true) => purger.count(&indexes(settings)?, worker, generation, wanted).await,
            (Store::Postgres, false) => {
                purger.purge(&tables(settings)?, worker, generation, wanted, &removed).await
            }
            (Store::OpenSearch, false) => {
                purger.purge(&indexes(settings)?, worker, generation, wanted, &removed).await
            }
        }
    }
}
