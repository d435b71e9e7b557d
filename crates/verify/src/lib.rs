//! Do the read models hold what the event store says, by value? And if not, what exactly?
//!
//! ```text
//! events ──latest version of each item──▶ what each read model should hold ──▶ digests by bucket ─┐
//! data · postgres · opensearch ──────────▶ what it holds ────────────────────▶ digests by bucket ─┤
//!                                                                                                 ▼
//!        suspects ◀── entries that nobody wrote ◀── compare by value, item by item ◀── buckets that differ
//!           │
//!           └─ looked at again until they agree, a letter explains them, or the time to settle has passed
//! ```
//!
//! Digests are computed where the entries are, as far as that goes: Postgres does, DynamoDB and OpenSearch cannot. Memory is that
//! of the digests and of a batch, whatever the size. Events still on their way are not drift: what differs is
//! looked at again. Nor is an item whose latest version is a dead letter, if the read model holds what stood before.
//!
//! [`verify`] compares everything, once; [`samples`] compares a few items, for as long as a worker runs.

mod buckets;
mod data;
mod dead_letter;
mod difference;
mod error;
mod opensearch;
mod postgres;
mod read_model;
mod report;
pub mod samples;
mod scan;
mod stores;
mod suspects;
mod unwritten;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::{Names, Tenant};
use aqueduct_service::Settings;
use aqueduct_store::{EventStore, Letters};
use futures::future::try_join;
use futures::stream::TryStreamExt;
use indicatif::ProgressBar;
use tokio::time::Instant;

pub use difference::{DeadLettered, Difference, Entry, Kind};
pub use error::Error;
pub use report::Report;
pub use unwritten::remove_unwritten;

use buckets::{Buckets, Differing};
use dead_letter::DeadLetters;
use read_model::ReadModel;
use stores::Stores;
use suspects::Suspects;
use unwritten::never_written;

/// Items that are compared in one go.
const BATCH: usize = 500;
/// Reads of single items under way at once.
const READS: usize = 16;

/// What is compared: everything by default.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// One read model: `data`, a view, a generation of one (`orders.g2`), or as reports call it (`postgres orders.g2`).
    pub only: Option<String>,
    /// The items of one tenant.
    pub tenant: Option<Tenant>,
}

/// Compares what `scope` says with the event store. What differs gets `settle` to arrive, after all has been compared.
pub async fn verify(
    settings: &Settings,
    scope: &Scope,
    settle: Duration,
    bar: &ProgressBar,
) -> Result<Report, Error> {
    let names = Names::new(&settings.prefix);
    let client = settings.dynamodb.connect().await;
    let (events, letters) = (EventStore::new(client.clone(), &names), Letters::new(client, &names));
    let models = Arc::new(Stores::new(settings).await?.all(scope.only.as_deref()).await?);
    let name = |model: &ReadModel| model.name().to_owned();
    let mut report = Report { read_models: models.iter().map(name).collect(), ..Report::default() };
    let tenant = scope.tenant.as_ref();

    bar.set_message("items digested:");
    let (expected, found) =
        try_join(scan::digests(&events, &models, tenant, bar), found(&models, tenant)).await?;
    report.items = expected.items;
    let differing: Vec<Differing> =
        expected.digests.iter().zip(&found).map(|(expected, found)| expected.differing(found)).collect();

    let mut suspects: Vec<Suspects<'_>> = models.iter().map(Suspects::none).collect();
    if differing.iter().any(|differing| !differing.is_empty()) {
        bar.set_message("items compared:");
        bar.set_position(0);
        report.compared = scan::compare(&events, &mut suspects, &differing, tenant, bar).await?;
    }

    let deadline = Instant::now() + settle;
    loop {
        let differing = suspects.iter().filter(|suspects| !suspects.differing.is_empty());
        let groups: HashSet<String> = differing.map(|suspects| suspects.model.group(&names)).collect();
        let dead_letters = DeadLetters::load(&letters, &events, &names, &groups).await?;
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
    for (model, differing) in models.iter().zip(&differing) {
        report.differences.extend(extra(&events, model, differing, tenant, bar).await?);
    }
    Ok(report)
}

async fn found(models: &[ReadModel], tenant: Option<&Tenant>) -> Result<Vec<Buckets>, Error> {
    let mut found = Vec::with_capacity(models.len());
    // One by one: each takes all that its store can give.
    for model in models {
        found.push(model.digests(tenant).await?);
    }
    Ok(found)
}

/// Entries of `model` in these buckets that no event made.
async fn extra(
    events: &EventStore,
    model: &ReadModel,
    differing: &Differing,
    tenant: Option<&Tenant>,
    bar: &ProgressBar,
) -> Result<Vec<Difference>, Error> {
    let mut differences = Vec::new();
    if differing.is_empty() {
        return Ok(differences);
    }
    let mut batches = model.keys(tenant, differing);
    while let Some(keys) = batches.try_next().await? {
        let unknown = never_written(events, &keys).await?.into_iter();
        differences
            .extend(unknown.map(|key| Difference { entry: Entry::of(model.name(), key), kind: Kind::Extra }));
        bar.inc(keys.len() as u64);
    }
    Ok(differences)
}
