//! The world of one item: its rows, its topic partition, its writers and publishers, and all that can happen next.
//!
//! What keeps it small: an event's id is the number of its writer (a writer tries each version once); an idle publisher may begin with
//! any version at any time, which covers every state of queues, of the index and of clocks; a publisher that crashes is one that
//! is idle again; writers that differ by their numbers only are one state, and so are publishers.

use aqueduct_contract::Version;

use crate::events::is_own;
use crate::publisher::protocol::{Marker, Next, Produce, Unmark};

pub(super) const VERSIONS: usize = 3;
const WRITERS: usize = 3;
const PUBLISHERS: usize = 3;

/// Which part of the protocol is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Without {
    Nothing,
    EarlierFirst,
    Acknowledgements,
    EventIds,
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wrong {
    /// A version was written before the one before it.
    Gap,
    /// A writer was told that it lost a version that is its own.
    ToldLost,
    /// A writer was told that it won a version that is another's.
    ToldStored,
    /// A version appeared in the topic before the one before it.
    Order,
    /// A version appeared again as another event.
    Repeat,
}

type Id = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Writer {
    /// Will read the latest version and decide on the next.
    Deciding,
    /// Has sent a Put of this version and has no answer.
    Putting(Version),
    /// Crashed, or has nothing more to write.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Publisher {
    Idle,
    At(Next),
    Acknowledged(Unmark),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    id: Id,
    marked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    without: Without,
    rows: [Option<Row>; VERSIONS],
    /// The event with which each version appeared first in the topic.
    topic: [Option<Id>; VERSIONS],
    /// Records that may still land, though nobody waits for them.
    straying: [bool; VERSIONS],
    writers: [Writer; WRITERS],
    publishers: [Publisher; PUBLISHERS],
    pub(super) wrong: Option<Wrong>,
}

/// One step of one participant, with what the network makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Decide {
        writer: usize,
    },
    PutIsAnswered {
        writer: usize,
    },
    PutAnswerIsLost {
        writer: usize,
    },
    WriterCrashes {
        writer: usize,
    },
    PublishOwn {
        publisher: usize,
        version: Version,
    },
    /// From the index, which may show any version that ever had a marker, and need not show an earlier one.
    TakeOver {
        publisher: usize,
        version: Version,
    },
    Look {
        publisher: usize,
    },
    /// An acknowledgement that is lost is one that came before a crash; so is the answer to an unmarking.
    ProduceIsAcknowledged {
        publisher: usize,
    },
    /// The sender gives up while the record is on its way.
    ProduceTimesOut {
        publisher: usize,
    },
    StrayLands {
        version: Version,
    },
    Unmark {
        publisher: usize,
    },
    PublisherCrashes {
        publisher: usize,
    },
}

fn index(version: Version) -> usize {
    usize::try_from(version.get() - 1).unwrap()
}

fn version(index: usize) -> Version {
    Version::try_from(u64::try_from(index).unwrap() + 1).unwrap()
}

impl World {
    pub(super) fn new(without: Without) -> World {
        World {
            without,
            rows: [None; VERSIONS],
            topic: [None; VERSIONS],
            straying: [false; VERSIONS],
            writers: [Writer::Deciding; WRITERS],
            publishers: [Publisher::Idle; PUBLISHERS],
            wrong: None,
        }
    }

