//! Drives the shop through its command API, and checks every store against what the API answered.
//!
//! ```text
//! deck ──card──▶ lane ──HTTP──▶ command API
//!                 │ answer
//!                 ▼
//!              expected ──compare──▶ stores: DynamoDB, Postgres, OpenSearch, with their plain clients
//! ```
//!
//! Each lane owns its items, so it knows after every answer what they must be; where an answer was lost, it asks. The
//! comparison shares no code with the fleet: a mapping that is wrong on both sides would otherwise agree with itself.

mod client;
mod deck;
mod expected;
mod lane;
mod shop;
mod stores;

use std::time::Duration;

use anyhow::bail;
use futures::stream::{FuturesUnordered, TryStreamExt};
use indicatif::ProgressBar;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use client::Client;
pub use deck::Mix;
use expected::Expectation;
use lane::Lane;
pub use stores::Stores;

/// The views of the shop.
pub fn views() -> impl Iterator<Item = &'static str> {
    shop::SHOWN.iter().map(|shown| shown.view)
}

/// Commands under way at once.
const LANES: u64 = 16;

/// Drives one fleet as one tenant.
pub struct Driver {
    stores: Stores,
    lanes: Vec<Lane>,
}

/// What is left to do after a drive is to compare.
pub struct Driven {
    stores: Stores,
    expected: Expectation,
    /// What was sent and how it was answered.
    pub mix: Mix,
}

impl Driver {
    /// Drives the command API at `api`; the same seed sends the same commands.
    pub fn new(api: &str, stores: Stores, seed: u64) -> anyhow::Result<Driver> {
        let client = Client::new(api, &stores.tenant)?;
        let lane = |n: u64| {
            Lane::new(format!("drive-{seed}-{n}"), client.clone(), stores.clone(), seed.wrapping_add(n << 32))
        };
        Ok(Driver { lanes: (0..LANES).map(lane).collect(), stores })
    }

    /// Sends about `commands` commands, or until `stop`, at most `rate` a second if given.
    pub async fn drive(
        self,
        commands: u64,
        rate: Option<u32>,
        stop: &CancellationToken,
        bar: &ProgressBar,
    ) -> anyhow::Result<Driven> {
        let pace = rate.map(|rate| Duration::from_secs(LANES) / rate.max(1));
        let share = commands.div_ceil(LANES);
        let running: FuturesUnordered<_> =
            self.lanes.into_iter().map(|lane| run(lane, share, pace, stop, bar)).collect();
        let lanes: Vec<Lane> = running.try_collect().await?;
        let (mut expected, mut mix) = (Expectation::new(), Mix::default());
        for mut lane in lanes {
            lane.resolve().await?;
            mix.add(&lane.mix);
            expected.extend(lane.expected);
        }
        Ok(Driven { stores: self.stores, expected, mix })
    }
}

async fn run(
    mut lane: Lane,
    commands: u64,
    pace: Option<Duration>,
    stop: &CancellationToken,
    bar: &ProgressBar,
) -> anyhow::Result<Lane> {
    let mut ticks = pace.map(tokio::time::interval);
    while lane.mix.commands() < commands && !stop.is_cancelled() {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let before = lane.mix.commands();
        lane.step().await?;
        bar.inc(lane.mix.commands() - before);
    }
    Ok(lane)
}

impl Driven {
    /// Items that were driven.
    #[must_use]
    pub fn items(&self) -> usize {
        self.expected.len()
    }

    /// Waits until every store holds exactly what was answered; fails with what still differs after `patience`.
    pub async fn settle(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let differences = match self.stores.compare(&self.expected).await {
                Ok(differences) if differences.is_empty() => return Ok(()),
                Ok(differences) => differences,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => vec![],
            };
            if Instant::now() > deadline {
                let shown: Vec<String> =
                    differences.iter().take(20).map(|difference| format!("\n  {difference}")).collect();
                bail!("{} differences after {patience:?}:{}", differences.len(), shown.concat());
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
}
