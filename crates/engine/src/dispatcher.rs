//! The loop that owns lanes and ledgers: records from the consumer thread become batches, what became of them becomes
//! positions to commit.

use std::sync::{Arc, mpsc as commands};
use std::time::{Duration, Instant};

use aqueduct_store::letters::Filed;
use foldhash::{HashMap, HashMapExt};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::consumer::{Assigned, Command, Event};
use crate::delivery::{Delivered, Delivery, Settled};
use crate::lag::Lag;
use crate::lanes::{Lanes, Limits, Queued, Redrive};
use crate::ledger::Ledger;
use crate::metrics::GroupMetrics;
use crate::open_letters::Snapshot;
use crate::pace::Pace;
use crate::partition::{Partition, Pauses};
use crate::settlement::Verdict;
use crate::tenure::{Epoch, Tenure};
use crate::{Error, Group, Needs, Progress, Reason, Record, Settings, Sink};

pub(crate) struct Dispatcher<S> {
    group: Group,
    settings: Settings,
    metrics: GroupMetrics,
    progress: Progress,
    delivery: Arc<Delivery<S>>,
    events: mpsc::Receiver<Event>,
    commands: commands::Sender<Command>,
    lag: Lag,
    partitions: HashMap<Epoch, Partition>,
    lanes: Lanes,
    pace: Pace,
    /// Between the tries of a partition that the brake stopped.
    pauses: Pauses,
    batches: JoinSet<Result<Delivered, Error>>,
    loads: JoinSet<Loaded>,
    /// Tells batches that assignments have ended.
    ended: watch::Sender<()>,
    /// Further records are on their way.
    more: bool,
    next_commit: Instant,
    /// The revocation that the consumer thread waits for.
    revoking: Option<Drain>,
    stopping: Option<Instant>,
}

/// The letters of a partition, as they were loaded.
struct Loaded {
    epoch: Epoch,
    before: Snapshot,
    letters: Result<Vec<Filed>, aqueduct_store::Error>,
}

/// Assignments whose batches in flight are awaited, until a deadline.
struct Drain {
    epochs: Vec<Epoch>,
    deadline: Instant,
}

impl<S: Sink> Dispatcher<S> {
    pub(crate) fn new(
        settings: Settings,
        delivery: Arc<Delivery<S>>,
        events: mpsc::Receiver<Event>,
        commands: commands::Sender<Command>,
        lag: Lag,
    ) -> Dispatcher<S> {
        let limits = Limits {
            records: settings.batch_records.max(1),
            bytes: settings.batch_bytes,
            age: settings.batch_age,
        };
        let lanes = settings.lanes.of(delivery.group.worker);
        Dispatcher {
            group: delivery.group.clone(),
            metrics: delivery.metrics.clone(),
            progress: delivery.progress.clone(),
            lanes: Lanes::new(lanes, limits),
            pace: Pace::new(lanes, limits.records),
            pauses: Pauses { min: settings.brake_pause_min, max: settings.brake_pause_max },
            next_commit: Instant::now() + settings.commit_interval,
            settings,
            delivery,
            events,
            commands,
            lag,
            partitions: HashMap::new(),
            batches: JoinSet::new(),
            loads: JoinSet::new(),
            ended: watch::Sender::new(()),
            more: false,
            revoking: None,
            stopping: None,
        }
    }

