//! `aqueduct verify`: do the read models hold what the event store says, by value?
//!
//! ```text
//! events ──latest version of each item──▶ batch ──▶ data        missing? other version? other value?
//!                                           ├─────▶ postgres
//!                                           └─────▶ opensearch
//! each read model ──its keys──▶ batch ──▶ events                never written?
//! ```
//!
//! Streaming, with one batch in memory, whatever the size. What differs is looked at again until it agrees or the time to
//! settle has passed, so that events still on their way are not reported as drift.

mod data;
mod difference;
mod opensearch;
mod postgres;
mod read_model;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use aqueduct_contract::{Item, ItemKey};
use aqueduct_store::EventStore;
use clap::Args;
use futures::stream::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

pub use difference::{Difference, Kind};
use read_model::ReadModel;

use aqueduct_service::{Settings, SettingsFile};

/// Items that are compared in one go.
const BATCH: usize = 500;

/// `aqueduct verify`
#[derive(Args, Clone, Debug)]
pub struct Verify {
    #[command(flatten)]
    settings: SettingsFile,
    /// Only this view, or `data` for the DynamoDB read table
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// How long what differs may take to arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    settle: u64,
}

/// What was compared and what was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Items in the event store.
    pub items: u64,
    /// The read models compared with it.
    pub read_models: Vec<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl Verify {
    /// Compares, prints, and exits with 0 when all agree, else with 1.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = Settings::load(self.settings.config.as_deref())?;
        let bar = progress(self.json);
        let report = verify(&settings, self.view.as_deref(), Duration::from_secs(self.settle), &bar).await?;
        bar.finish_and_clear();
        let mut out = std::io::stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            std::io::Write::write_all(&mut out, b"\n")?;
        } else {
            std::io::Write::write_all(&mut out, report.to_string().as_bytes())?;
        }
        Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        let verdict = match self.differences.len() {
            0 => "agree".to_owned(),
            1 => "1 difference".to_owned(),
            n => format!("{n} differences"),
        };
        writeln!(f, "{} items in {}: {verdict}", self.items, self.read_models.join(", "))
    }
}

fn progress(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{spinner} {msg} {pos} ({per_sec}, {elapsed})");
    ProgressBar::with_draw_target(None, target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// Compares every read model of the fleet, or the one called `view`, with the event store.
pub async fn verify(
    settings: &Settings,
    view: Option<&str>,
    settle: Duration,
    bar: &ProgressBar,
) -> anyhow::Result<Report> {
    let names = aqueduct_contract::Names::new(&settings.prefix);
    let events = EventStore::new(settings.dynamodb.connect().await, &names);
    let read_models = ReadModel::all(settings, view).await?;
    let name = |model: &ReadModel| model.name().to_owned();
    let mut report = Report { read_models: read_models.iter().map(name).collect(), ..Report::default() };

    bar.set_message("items compared:");
    let mut batches =
        std::pin::pin!(events.latest_of_all().map_ok(|stored| stored.event.item).try_chunks(BATCH));
    while let Some(items) = batches.try_next().await.map_err(|error| error.1)? {
        for model in &read_models {
            let differing = Comparison { events: &events, model, settle }.settled(&items).await?;
            report.differences.extend(differing);
        }
        report.items += items.len() as u64;
        bar.set_position(report.items);
    }
    bar.set_message("entries looked up:");
    bar.set_position(0);
    for model in &read_models {
        report.differences.extend(extra(&events, model, bar).await?);
    }
    Ok(report)
}

/// Entries of `model` that no event made.
async fn extra(events: &EventStore, model: &ReadModel, bar: &ProgressBar) -> anyhow::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    let mut batches = model.keys();
    while let Some(keys) = batches.try_next().await? {
        let existing = events.existing(&keys).await?;
        let unknown = keys.iter().filter(|key| !existing.contains(*key));
        differences.extend(unknown.map(|key| Difference::of(model.name(), key, Kind::Extra)));
        bar.inc(keys.len() as u64);
    }
    Ok(differences)
}

struct Comparison<'a> {
    events: &'a EventStore,
    model: &'a ReadModel,
    settle: Duration,
}

impl Comparison<'_> {
    /// What differs, and still does after the time to settle.
    async fn settled(&self, items: &[Item]) -> anyhow::Result<Vec<Difference>> {
        let deadline = Instant::now() + self.settle;
        let held: Vec<Item> =
            items.iter().filter(|item| self.model.holds(item.key.type_name())).cloned().collect();
        let mut differing = self.model.compare(&held).await?;
        while !differing.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            differing = self.model.compare(&self.read_again(&held, &differing).await?).await?;
        }
        Ok(differing)
    }

    async fn read_again(&self, items: &[Item], differing: &[Difference]) -> anyhow::Result<Vec<Item>> {
        let differs = |key: &ItemKey| {
            differing.iter().any(|one| {
                one.id == key.id().as_str()
                    && one.tenant == key.tenant().as_str()
                    && one.type_name == key.type_name().as_str()
            })
        };
        let mut latest = Vec::with_capacity(differing.len());
        for key in items.iter().map(|item| &item.key).filter(|key| differs(key)) {
            let Some(event) = self.events.latest(key).await? else {
                bail!("{key} is gone from the event store")
            };
            latest.push(event.item);
        }
        Ok(latest)
    }
}
