//! The thread that is a member of the consumer group: it alone polls and touches the assignment.
//!
//! ```text
//!            Kafka                      this thread                           the dispatcher
//!              │  records ──▶ within the window? ──▶ Fetched ──────────────▶ lanes, sink
//!              │                     └─ no: held, then paused
//!              │  assign ───▶ where to start ──────▶ Assigned ─────────────▶ a ledger, the start is committed
//!              │  revoke ───▶ ─────────────────────▶ Revoking ─────────────▶ drains
//!              │◀── commit, unassign ◀────────────── Drained ◀───────────── positions
//!              │  lost ─────▶ unassign ────────────▶ Lost ─────────────────▶ drops
//! ```
//!
//! A rebalance is taken note of in librdkafka's callback and carried out here, in as many rounds as it takes: librdkafka
//! waits for the unassign, polling goes on meanwhile, so a drain never costs the membership (`max.poll.interval.ms`).

mod context;
mod intake;
mod positions;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use aqueduct_store::kafka;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{info, warn};

use self::context::{Context, Rebalance};
use self::intake::{Intake, Source};
use self::positions::{Start, list, starts};
use crate::tenure::{Epoch, Tenure};
use crate::{Group, Progress, Record};

pub(crate) use self::intake::Window;

/// How long a broker may take to answer about offsets.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// What the thread tells the dispatcher. In order: nothing of an assignment comes before [`Assigned`](Event::Assigned).
#[derive(Debug)]
pub(crate) enum Event {
    Assigned(Vec<Assigned>),
    /// `more` says that further records are waiting, so that batches may fill.
    Fetched {
        records: Vec<(Arc<Tenure>, Record)>,
        more: bool,
    },
    /// To be drained; the answer is [`Command::Drained`].
    Revoking(Vec<Epoch>),
    /// Gone already: somebody else has them.
    Lost(Vec<Epoch>),
    /// Retention took records before they were read; reading goes on behind them.
    Skipped {
        epoch: Epoch,
        to: i64,
        lost: i64,
    },
    Committed(Epoch, i64),
    CommitFailed(Epoch),
    /// librdkafka gave up.
    Fatal(KafkaError),
}

/// A partition and where its reading starts.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) start: i64,
    pub(crate) committed: Option<i64>,
    /// Records that are gone although the group has not read them.
    pub(crate) lost: i64,
}

/// What the dispatcher tells the thread.
#[derive(Debug)]
pub(crate) enum Command {
    Commit(Vec<(Epoch, i64)>),
    /// The answer to [`Event::Revoking`]: what to commit before letting go.
    Drained(Vec<(Epoch, i64)>),
    /// Commit this, leave the group, end. The same without positions when the sender is gone.
    Stop(Vec<(Epoch, i64)>),
}

pub(crate) struct Consumer {
    consumer: BaseConsumer<Context>,
    intake: Intake,
    progress: Progress,
    events: mpsc::Sender<Event>,
    commands: Receiver<Command>,
    last_epoch: u64,
    /// The revocation whose drain is awaited.
    draining: Option<TopicPartitionList>,
    /// When to ask again where to start, after that failed.
    ask_again: Option<Instant>,
}

/// The dispatcher is gone, so there is nobody to read for.
struct Gone;

/// Starts the thread. It ends when `commands` says so or is dropped.
pub(crate) fn spawn(
    kafka: &kafka::Settings,
    group: &Group,
    instance_id: &str,
    window: Window,
    progress: Progress,
    events: mpsc::Sender<Event>,
    commands: Receiver<Command>,
) -> Result<(), crate::Error> {
    let consumer: BaseConsumer<Context> =
        config(kafka, group, instance_id).create_with_context(Context::default())?;
    let topics: Vec<&str> = group.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    let thread = Consumer {
        consumer,
        intake: Intake::new(window),
        progress,
        events,
        commands,
        last_epoch: 0,
        draining: None,
        ask_again: None,
    };
    std::thread::Builder::new()
        .name(format!("consumer {}", group.sink))
        .spawn(move || thread.run())
        .map_err(|error| crate::Error::Consumer { group: group.id.clone(), reason: error.to_string() })?;
    Ok(())
}