    /// Until `stop`, and then until everything in flight is done or the drain's deadline has passed.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        loop {
            let next = tokio::time::Instant::from_std(self.next_deadline());
            tokio::select! {
                // A stop comes before what would begin anew; what is done makes room before more comes in.
                biased;
                () = stop.cancelled(), if self.stopping.is_none() => self.begin_stop(),
                Some(batch) = self.batches.join_next() => self.batch_ended(batch)?,
                Some(loaded) = self.loads.join_next() => self.loaded(loaded)?,
                event = self.events.recv() => self.event(event)?,
                () = self.lag.refreshed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let now = Instant::now();
            self.try_again(now);
            self.load_letters(now);
            self.dispatch(now);
            self.end_revocation(now);
            if now >= self.next_commit {
                self.next_commit = now + self.settings.commit_interval;
                self.commit();
                self.measure();
            }
            if let Some(deadline) = self.stopping
                && (self.batches.is_empty() || now >= deadline)
            {
                return self.leave().await;
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let deadlines =
            [self.lanes.next_due(), self.revoking.as_ref().map(|drain| drain.deadline), self.stopping];
        let tries = self.partitions.values().filter_map(Partition::next_due);
        deadlines.into_iter().flatten().chain(tries).fold(self.next_commit, Instant::min)
    }

    fn event(&mut self, event: Option<Event>) -> Result<(), Error> {
        match event {
            Some(Event::Fetched { records, more }) => self.take(records, more),
            Some(Event::Assigned(partitions)) => self.assigned(partitions),
            Some(Event::Revoking(epochs)) => self.begin_revocation(epochs),
            Some(Event::Lost(epochs)) => {
                self.end(&epochs);
                self.forget(&epochs);
            }
            Some(Event::Skipped { epoch, to, lost }) => {
                if let Some(partition) = self.partitions.get_mut(&epoch) {
                    partition.ledger.skip_to(to);
                    self.metrics.lost(&partition.tenure.topic, partition.tenure.partition, lost);
                }
            }
            Some(Event::Committed(epoch, position)) => {
                if let Some(partition) = self.partitions.get_mut(&epoch) {
                    partition.ledger.committed(position);
                }
            }
            Some(Event::CommitFailed(epoch)) => {
                if let Some(partition) = self.partitions.get_mut(&epoch) {
                    partition.ledger.commit_failed();
                }
            }
            Some(Event::Fatal(error)) => return Err(Error::Kafka(error)),
            None => {
                let reason = "its thread ended".to_owned();
                return Err(Error::Consumer { group: self.group.id.clone(), reason });
            }
        }
        Ok(())
    }

    fn take(&mut self, records: Vec<(Arc<Tenure>, Record)>, more: bool) {
        self.more = more;
        let now = Instant::now();
        for (tenure, record) in records {
            let Some(partition) = self.partitions.get_mut(&tenure.epoch) else { continue };
            // Neither what the next owner will read nor what came before is taken up.
            let taken = !tenure.has_ended() && partition.ledger.begin(record.offset, record.timestamp);
            if !taken {
                tenure.release_records(1);
                tenure.release_bytes(record.size());
            } else if let Some(record) = partition.admit(record) {
                self.lanes.push(Queued { tenure, record }, now);
            }
        }
        self.note_busy();
    }

    fn note_busy(&self) {
        self.progress.busy(self.partitions.values().any(|partition| partition.ledger.is_busy()));
    }

    fn assigned(&mut self, partitions: Vec<Assigned>) {
        for Assigned { tenure, start, committed, lost } in partitions {
            if lost > 0 {
                self.metrics.lost(&tenure.topic, tenure.partition, lost);
            }
            if self.stopping.is_some() {
                tenure.end();
            }
            let ledger = Ledger::new(start, committed);
            let mut partition = Partition::new(tenure, ledger, S::NEEDS == Needs::EveryEvent);
            partition.load_at = Some(Instant::now());
            self.partitions.insert(partition.tenure.epoch, partition);
        }
        self.assignment_changed();
        // A group that has read nothing yet has a position all the same, for whoever measures its lag.
        self.commit();
    }

    fn assignment_changed(&mut self) {
        self.metrics.assigned.set(i64::try_from(self.partitions.len()).unwrap_or(i64::MAX));
        self.lag.of(self.partitions.values().map(|partition| &*partition.tenure));
    }

    /// Loads the letters of the partitions whose turn it is.
    fn load_letters(&mut self, now: Instant) {
        for (epoch, partition) in &mut self.partitions {
            if partition.tenure.has_ended() || partition.load_at.take_if(|then| now >= *then).is_none() {
                continue;
            }
            let (delivery, tenure, epoch) = (self.delivery.clone(), partition.tenure.clone(), *epoch);
            self.loads.spawn(async move {
                let before = tenure.letters().snapshot();
                let letters =
                    delivery.letters.load(&delivery.group.id, &tenure.topic, tenure.partition).await;
                Loaded { epoch, before, letters }
            });
        }
    }

    fn loaded(&mut self, loaded: Result<Loaded, JoinError>) -> Result<(), Error> {
        let Loaded { epoch, before, letters } =
            loaded.map_err(|source| Error::Batch { group: self.group.id.clone(), source })?;
        let Some(partition) = self.partitions.get_mut(&epoch) else { return Ok(()) };
        let now = Instant::now();
        let tenure = partition.tenure.clone();
        match letters {
            Ok(letters) => {
                for filed in tenure.letters().refresh(&before, letters) {
                    self.lanes.push_redrive(Redrive { tenure: tenure.clone(), filed });
                }
                for record in partition.letters_known() {
                    self.lanes.push(Queued { tenure: tenure.clone(), record }, now);
                }
                let looks = if tenure.letters().count() > 0 { 1 } else { IDLE_LOOKS };
                partition.load_at = Some(now + looks * self.settings.letters_interval);
            }
            Err(error) => {
                self.delivery.store_failed("letters were not loaded", 1, &error);
                partition.load_at = Some(now + self.settings.letters_interval);
            }
        }
        Ok(())
    }

    /// Sends off every batch that is due.
    fn dispatch(&mut self, now: Instant) {
        while let Some((lane, redrive)) = self.lanes.next_redrive() {
            if let Some(partition) = self.partitions.get_mut(&redrive.tenure.epoch) {
                partition.in_batches += 1;
            }
            self.batches.spawn(self.delivery.clone().redrive(lane, redrive, self.ended.subscribe()));
        }
        while self.batches.len() < self.pace.lanes()
            && let Some(batch) = self.lanes.next_batch(now, self.more)
        {
            for queued in &batch.records {
                if let Some(partition) = self.partitions.get_mut(&queued.tenure.epoch) {
                    partition.in_batches += 1;
                }
            }
            self.metrics.consumed.inc_by(batch.records.len() as u64);
            self.batches.spawn(self.delivery.clone().deliver(batch, self.ended.subscribe()));
        }
    }

    fn batch_ended(&mut self, batch: Result<Result<Delivered, Error>, JoinError>) -> Result<(), Error> {
        let group = || self.group.id.clone();
        let delivered = batch.map_err(|source| Error::Batch { group: group(), source })??;
        self.lanes.finished(delivered.lane);
        self.pace.batch_ended(delivered.slowed);
        self.lanes.limit_records(self.pace.records());
        if let Some(partition) = delivered.redriven.and_then(|epoch| self.partitions.get_mut(&epoch)) {
            partition.in_batches -= 1;
        }
        for Settled { tenure, record, verdict } in delivered.records {
            let counter = match verdict {
                Verdict::Applied => &self.metrics.applied,
                Verdict::Stale => &self.metrics.stale,
                Verdict::Ignored => &self.metrics.ignored,
                Verdict::DeadLettered => &self.metrics.dead_lettered,
                Verdict::Parked => &self.metrics.parked,
                Verdict::Returned | Verdict::Held => &self.metrics.returned,
            };
            counter.inc();
            // Of an assignment that is gone nothing counts: somebody else has its offsets.
            let Some(partition) = self.partitions.get_mut(&tenure.epoch) else { continue };
            partition.in_batches -= 1;
            match verdict {
                Verdict::Returned => {}
                Verdict::Held => self.hold(tenure.epoch, record, delivered.braked.as_ref()),
                _ => {
                    if verdict == Verdict::DeadLettered {
                        let soon = Instant::now() + self.settings.letters_interval;
                        partition.load_at = partition.load_at.map(|then| then.min(soon));
                    }
                    tenure.release_bytes(record.size());
                    tenure.release_records(partition.ledger.finish(record.offset));
                }
            }
        }
        self.release();
        self.progress.moved();
        self.note_busy();
        Ok(())
    }

    /// The brake is on: nothing of the partition stays in the lanes.
    fn hold(&mut self, epoch: Epoch, record: Record, reason: Option<&Reason>) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        let pause = partition.brake(Instant::now(), self.pauses);
        if let Some(pause) = pause {
            error!(
                group = self.group.id,
                partition = ?partition.tenure,
                position = partition.ledger.position(),
                "too many dead letters: the partition stands still, and tries again in {} s. This is a fault of the system, \
                 not of one record: mend what the records fail for ({})",
                pause.as_secs_f64(),
                reason.map(ToString::to_string).unwrap_or_default()
            );
            self.lanes.take_of(epoch).into_iter().for_each(|queued| partition.keep_back(queued));
        }
        partition.keep_back(record);
    }

