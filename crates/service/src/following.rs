//! A worker of views follows its registry: it starts a group for each generation that is to be consumed and stops those of
//! generations that are not any more, while it runs.
//!
//! A registry that cannot be read changes nothing: what ran goes on. Nor does anything wait for a worker to have heard of a
//! change. One that still consumes a retired generation finds its table or index gone and waits; one that does not consume a
//! loaded one yet leaves it to the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use aqueduct_contract::{Names, Worker};
use aqueduct_engine::{Engine, Progress, Sink};
use aqueduct_views::{Error, Followed, Generation, Metrics, Registry, Served};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{Health, groups};

/// The groups of one worker's views, by id.
pub(crate) struct Following<Make> {
    pub(crate) worker: Worker,
    pub(crate) names: Names,
    pub(crate) engine: Engine,
    pub(crate) health: Health,
    pub(crate) stall_timeout: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    /// Makes what the group of a generation writes to.
    pub(crate) sink: Make,
    pub(crate) running: BTreeMap<String, CancellationToken>,
    pub(crate) groups: JoinSet<Ended>,
}

/// A group, and how it ended.
type Ended = (String, Result<(), aqueduct_engine::Error>);

impl<S: Sink, Make: Fn(Generation) -> Result<S, Error>> Following<Make> {
    /// Starts and stops groups until they are those of `served`.
    pub(crate) fn follow(&mut self, served: &Served) -> Result<(), Error> {
        self.metrics.show(served);
        let mut wanted = BTreeSet::new();
        for generation in &served.generations {
            let group = groups::view_group(&self.names, self.worker, generation);
            wanted.insert(group.id.clone());
            if self.running.contains_key(&group.id) {
                continue;
            }
            tracing::info!(group = group.id, state = %generation.state, "consuming a generation");
            let sink = (self.sink)(generation.clone())?;
            let progress = Progress::new(self.stall_timeout);
            let (alive, ready) = (progress.clone(), progress.clone());
            self.health.live(&group.id, move || alive.alive());
            self.health.ready(&group.id, move || ready.ready());
            let (engine, stop, id) = (self.engine.clone(), self.stop.child_token(), group.id.clone());
            self.running.insert(id.clone(), stop.clone());
            self.groups.spawn(async move { (id, engine.run(group, sink, progress, stop).await) });
        }
        for (id, stop) in self.running.iter().filter(|(id, _)| !wanted.contains(*id)) {
            if !stop.is_cancelled() {
                tracing::info!(group = id, "the generation is not consumed any more");
            }
            stop.cancel();
        }
        Ok(())
    }

    /// Asks the registry `every` so often, until the process is to stop; then waits for the groups to drain. A group that ends
    /// by itself is an error.
    pub(crate) async fn run<R: Registry>(
        mut self,
        registry: Followed<R>,
        every: Duration,
    ) -> anyhow::Result<()> {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        let mut said = None;
        while !stop.is_cancelled() {
            let look = async {
                ticks.tick().await;
                registry.look().await
            };
            // The end of a group must not wait for an answer; a question that is given up for it is asked again.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = self.groups.join_next() => self.ended(ended)?,
                looked = look => match looked {
                    Ok(served) => {
                        said = None;
                        self.follow(&served)?;
                    }
                    Err(error) => {
                        let error = error.to_string();
                        if said.as_ref() != Some(&error) {
                            tracing::warn!(error, "the registry of views cannot be read; what runs goes on");
                        }
                        said = Some(error);
                    }
                }
            }
        }
        while let Some(ended) = self.groups.join_next().await {
            self.ended(ended)?;
        }
        Ok(())
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) -> anyhow::Result<()> {
        let (id, ended) = ended?;
        self.health.forget(&id);
        let stop = self.running.remove(&id);
        ended.with_context(|| id.clone())?;
        if !stop.is_some_and(|stop| stop.is_cancelled()) {
            bail!("{id} ended although nobody stopped it");
        }
        self.engine.forget(&id);
        tracing::info!(group = id, "left a generation");
        Ok(())
    }
}
