//! `aqueduct swap` and `aqueduct rollback`: readers of a view see another generation, from one moment on.
//!
//! How either store switches, and what holds meanwhile, its registry says (`aqueduct_views::postgres`, `::opensearch`). Here it
//! is waited, before anything is held up, until the other generation is about level, so that writes to the live one are
//! held up for the last moments alone.
//!
//! A view that is in both stores is swapped in Postgres first, then in OpenSearch. No transaction spans the two: when the second
//! fails, the first stays swapped, and the error says how to go on or back.

mod level;
pub(crate) mod store;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aqueduct_service::{Settings, SettingsFile};
use aqueduct_views::{Generation, Patience, Reason, State};
use indicatif::{ProgressBar, ProgressStyle};

pub use level::level;
pub use store::Store;

/// What both commands are told.
#[derive(clap::Args, Clone, Debug)]
pub struct Chosen {
    #[command(flatten)]
    pub(crate) file: SettingsFile,
    /// The view
    pub(crate) view: String,
    /// Only in this store; by default in both, one after the other
    #[arg(long = "in", value_enum, value_name = "STORE")]
    pub(crate) store: Option<Store>,
}

/// How long is waited.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Waits {
    /// How long to wait, before writes are held up, until the generation is about level and old transactions have ended
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// How long writes to the live generation may be held up
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    hold: u64,
}

impl Waits {
    fn patience(self) -> Patience {
        Patience { before: Duration::from_secs(self.wait), held: Duration::from_secs(self.hold) }
    }
}

/// `aqueduct swap`
#[derive(clap::Args, Clone, Debug)]
pub struct Swap {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    waits: Waits,
}

/// `aqueduct rollback`
#[derive(clap::Args, Clone, Debug)]
pub struct Rollback {
    #[command(flatten)]
    chosen: Chosen,
    /// This generation; by default the one that was live before
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    #[command(flatten)]
    waits: Waits,
}

impl Swap {
    /// Swaps to what was loaded.
    pub async fn run(self) -> Result<()> {
        let view = &self.chosen.view;
        let loaded = |all: &[Generation]| {
            all.iter().find(|one| one.state == State::Building && one.loaded.is_some()).cloned()
        };
        let nothing = format!("no generation of {view} is loaded and waits for a swap");
        self.chosen.change(Reason::Swap, self.waits.patience(), loaded, &nothing).await
    }
}

impl Rollback {
    /// Swaps back.
    pub async fn run(self) -> Result<()> {
        let before = |all: &[Generation]| {
            let previous = all.iter().filter(|one| one.state == State::Previous);
            let mut meant = previous
                .filter(|one| self.generation.is_none_or(|number| number == one.number))
                .collect::<Vec<_>>();
            meant.sort_by_key(|one| one.changed_at);
            meant.pop().cloned()
        };
        let nothing = match self.generation {
            Some(number) => format!(
                "generation {number} of {} is not one that was live and is kept in step",
                self.chosen.view
            ),
            None => format!("{} has no previous generation", self.chosen.view),
        };
        self.chosen.change(Reason::Rollback, self.waits.patience(), before, &nothing).await
    }
}

impl Chosen {
    /// Swaps to the generation that `pick` takes of the view's, in each store that has one.
    async fn change(
        &self,
        reason: Reason,
        patience: Patience,
        pick: impl Fn(&[Generation]) -> Option<Generation>,
        nothing: &str,
    ) -> Result<()> {
        let settings = crate::fleet::settings(&self.file)?;
        settings.kafka.reach().await?;
        let mut targets = Vec::new();
        for (store, generations) in self.generations(&settings).await? {
            targets.extend(pick(&generations).map(|to| (store, to)));
        }
        if targets.is_empty() {
            bail!("{nothing}; `aqueduct views list` shows what there is");
        }
        let mut done: Vec<Store> = Vec::new();
        for (store, to) in targets {
            let bar = spinner();
            let swapped = swap(&settings, store, &to, reason, patience, &bar).await;
            bar.finish_and_clear();
            swapped.with_context(|| match done[..] {
                [] => format!("{}: nothing was changed", store.name()),
                _ => format!(
                    "{}: nothing was changed there, but in postgres readers see the other generation already. Do it again with \
                     --in {}, or go back in postgres with `aqueduct rollback {} --in postgres`",
                    store.name(),
                    store.name(),
                    self.view
                ),
            })?;
            eprintln!("{}: readers of {} see generation {}", store.name(), self.view, to.number);
            done.push(store);
        }
        Ok(())
    }

    /// The view's generations, in each store that knows it.
    pub(crate) async fn generations(&self, settings: &Settings) -> Result<Vec<(Store, Vec<Generation>)>> {
        let mut found = Vec::new();
        let mut known = Vec::new();
        for store in Store::chosen(self.store) {
            let all = store.generations(settings).await;
            let all = all.with_context(|| format!("the registry in {}", store.name()))?;
            known.extend(all.iter().map(|one| one.view().to_owned()));
            let own: Vec<Generation> = all.into_iter().filter(|one| one.view() == self.view).collect();
            if !own.is_empty() {
                found.push((store, own));
            }
        }
        if found.is_empty() {
            known.sort();
            known.dedup();
            bail!("there is no view {:?}; there are {}", self.view, known.join(", "));
        }
        Ok(found)
    }
}

/// Makes a generation that is loaded, or was live before, what readers of one store see. Fails with nothing changed when it does
/// not get level in time, or when readers could not be switched safely; the error says why.
pub async fn swap(
    settings: &Settings,
    store: Store,
    to: &Generation,
    reason: Reason,
    patience: Patience,
    bar: &ProgressBar,
) -> Result<()> {
    bar.set_message(format!("{}: waiting for generation {} to be level", store.name(), to.number));
    level(settings, store, to, patience.before, bar).await?;
    // From here on writes to the live generation wait.
    let held = level(settings, store, to, patience.held, bar);
    match store {
        Store::Postgres => store::tables(settings)?.swap(to, reason, patience, held).await?,
        Store::OpenSearch => store::indexes(settings)?.swap(to, reason, patience, held).await?,
    }
    Ok(())
}

/// On a terminal, what is waited for.
pub(crate) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