    /// Stopped partitions whose pause is over try again.
    fn try_again(&mut self, now: Instant) {
        for partition in self.partitions.values_mut() {
            for record in partition.try_again(now) {
                // Waiting for a fault to be mended is what a stopped partition does: a restart would not help.
                self.progress.moved();
                self.lanes.push(Queued { tenure: partition.tenure.clone(), record }, now);
            }
        }
    }

    fn release(&mut self) {
        for partition in self.partitions.values_mut() {
            if partition.release() {
                info!(group = self.group.id, partition = ?partition.tenure, "what was kept back is done: the brake is off");
            }
        }
    }

    /// Offers Kafka every position that has moved.
    fn commit(&mut self) {
        let moved = self.partitions.iter_mut().filter(|(_, partition)| !partition.tenure.has_ended());
        let positions: Vec<(Epoch, i64)> =
            moved.filter_map(|(epoch, partition)| Some((*epoch, partition.ledger.commit()?))).collect();
        if !positions.is_empty() {
            self.send(Command::Commit(positions));
        }
    }

    /// The thread being gone shows in the events.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Nothing new is begun for these assignments, and what waits to be tried again is given up.
    fn end(&mut self, epochs: &[Epoch]) {
        epochs.iter().filter_map(|epoch| self.partitions.get(epoch)).for_each(|one| one.tenure.end());
        self.lanes.drop_ended();
        self.ended.send_replace(());
    }