fn config(kafka: &kafka::Settings, group: &Group, instance_id: &str) -> ClientConfig {
    let mut config = kafka.client_config();
    config
        .set("client.id", &group.id)
        // The default of a second is a second without records whenever the queue was full.
        .set("fetch.queue.backoff.ms", "20")
        // What is fetched ahead, beside the window: memory, several times as much. More makes no worker faster.
        .set("queued.max.messages.kbytes", "2048")
        .set("fetch.max.bytes", "1048576")
        // A topic made after the start is found within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("socket.nagle.disable", "true");
    kafka.apply_properties(&mut config);
    config
        .set("group.id", &group.id)
        // Partitions go one by one; what stays is read on.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Starts are given explicitly; a position that is out of range is never corrected silently.
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false");
    if !instance_id.is_empty() {
        config.set("group.instance.id", instance_id);
    }
    config
}

impl Consumer {
    fn run(mut self) {
        let last = self.work();
        self.leave(&last);
    }

    /// Works until told to stop; returns what is to be committed last.
    fn work(&mut self) -> Vec<(Epoch, i64)> {
        let mut wait = Duration::ZERO;
        loop {
            self.progress.polled();
            match self.commands.recv_timeout(wait) {
                Ok(Command::Stop(positions)) => return positions,
                Ok(Command::Commit(positions)) if self.commit_now(&positions).is_err() => return Vec::new(),
                Ok(Command::Commit(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Drained(positions)) => self.let_go(&positions),
                Err(RecvTimeoutError::Disconnected) => return Vec::new(),
            }
            match self.round() {
                Ok(next_wait) => wait = next_wait,
                Err(Gone) => return Vec::new(),
            }
        }
    }

    fn round(&mut self) -> Result<Duration, Gone> {
        self.rebalance()?;
        let fetched = self.intake.fetch(&self.consumer);
        if fetched.news {
            self.send(Event::Fetched { records: fetched.records, more: fetched.more })?;
        }
        if let Some(error) = fetched.fatal {
            self.send(Event::Fatal(error))?;
        }
        if fetched.out_of_range {
            self.start_again()?;
        }
        Ok(fetched.wait)
    }

    fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.blocking_send(event).map_err(|_| Gone)
    }

    /// Commits while reading goes on elsewhere: librdkafka fetches ahead meanwhile.
    ///
    /// Synchronous, once a second: of an asynchronous commit rdkafka 0.39 never tells the outcome (it listens for events,
    /// and librdkafka makes none of a commit unless a callback is set).
    fn commit_now(&self, positions: &[(Epoch, i64)]) -> Result<(), Gone> {
        let committed = self.commit(positions);
        if let Err(error) = &committed {
            warn!(%error, "offsets were not committed");
        }
        for (epoch, position) in positions {
            self.send(match committed {
                Ok(()) => Event::Committed(*epoch, *position),
                Err(_) => Event::CommitFailed(*epoch),
            })?;
        }
        Ok(())
    }