    /// All that can happen next. Nothing does after something went wrong.
    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        if self.wrong.is_some() {
            return;
        }
        for (writer, state) in self.writers.iter().enumerate() {
            match state {
                Writer::Deciding => {
                    actions.extend([Action::Decide { writer }, Action::WriterCrashes { writer }]);
                }
                Writer::Putting(_) => actions.extend([
                    Action::PutIsAnswered { writer },
                    Action::PutAnswerIsLost { writer },
                    Action::WriterCrashes { writer },
                ]),
                Writer::Gone => {}
            }
        }
        for (publisher, state) in self.publishers.iter().enumerate() {
            if publisher > 0 && self.publishers[publisher - 1] == *state {
                // It would lead to the same states.
                continue;
            }
            match state {
                Publisher::Idle => {
                    for version in (0..VERSIONS).filter(|index| self.rows[*index].is_some()).map(version) {
                        actions.push(Action::PublishOwn { publisher, version });
                        actions.push(Action::TakeOver { publisher, version });
                    }
                    continue;
                }
                Publisher::At(Next::Look(_)) => actions.push(Action::Look { publisher }),
                Publisher::At(Next::Produce(_)) => actions.extend([
                    Action::ProduceIsAcknowledged { publisher },
                    Action::ProduceTimesOut { publisher },
                ]),
                Publisher::Acknowledged(_) => {
                    actions.push(Action::Unmark { publisher });
                }
                Publisher::At(Next::Done) => {}
            }
            actions.push(Action::PublisherCrashes { publisher });
        }
        let straying = (0..VERSIONS).filter(|index| self.straying[*index]);
        actions.extend(straying.map(|index| Action::StrayLands { version: version(index) }));
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Decide { writer } => self.decide(writer),
            Action::PutIsAnswered { writer } => self.put(writer, true),
            Action::PutAnswerIsLost { writer } => self.put(writer, false),
            Action::WriterCrashes { writer } => self.writers[writer] = Writer::Gone,
            Action::PublishOwn { publisher, version } => {
                self.publishers[publisher] = Publisher::At(match self.without {
                    Without::EarlierFirst => Next::without_earlier_first(version),
                    _ => Next::own(version),
                });
            }
            Action::TakeOver { publisher, version } => {
                self.publishers[publisher] = Publisher::At(Next::take_over(version));
            }
            Action::Look { publisher }
            | Action::ProduceIsAcknowledged { publisher }
            | Action::ProduceTimesOut { publisher }
            | Action::Unmark { publisher }
            | Action::PublisherCrashes { publisher } => {
                self.publishers[publisher] = self.publish(self.publishers[publisher], action);
            }
            Action::StrayLands { version } => {
                self.straying[index(version)] = false;
                self.append(version);
            }
        }
    }

    fn decide(&mut self, writer: usize) {
        let latest = self.rows.iter().flatten().count();
        self.writers[writer] =
            if latest < VERSIONS { Writer::Putting(version(latest)) } else { Writer::Gone };
    }

    fn put(&mut self, writer: usize, answered: bool) {
        let Writer::Putting(version) = self.writers[writer] else { return };
        let own = Id::try_from(writer).unwrap();
        let won = match self.rows[index(version)] {
            None => {
                let before = version.previous().map(|before| self.rows[index(before)]);
                if before == Some(None) {
                    self.wrong = Some(Wrong::Gap);
                }
                self.rows[index(version)] = Some(Row { id: own, marked: true });
                true
            }
            Some(found) => self.without != Without::EventIds && is_own(&own, &found.id),
        };
        if answered {
            self.writers[writer] = Writer::Deciding;
            let is_own = self.rows[index(version)].is_some_and(|row| row.id == own);
            match (won, is_own) {
                (false, true) => self.wrong = Some(Wrong::ToldLost),
                (true, false) => self.wrong = Some(Wrong::ToldStored),
                _ => {}
            }
        }
    }

    /// Where a step leads a publisher. One that fails is idle again.
    fn publish(&mut self, at: Publisher, action: Action) -> Publisher {
        match (at, action) {
            (Publisher::At(Next::Look(look)), Action::Look { .. }) => {
                let marked = self.rows[index(look.version())].is_some_and(|row| row.marked);
                let marker = if marked { Marker::Unpublished } else { Marker::Published };
                goes_on(look.answered(marker))
            }
            (Publisher::At(Next::Produce(produce)), action) => self.produce(produce, action),
            (Publisher::Acknowledged(unmark), Action::Unmark { .. }) => {
                self.unmark(unmark.version());
                goes_on(unmark.unmarked())
            }
            _ => Publisher::Idle,
        }
    }

    fn produce(&mut self, produce: Produce, action: Action) -> Publisher {
        match action {
            Action::ProduceIsAcknowledged { .. } => {
                self.append(produce.version());
                Publisher::Acknowledged(produce.acknowledged())
            }
            Action::ProduceTimesOut { .. } => {
                self.straying[index(produce.version())] = true;
                match self.without {
                    Without::Acknowledgements => Publisher::Acknowledged(produce.acknowledged()),
                    _ => Publisher::Idle,
                }
            }
            _ => Publisher::Idle,
        }
    }

    fn unmark(&mut self, version: Version) {
        if let Some(row) = &mut self.rows[index(version)] {
            row.marked = false;
        }
    }

    /// The record of a version lands in the topic: the row's bytes.
    fn append(&mut self, version: Version) {
        let Some(row) = self.rows[index(version)] else { return };
        let before = version.previous().map(|before| self.topic[index(before)]);
        match self.topic[index(version)] {
            None if before == Some(None) => self.wrong = Some(Wrong::Order),
            None => self.topic[index(version)] = Some(row.id),
            Some(first) if first != row.id => self.wrong = Some(Wrong::Repeat),
            Some(_) => {}
        }
    }

    /// Makes states that differ in nothing that matters the same.
    pub(super) fn normalise(&mut self) {
        self.publishers.sort_unstable();
        for straying in 0..VERSIONS {
            // Once its version is there, it can only be a repeat of the same row.
            self.straying[straying] &= self.topic[straying].is_none();
        }
        if self.rows.iter().all(Option::is_some) {
            // Who would decide finds nothing more to write.
            for writer in &mut self.writers {
                if *writer == Writer::Deciding {
                    *writer = Writer::Gone;
                }
            }
        }
        let mut order: [usize; WRITERS] = std::array::from_fn(|writer| writer);
        order.sort_unstable_by_key(|writer| {
            let own = |id: Id| usize::from(id) == *writer;
            (
                self.writers[*writer],
                self.rows.map(|row| row.is_some_and(|row| own(row.id))),
                self.topic.map(|id| id.is_some_and(own)),
            )
        });
        let renamed = |id: Id| order.iter().position(|writer| *writer == usize::from(id));
        let renamed = |id: Id| Id::try_from(renamed(id).unwrap()).unwrap();
        self.rows = self.rows.map(|row| row.map(|row| Row { id: renamed(row.id), ..row }));
        self.topic = self.topic.map(|id| id.map(renamed));
        self.writers = order.map(|writer| self.writers[writer]);
    }

    pub(super) fn unmarked_are_in_topic(&self) -> bool {
        let mut rows = self.rows.iter().zip(&self.topic);
        rows.all(|(row, first)| row.is_none_or(|row| row.marked || first.is_some()))
    }

    pub(super) fn all_published(&self) -> bool {
        let mut rows = self.rows.iter().zip(&self.topic);
        rows.all(|(row, first)| row.is_none_or(|row| !row.marked && first.is_some()))
    }

    /// How the world is after one sweeper, with an index that shows everything and a network that loses nothing, went
    /// through the outbox, latest version first.
    pub(super) fn after_one_undisturbed_sweep(&self) -> World {
        let mut world = *self;
        for version in (0..VERSIONS).rev().map(version) {
            if world.rows[index(version)].is_some_and(|row| row.marked) {
                let mut publisher = Publisher::At(Next::take_over(version));
                while publisher != Publisher::Idle {
                    let action = match publisher {
                        Publisher::At(Next::Produce(_)) => Action::ProduceIsAcknowledged { publisher: 0 },
                        Publisher::Acknowledged(_) => Action::Unmark { publisher: 0 },
                        _ => Action::Look { publisher: 0 },
                    };
                    publisher = world.publish(publisher, action);
                }
            }
        }
        world
    }

    pub(super) fn winners(&self) -> usize {
        (0..WRITERS)
            .filter(|writer| self.rows.iter().flatten().any(|row| usize::from(row.id) == *writer))
            .count()
    }

    pub(super) fn straying(&self) -> bool {
        self.straying.contains(&true)
    }
}

fn goes_on(next: Next) -> Publisher {
    if next == Next::Done { Publisher::Idle } else { Publisher::At(next) }
}