    fn begin_revocation(&mut self, epochs: Vec<Epoch>) {
        self.end(&epochs);
        self.revoking = Some(Drain { epochs, deadline: Instant::now() + self.settings.drain_timeout });
    }

    fn end_revocation(&mut self, now: Instant) {
        let in_batches = |epoch: &Epoch| self.partitions.get(epoch).is_some_and(|one| one.in_batches > 0);
        let over = |drain: &mut Drain| now >= drain.deadline || !drain.epochs.iter().any(in_batches);
        let Some(drain) = self.revoking.take_if(over) else { return };
        if drain.epochs.iter().any(in_batches) {
            warn!(
                group = self.group.id,
                "the drain took too long: the next owner reads again what is in flight"
            );
        }
        let positions = self.positions(&drain.epochs);
        self.forget(&drain.epochs);
        self.send(Command::Drained(positions));
    }

    /// Where these assignments stand, if that is not committed yet.
    fn positions(&self, epochs: &[Epoch]) -> Vec<(Epoch, i64)> {
        let standing = epochs.iter().filter_map(|epoch| {
            let ledger = &self.partitions.get(epoch)?.ledger;
            (ledger.committed_offset() != Some(ledger.position())).then(|| (*epoch, ledger.position()))
        });
        standing.collect()
    }

    fn forget(&mut self, epochs: &[Epoch]) {
        for epoch in epochs {
            if let Some(Partition { tenure, .. }) = self.partitions.remove(epoch) {
                self.metrics.forget(&tenure.topic, tenure.partition);
            }
        }
        self.assignment_changed();
        self.note_busy();
    }

    fn begin_stop(&mut self) {
        info!(group = self.group.id, "draining");
        self.stopping = Some(Instant::now() + self.settings.drain_timeout);
        let epochs: Vec<Epoch> = self.partitions.keys().copied().collect();
        self.end(&epochs);
    }

    /// The last commit, and out of the group.
    async fn leave(mut self) -> Result<(), Error> {
        if !self.batches.is_empty() {
            warn!(group = self.group.id, "the drain took too long: what is in flight is read again");
        }
        let epochs: Vec<Epoch> = self.partitions.keys().copied().collect();
        self.send(Command::Stop(self.positions(&epochs)));
        self.forget(&epochs);
        let ended = async { while self.events.recv().await.is_some() {} };
        if tokio::time::timeout(LEAVE_TIMEOUT, ended).await.is_err() {
            warn!(group = self.group.id, "the consumer did not leave its group in time");
        }
        info!(group = self.group.id, "stopped");
        Ok(())
    }

    fn measure(&self) {
        let now = jiff::Timestamp::now().as_millisecond();
        let (mut in_flight, mut bytes, mut paused, mut braked, mut letters) = (0, 0, 0, 0, 0);
        for partition in self.partitions.values() {
            let Partition { tenure, ledger, .. } = partition;
            bytes += tenure.bytes();
            letters += tenure.letters().count();
            braked += i64::from(partition.is_braked());
            in_flight += tenure.records();
            paused += i64::from(tenure.is_paused());
            let oldest = ledger.oldest_uncommitted().filter(|timestamp| *timestamp >= 0);
            let age = oldest.and_then(|oldest| u64::try_from(now - oldest).ok()).unwrap_or_default();
            let committed = ledger.committed_offset().unwrap_or(ledger.position());
            // Until the end is known, it is what was seen of it.
            let end = self.lag.end(&tenure.topic, tenure.partition).unwrap_or(ledger.position());
            let records = (end - committed).max(0);
            self.metrics.lag(&tenure.topic, tenure.partition, records, Duration::from_millis(age));
        }
        self.metrics.paused.set(paused);
        self.metrics.braked.set(braked);
        for (gauge, value) in [
            (&self.metrics.batch_limit, self.pace.records()),
            (&self.metrics.lanes_limit, self.pace.lanes()),
            (&self.metrics.letters, letters),
            (&self.metrics.window_bytes, bytes),
            (&self.metrics.in_flight, in_flight),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// How much more seldom the letters of a partition are looked at that has none. One may appear all the same: of a process that has
/// lost the partition and does not know it yet.
const IDLE_LOOKS: u32 = 12;

/// How long leaving the group may take: a synchronous commit and a farewell.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);