    fn commit(&self, positions: &[(Epoch, i64)]) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        for (epoch, position) in positions {
            let source = self.intake.sources.iter().find(|source| source.tenure.epoch == *epoch);
            if let Some(Source { tenure, .. }) = source {
                list.add_partition_offset(&tenure.topic, tenure.partition, Offset::Offset(*position))?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        fail::fail_point!("before-commit", crate::failpoints::armed(), |_| crate::failpoints::kill());
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// Carries out the next rebalance that librdkafka waits for.
    fn rebalance(&mut self) -> Result<(), Gone> {
        if self.draining.is_some() || self.ask_again.is_some_and(|then| Instant::now() < then) {
            return Ok(());
        }
        self.ask_again = None;
        match self.consumer.context().next_rebalance() {
            None => Ok(()),
            Some(Rebalance::Assign(list)) => self.assign(list),
            Some(Rebalance::Revoke(list)) => self.revoke(list),
        }
    }

    fn assign(&mut self, list: TopicPartitionList) -> Result<(), Gone> {
        let starts = match starts(&self.consumer, &list, ASK_TIMEOUT) {
            Ok(starts) => starts,
            Err(error) => {
                warn!(%error, "where to start is not known yet");
                self.ask_again = Some(Instant::now() + Duration::from_secs(1));
                self.consumer.context().put_back(Rebalance::Assign(list));
                return Ok(());
            }
        };
        self.progress.joined();
        self.begin(starts)
    }

    /// Reads these partitions from where they start.
    fn begin(&mut self, starts: Vec<Start>) -> Result<(), Gone> {
        context::assign(&self.consumer, &list(&starts));
        let assigned: Vec<Assigned> = starts.into_iter().map(|start| self.new_source(start)).collect();
        info!(partitions = ?assigned.iter().map(|one| &one.tenure).collect::<Vec<_>>(), "assigned");
        self.send(Event::Assigned(assigned))
    }

    fn new_source(&mut self, start: Start) -> Assigned {
        start.report_loss();
        self.last_epoch += 1;
        let tenure = Arc::new(Tenure::new(self.last_epoch, start.topic.as_str().into(), start.partition));
        self.intake.sources.push(Source::new(tenure.clone(), start.offset));
        Assigned { tenure, start: start.offset, committed: start.committed, lost: start.lost }
    }

    fn revoke(&mut self, list: TopicPartitionList) -> Result<(), Gone> {
        let epochs: Vec<Epoch> = self.epochs_of(&list);
        if self.consumer.assignment_lost() {
            warn!(partitions = ?list, "assignment lost: others have these partitions now, nothing is committed");
            self.unassign(&list);
            self.send(Event::Lost(epochs))
        } else {
            self.draining = Some(list);
            self.send(Event::Revoking(epochs))
        }
    }

    fn epochs_of(&self, list: &TopicPartitionList) -> Vec<Epoch> {
        let sources = self.intake.sources.iter();
        sources.filter(|source| source.is_in(list)).map(|source| source.tenure.epoch).collect()
    }

    /// The revoked partitions are drained: their last offsets first, then the partitions.
    fn let_go(&mut self, positions: &[(Epoch, i64)]) {
        let Some(list) = self.draining.take() else { return };
        if self.consumer.assignment_lost() {
            warn!(partitions = ?list, "assignment lost while draining: nothing is committed");
        } else if let Err(error) = self.commit(positions) {
            warn!(%error, "the last offsets were not committed: the next owner reads these records again");
        }
        self.unassign(&list);
    }

    fn unassign(&mut self, list: &TopicPartitionList) {
        self.intake.forget(&self.consumer, list);
        context::unassign(&self.consumer, list);
        info!(partitions = ?list, "unassigned");
    }

    /// A position is out of range while reading: retention overtook it, or the topic was made anew. Which one, librdkafka
    /// does not say in a form that rdkafka passes on, so all are looked at.
    fn start_again(&mut self) -> Result<(), Gone> {
        let mut list = TopicPartitionList::new();
        for source in &self.intake.sources {
            list.add_partition(&source.tenure.topic, source.tenure.partition);
        }
        let starts = match starts(&self.consumer, &list, ASK_TIMEOUT) {
            Ok(starts) => starts,
            Err(error) => {
                warn!(%error, "a position is out of range, and where to start again is not known yet");
                self.intake.look_again();
                return Ok(());
            }
        };
        for start in starts {
            let Some(source) = self.intake.source(&start.topic, start.partition) else { continue };
            match start.again_from(source.next) {
                None => {}
                Some(start) if start.offset > source.next => self.skip(&start)?,
                Some(start) => self.begin_anew(start)?,
            }
        }
        Ok(())
    }

    /// Retention overtook the reading: what was read before is still ours to apply, so the assignment stays.
    fn skip(&mut self, start: &Start) -> Result<(), Gone> {
        let Some((epoch, held)) = self.intake.skip(start) else { return Ok(()) };
        let partition = list(std::slice::from_ref(start));
        // Not a seek: librdkafka has stopped fetching this partition, and refuses to seek where it does not fetch.
        context::unassign(&self.consumer, &partition);
        context::assign(&self.consumer, &partition);
        self.send(Event::Fetched { records: held, more: false })?;
        self.send(Event::Skipped { epoch, to: start.offset, lost: start.lost })
    }

    /// The topic is another one than it was.
    fn begin_anew(&mut self, start: Start) -> Result<(), Gone> {
        let partition = list(std::slice::from_ref(&start));
        let epochs = self.epochs_of(&partition);
        self.unassign(&partition);
        self.send(Event::Lost(epochs))?;
        self.begin(vec![start])
    }

    /// Commits what is left to commit and leaves the group. The drop of the consumer waits for the broker: whoever needs
    /// to go on waits for this thread with a deadline.
    fn leave(self, last: &[(Epoch, i64)]) {
        if !self.consumer.assignment_lost()
            && let Err(error) = self.commit(last)
        {
            warn!(%error, "the last offsets were not committed: the next owner reads these records again");
        }
        self.consumer.context().close(&self.consumer, self.draining);
    }
}
