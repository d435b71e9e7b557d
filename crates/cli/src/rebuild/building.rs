//! One generation on its way from nothing to the swap.
//!
//! ```text
//! begin ─▶ claim ─▶ plan ─▶ load ─▶ commit the plan's offsets ─▶ finish ─▶ join ─▶ catch up ─▶ verify ─▶ swap
//!   │        └────── noted in the store of the view ──────┘         │
//!   └─ registered: building                                         └─ registered: loaded, workers consume it
//! ```
//!
//! Each step looks at what is registered and noted and does what is missing, so that the command can be given again after
//! whatever ended it. The claim is held to the end; a process that loses it stops.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aqueduct_contract::Names;
use aqueduct_engine::Group;
use aqueduct_service::{Settings, groups};
use aqueduct_store::{DataTable, kafka};
use aqueduct_views::load::{BEAT, Claim};
use aqueduct_views::{Error, Generation};
use indicatif::HumanCount;
use tokio::time::{MissedTickBehavior, interval};

use super::Args;
use super::aside::Aside;
use super::follow;
use super::gate;
use super::index::Index;
use super::load::{Load, Target};
use super::pace::Pace;
use super::plan::{Done, Plan, Source};
use super::progress::{Metrics, Progress};
use super::registry::Registry;
use super::report::Report;
use super::source::{Sources, Topic};
use super::table::Table;
use super::unit::Counts;
use crate::swap::Store;

const SECOND: Duration = Duration::from_secs(1);

/// One generation that is being built.
pub(super) struct Building<'a> {
    pub(super) settings: &'a Settings,
    pub(super) args: &'a Args,
    pub(super) store: Store,
    pub(super) registry: &'a Registry,
    pub(super) generation: Generation,
    pub(super) metrics: &'a Metrics,
}

