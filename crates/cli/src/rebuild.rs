//! `aqueduct rebuild`: a new generation of a view, from its events, while readers go on seeing the one before.
//!
//! | part | does |
//! | --- | --- |
//! | `building` | the steps of one generation, each of which can be done again |
//! | `plan`, `unit`, `slice` | what is read and what is done of it, as it is noted |
//! | `source`, `newest`, `topic`, `store` | of each item the record of its highest version |
//! | `load`, `table`, `index`, `aside` | writing those, and what becomes of the ones that cannot be written |
//! | `pace`, `progress`, `report` | what operators set and see |
//! | `follow`, `gate` | the workers take over; nothing wrong is shown |
//! | `cancel` | giving up |
//!
//! Sinks alone are written to: no event is sent, no command given, no reaction run.

mod aside;
mod building;
mod cancel;
mod follow;
mod gate;
mod index;
mod load;
mod newest;
mod pace;
mod plan;
mod progress;
mod registry;
mod report;
mod slice;
mod source;
mod store;
mod table;
mod topic;
mod unit;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use aqueduct_model::{Model, View};
use aqueduct_service::{Misconfigured, Settings, SettingsFile, show_metrics};
use aqueduct_views::{Generation, Patience, Reason, State};
use bytesize::ByteSize;
use clap::ValueEnum;

use crate::rate::Rate;
use crate::swap::{self, Store};
use building::Building;
use pace::Share;
use plan::Source;
use progress::Metrics;
use registry::{Registry, wanted};

/// `aqueduct rebuild`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
A rebuild that was ended by whatever goes on where it was when the same command is given again.

Exits with 0 when all is done, with 1 when something failed: what readers see has not changed then.")]
pub struct Args {
    #[command(flatten)]
    file: SettingsFile,
    /// The view; without one, every view whose definition the model has changed
    view: Option<String>,
    /// Every view, changed or not
    #[arg(long, conflicts_with = "view")]
    all: bool,
    /// Only in this store; by default in all that the view is in
    #[arg(long = "in", value_name = "STORE")]
    store: Option<Store>,
    /// Where items come from
    #[arg(long, value_enum, default_value_t = Source::Topics)]
    from: Source,
    /// Whether readers see the new generation as soon as it is complete, or only by a command of its own
    #[arg(long, value_enum, default_value_t = Swap::Auto)]
    swap: Swap,
    /// Events a second at most, such as 5000/s
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// How much of the time it works while events arrive for the live read models: they share the stores and the brokers
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    share: Share,
    /// Memory for the keys of items; a topic with more is read several times
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    memory: ByteSize,
    /// How long an outage of the view's store is waited for
    #[arg(long, value_name = "TIME", default_value = "1m")]
    patience: humantime::Duration,
    /// How long workers may take to take over what is loaded
    #[arg(long, value_name = "TIME", default_value = "1m")]
    join_timeout: humantime::Duration,
    /// Show metrics while it runs, on http://ADDRESS/metrics; with port 0 it says which
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Give up what is being built of the view
    #[arg(long, requires = "view")]
    cancel: bool,
}

/// Whether a complete generation is shown to readers at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Swap {
    /// As soon as it is verified
    Auto,
    /// By `aqueduct swap`
    Manual,
}

/// A view in one store, as it is to be.
struct Wanted {
    view: View,
    /// What is being built of it already.
    building: Option<Generation>,
}

impl Args {
    /// Builds what was asked for, one generation after the other.
    pub async fn run(self) -> Result<ExitCode> {
        pace::give_way();
        let settings = crate::fleet::settings(&self.file)?;
        settings.kafka.reach().await?;
        let model = crate::setup::load(&settings.model.dir)?;
        let metrics = self.metrics().await?;
        let mut meant = 0;
        for store in Store::chosen(self.store) {
            let registry = Registry::of(store, &settings)?;
            let chosen = self.chosen(store, &registry, &model).await?;
            meant += chosen.len();
            for wanted in chosen {
                let done = if self.cancel {
                    cancelled(&settings, store, &registry, wanted).await
                } else {
                    self.build(&settings, store, &registry, wanted, &metrics).await
                };
                done?;
            }
        }
        match &self.view {
            Some(view) if meant == 0 && self.cancel => bail!("nothing of the view {view} is being built"),
            Some(view) if meant == 0 => bail!(Misconfigured(format!("the model has no view {view} there"))),
            None if meant == 0 => eprintln!("every view is as the model says"),
            _ => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn metrics(&self) -> Result<Metrics> {
        let registry = match self.metrics_listen {
            None => prometheus::Registry::new(),
            Some(listen) => {
                let (registry, address) =
                    show_metrics("rebuild", listen).await.context("--metrics-listen")?;
                eprintln!("metrics: http://{address}/metrics");
                registry
            }
        };
        Ok(Metrics::new(&registry)?)
    }

    /// What is meant by the command line, of one store.
    async fn chosen(&self, store: Store, registry: &Registry, model: &Model) -> Result<Vec<Wanted>> {
        let context = || format!("the list of views in {store}; `aqueduct setup` makes it");
        let generations = registry.generations().await.with_context(context)?;
        let of = |view: &str, state: State| {
            generations.iter().find(|one| one.view() == view && one.state == state).cloned()
        };
        let mut chosen = Vec::new();
        if let (true, Some(view)) = (self.cancel, &self.view) {
            let building = of(view, State::Building);
            return Ok(building
                .map(|building| Wanted { view: building.definition.clone(), building: Some(building) })
                .into_iter()
                .collect());
        }
        for view in wanted(store, model) {
            let (building, live) = (of(&view.name, State::Building), of(&view.name, State::Live));
            let meant = match &self.view {
                Some(name) => *name == view.name,
                // What is being built is what somebody has asked for before.
                None => self.all || building.is_some() || live.is_none_or(|live| live.definition != view),
            };
            if meant {
                chosen.push(Wanted { view, building });
            }
        }
        Ok(chosen)
    }

    async fn build(
        &self,
        settings: &Settings,
        store: Store,
        registry: &Registry,
        Wanted { view, building }: Wanted,
        metrics: &Metrics,
    ) -> Result<()> {
        let generation = match building {
            Some(building) if building.definition != view => bail!(
                "{store} {} is being built by another definition than the model has now: give it up with --cancel, and begin \
                 again",
                building.sink()
            ),
            Some(building) => building,
            None => registry.begin(&view).await?,
        };
        let mut building = Building { settings, args: self, store, registry, generation, metrics };
        let report = building.run().await.with_context(|| building.name())?;
        writeln!(std::io::stdout(), "{report}")?;
        let name = building.name();
        if self.swap == Swap::Manual {
            eprintln!(
                "{name}: complete and verified; it is kept in step, and readers see it after `aqueduct swap {}`",
                view.name
            );
            return Ok(());
        }
        let (to, bar) = (&building.generation, swap::spinner());
        let swapped = swap::swap(settings, store, to, Reason::Swap, Patience::default(), &bar).await;
        bar.finish_and_clear();
        swapped.with_context(|| {
            format!(
                "{name}: complete and verified, but not shown to readers; try again with `aqueduct swap {}`",
                view.name
            )
        })?;
        eprintln!("{store}: readers of {} see generation {}", view.name, to.number);
        Ok(())
    }
}

async fn cancelled(settings: &Settings, store: Store, registry: &Registry, wanted: Wanted) -> Result<()> {
    let Some(building) = wanted.building else { return Ok(()) };
    cancel::cancel(settings, store, registry, &building).await?;
    writeln!(std::io::stdout(), "{store} {}: cancelled, nothing of it is left", building.sink())?;
    Ok(())
}
