//! `aqueduct verify`: do the read models hold what the event store says, by value?
//!
//! ```text
//! events ──latest version of each item──▶ batch ──▶ data        missing? other version? other value?
//!                                           ├─────▶ postgres
//!                                           └─────▶ opensearch
//! each read model ──its keys──▶ batch ──▶ events                never written?
//! ```
//!
//! Streaming, with one batch in memory, whatever the size. What differs is kept and looked at again, when all has been
//! compared, until it agrees or the time to settle has passed: events still on their way are not drift. Nor is an item whose
//! latest version is a dead letter, if the read model holds what stood before.

mod data;
mod dead_letter;
mod difference;
mod opensearch;
mod postgres;
mod read_model;
mod suspects;

use std::process::ExitCode;
use std::time::Duration;

use aqueduct_contract::{Item, Names};
use aqueduct_store::{EventStore, Letters};
use clap::Args;
use futures::stream::TryStreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use dead_letter::DeadLetters;
pub use difference::{DeadLettered, Difference, Entry, Kind};
use read_model::ReadModel;
use suspects::Suspects;

use aqueduct_service::{Settings, SettingsFile};

/// Items that are compared in one go.
const BATCH: usize = 500;
/// Reads of single items under way at once.
const READS: usize = 16;

/// `aqueduct verify`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exits with 0 when all agree, with 1 when something differs.

An item whose latest version is a dead letter is listed and counted apart, and does not differ as long as the read model holds \
what stood before that version: it is waiting for a decision about its letter, nothing has drifted, and an exit code of 1 would \
hide the drift that comes after it.")]
pub struct Verify {
    #[command(flatten)]
    settings: SettingsFile,
    /// Only this view, or `data` for the DynamoDB read table
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// How long what differs after all has been compared may take to arrive
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
    /// Items that wait for a decision about a letter, and stand as they did before it.
    pub dead_lettered: Vec<DeadLettered>,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl Verify {
    /// Compares, prints, and exits with 0 when all agree, else with 1.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = crate::fleet::settings(&self.settings)?;
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
    let names = Names::new(&settings.prefix);
    let client = settings.dynamodb.connect().await;
    let events = EventStore::new(client.clone(), &names);
    let letters = Letters::new(client, &names);
    let read_models = ReadModel::all(settings, view).await?;
    let name = |model: &ReadModel| model.name().to_owned();
    let mut report = Report { read_models: read_models.iter().map(name).collect(), ..Report::default() };
    let mut suspects: Vec<Suspects<'_>> = read_models.iter().map(Suspects::none).collect();

    bar.set_message("items compared:");
    let mut batches =
        std::pin::pin!(events.latest_of_all().map_ok(|stored| stored.event.item).try_chunks(BATCH));
    while let Some(items) = batches.try_next().await.map_err(|error| error.1)? {
        for Suspects { model, differing } in &mut suspects {
            let held: Vec<Item> =
                items.iter().filter(|item| model.holds(item.key.type_name())).cloned().collect();
            differing.extend(model.compare(&held).await?);
        }
        report.items += items.len() as u64;
        bar.set_position(report.items);
    }

    let deadline = Instant::now() + settle;
    loop {
        let dead_letters = DeadLetters::load(&letters, &events, &names, &suspects).await?;
        for suspects in &mut suspects {
            report.dead_lettered.extend(suspects.acquit(&dead_letters).await?);
        }
        if suspects.iter().all(|suspects| suspects.differing.is_empty()) || Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        for suspects in &mut suspects {
            suspects.look_again(&events).await?;
        }
    }
    report.differences = suspects.into_iter().flat_map(Suspects::into_differences).collect();

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
        differences
            .extend(unknown.map(|key| Difference { entry: Entry::of(model.name(), key), kind: Kind::Extra }));
        bar.inc(keys.len() as u64);
    }
    Ok(differences)
}