impl Building<'_> {
    /// What reports call it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.store, self.generation.sink())
    }

    fn group(&self) -> Group {
        groups::view_group(&Names::new(&self.settings.prefix), self.store.worker(), &self.generation)
    }

    fn in_kafka(&self) -> kafka::Group {
        self.store.group(self.settings, &self.generation).1
    }

    /// Does all that is missing until the generation can be swapped.
    pub(super) async fn run(&mut self) -> Result<Report> {
        let begun = Instant::now();
        let claim = self.registry.claim(self.settings, &self.generation, &who())?;
        let noted = claim.look().await?;
        let plan = match &noted {
            Some(load) => load.plan.clone(),
            None => serde_json::to_value(self.plan().await?)?,
        };
        let noted = claim.take(&plan).await.map_err(|error| match error {
            Error::Claimed { by } => anyhow::anyhow!("{} is being rebuilt by {by}", self.name()),
            other => other.into(),
        })?;
        let plan: Plan = serde_json::from_value(noted.plan).context("the plan of the load")?;
        if noted.units.is_empty() && plan.source != self.args.from {
            eprintln!("{}: goes on as it was begun, from {:?}", self.name(), plan.source);
        }
        let done = Done::of(&noted.units)?;
        let progress = Progress::new(&self.name(), Pace::new(self.args.rate, self.args.share), self.metrics);
        let progress = Arc::new(progress);
        let held = hold(&claim, &progress);
        let worked = tokio::select! {
            biased;
            lost = held => Err(lost),
            worked = self.work(&claim, plan, done, &progress) => worked,
        };
        progress.end();
        claim.release().await?;
        let (counts, loaded_in) = worked?;
        let letters = super::report::letters(self.settings, &self.group(), 10).await?;
        Ok(Report { name: self.name(), counts, letters, loaded_in, took: begun.elapsed() })
    }

    async fn work(
        &mut self,
        claim: &Claim,
        plan: Plan,
        done: Done,
        progress: &Arc<Progress>,
    ) -> Result<(Counts, Option<Duration>)> {
        let begun = Instant::now();
        let mut counts = done.counts;
        let mut loaded_in = None;
        if self.generation.loaded.is_none() {
            self.registry.resume(&self.generation).await?;
            progress.say(&match plan.source {
                Source::Topics => format!("loading {} events", HumanCount(plan.events().unsigned_abs())),
                Source::Store => "loading the items of the read table".to_owned(),
            });
            counts = self.load(claim, plan, done, progress).await?;
            progress.say("making key and indexes");
            self.generation = self.registry.finish_load(&self.generation).await?;
            loaded_in = Some(begun.elapsed());
            progress.say(&format!("loaded: {counts}"));
        }
        follow::joined(&self.in_kafka(), self.store.worker(), self.args.join_timeout, progress).await?;
        follow::caught_up(&self.in_kafka(), self.args.join_timeout, progress).await?;
        progress.say("comparing with the event store");
        gate::agrees(self.settings, &self.name()).await?;
        Ok((counts, loaded_in))
    }

    /// Notes where everything ends before anything is read.
    async fn plan(&self) -> Result<Plan> {
        if self.generation.loaded.is_some() {
            bail!("{} is loaded, and nobody noted how: cancel it and begin again", self.name());
        }
        match self.args.from {
            Source::Topics => Plan::of_topics(&self.in_kafka().positions().await?),
            Source::Store => {
                let group = Names::new(&self.settings.prefix).data_group();
                let projector = kafka::Group::new(&self.settings.kafka, &group, &self.group().topics);
                Plan::of_store(&projector.positions().await?, SEGMENTS)
            }
        }
    }

    async fn load(&self, claim: &Claim, plan: Plan, done: Done, progress: &Arc<Progress>) -> Result<Counts> {
        let group = self.group();
        let target = match (claim, self.registry) {
            (Claim::Postgres(loads), Registry::Postgres(_, pool)) => {
                Target::Table(Box::new(Table::new(pool.clone(), &self.generation, loads.clone())?))
            }
            (Claim::OpenSearch(loads), _) => Target::Index(Box::new(Index::new(
                self.settings,
                &self.generation,
                *loads.clone(),
                self.args.patience.into(),
            )?)),
            _ => bail!("{} has its load noted elsewhere", self.name()),
        };
        let aside = Aside::new(self.settings, group.clone()).await?;
        let sources = self.sources(&plan, &aside).await?;
        let patience = self.args.patience.into();
        let plan = Arc::new(plan);
        let load = Load {
            plan: Arc::clone(&plan),
            sources,
            target,
            aside,
            progress: Arc::clone(progress),
            patience,
        };
        let watched = self.watch(progress);
        let counts = tokio::select! {
            never = watched => match never {},
            counts = load.run(done) => counts?,
        };
        // The group has no members: nobody consumes what is not loaded.
        let topic = &group.topics[0];
        let offsets = plan.partitions.iter().map(|(partition, range)| (topic.clone(), *partition, range.end));
        self.in_kafka().commit(offsets.collect()).await.context("the offsets of the new group")?;
        Ok(counts)
    }

    async fn sources(&self, plan: &Plan, aside: &Aside) -> Result<Sources> {
        let group = self.group();
        let topic = group.topics[0].clone();
        if plan.source == Source::Topics {
            let at_once = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
            let memory = usize::try_from(self.args.memory.as_u64())? / at_once;
            return Ok(Sources::Topic(Topic { kafka: self.settings.kafka.clone(), name: topic, memory }));
        }
        let names = Names::new(&self.settings.prefix);
        let data_group = names.data_group();
        let mut apart = HashSet::new();
        for partition in plan.partitions.keys() {
            for filed in aside.letters.load(&data_group, &topic, *partition).await? {
                apart.extend(filed.letter.item.parse());
            }
        }
        let data = DataTable::new(self.settings.dynamodb.connect().await, &names);
        let (events, type_name) = (aside.events.clone(), self.generation.definition.type_name.clone());
        Ok(Sources::Store(Arc::new(super::store::Store { data, events, type_name, topic, apart })))
    }

    /// Looks after those that keep the live generations of the store, until the load has ended.
    async fn watch(&self, progress: &Progress) -> std::convert::Infallible {
        let mut looks = interval(BEAT);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            looks.tick().await;
            let Ok(all) = self.registry.generations().await else { continue };
            let (mut lag, mut ends) = (0, 0);
            for generation in all.iter().filter(|generation| generation.is_consumed()) {
                let (_, group) = self.store.group(self.settings, generation);
                // Who cannot be asked now is asked again.
                let Ok(positions) = group.positions().await else { continue };
                lag += positions.iter().map(kafka::Position::lag).sum::<i64>();
                ends += positions.iter().map(|at| at.end).sum::<i64>();
            }
            let arrive = seen.replace(ends).is_none_or(|seen| seen != ends);
            progress.pace.lags(lag, arrive);
        }
    }
}

/// Parts of the read table: enough for all processors, and not so many that a small table is scanned for ever.
const SEGMENTS: i32 = 16;

/// Shows that this process lives, and how far it is, until the claim is lost.
async fn hold(claim: &Claim, progress: &Progress) -> anyhow::Error {
    let mut ticks = interval(SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed = Instant::now();
    loop {
        ticks.tick().await;
        progress.show();
        if renewed.elapsed() < BEAT {
            continue;
        }
        match claim.renew().await {
            Err(error @ Error::ClaimLost) => return error.into(),
            // A store that is away shows where it is written to.
            Ok(()) | Err(_) => renewed = Instant::now(),
        }
    }
}

/// This process, for people who wonder.
fn who() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}
