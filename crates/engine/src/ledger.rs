//! What of one partition is done: which offset may be committed.
//!
//! Records are begun in offset order and finished in any. The position that may be committed is the offset of the first
//! record that is not done. Only offsets that were seen are tracked: compaction and transactions leave gaps.

use std::collections::VecDeque;

/// The ledger of one partition, from its assignment to its end.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Begun and not yet below the position, in offset order. The first one is never done.
    entries: VecDeque<Entry>,
    /// One past the highest offset begun.
    next: i64,
    committed: Option<i64>,
    committing: Option<i64>,
    /// When the first record below the position and not known to be committed was written.
    uncommitted_since: Option<i64>,
    /// The same of what the commit on its way covers, should it fail.
    committing_since: Option<i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp: i64,
    done: bool,
}

impl Ledger {
    /// Begins at `start`, with `committed` as the group's committed offset, if it has one.
    pub(crate) fn new(start: i64, committed: Option<i64>) -> Ledger {
        Ledger {
            entries: VecDeque::new(),
            next: start,
            committed,
            committing: None,
            uncommitted_since: None,
            committing_since: None,
        }
    }

    /// Takes up a record. False for an offset that was begun before, which a refetch can bring again.
    pub(crate) fn begin(&mut self, offset: i64, timestamp: i64) -> bool {
        if offset < self.next {
            return false;
        }
        self.next = offset + 1;
        self.entries.push_back(Entry { offset, timestamp, done: false });
        true
    }

    /// What lies between the last record begun and `offset` is gone from the topic.
    pub(crate) fn skip_to(&mut self, offset: i64) {
        self.next = self.next.max(offset);
    }

    /// Marks a record as done. Returns how many records fell below the position by it.
    pub(crate) fn finish(&mut self, offset: i64) -> usize {
        if let Ok(index) = self.entries.binary_search_by_key(&offset, |entry| entry.offset) {
            self.entries[index].done = true;
        }
        let before = self.entries.len();
        while let Some(first) = self.entries.front().filter(|entry| entry.done) {
            self.uncommitted_since.get_or_insert(first.timestamp);
            self.entries.pop_front();
        }
        before - self.entries.len()
    }

    /// The offset that may be committed: everything below it is done.
    pub(crate) fn position(&self) -> i64 {
        self.entries.front().map_or(self.next, |first| first.offset)
    }

    /// Whether records are begun and not done.
    pub(crate) fn is_busy(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The position, if it is neither committed nor on its way: the caller commits it and reports by
    /// [`committed`](Ledger::committed) or [`commit_failed`](Ledger::commit_failed).
    pub(crate) fn commit(&mut self) -> Option<i64> {
        let position = self.position();
        if self.committing.is_some() || self.committed == Some(position) {
            return None;
        }
        self.committing = Some(position);
        self.committing_since = self.uncommitted_since.take();
        Some(position)
    }

    /// Kafka holds `position`.
    pub(crate) fn committed(&mut self, position: i64) {
        self.committed = Some(position);
        if self.committing == Some(position) {
            self.committing = None;
            self.committing_since = None;
        }
    }

    /// The commit on its way failed; the next [`commit`](Ledger::commit) offers the position again.
    pub(crate) fn commit_failed(&mut self) {
        self.committing = None;
        self.uncommitted_since = self.committing_since.take().or(self.uncommitted_since);
    }

    /// The committed offset, as far as known.
    pub(crate) fn committed_offset(&self) -> Option<i64> {
        self.committed
    }

    /// When the oldest record that was begun and is not committed was written, milliseconds since 1970.
    pub(crate) fn oldest_uncommitted(&self) -> Option<i64> {
        let first = self.entries.front().map(|entry| entry.timestamp);
        self.committing_since.or(self.uncommitted_since).or(first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Move {
        /// Begin an offset this far after the last.
        Begin(i64),
        /// Skip so many offsets.
        Skip(i64),
        /// Finish one of those begun.
        Finish(prop::sample::Index),
        Commit,
        Committed,
        CommitFailed,
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            3 => (0..4_i64).prop_map(Move::Begin),
            1 => (0..4_i64).prop_map(Move::Skip),
            3 => any::<prop::sample::Index>().prop_map(Move::Finish),
            1 => Just(Move::Commit),
            1 => Just(Move::Committed),
            1 => Just(Move::CommitFailed),
        ];
        prop::collection::vec(one, 0..200)
    }

    /// The same, naively: all offsets ever begun, and those done.
    struct Model {
        /// Where the next record may be.
        next: i64,
        begun: BTreeSet<i64>,
        done: BTreeSet<i64>,
        committed: Option<i64>,
        committing: Option<i64>,
    }

    impl Model {
        fn position(&self) -> i64 {
            let first_open = self.begun.difference(&self.done).next();
            *first_open.unwrap_or(&self.next)
        }

        /// Timestamps equal offsets here.
        fn oldest_uncommitted(&self) -> Option<i64> {
            let open = self.begun.difference(&self.done).next().copied();
            let uncommitted =
                self.begun.iter().find(|offset| **offset >= self.committed.unwrap_or(i64::MIN)).copied();
            uncommitted.into_iter().chain(open).min()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(start in 0..1000_i64, moves in moves()) {
            let mut ledger = Ledger::new(start, None);
            let mut model = Model {
                next: start, begun: BTreeSet::new(), done: BTreeSet::new(), committed: None, committing: None,
            };
            for step in moves {
                match step {
                    Move::Begin(gap) => {
                        let offset = model.next + gap;
                        prop_assert!(ledger.begin(offset, offset));
                        prop_assert!(!ledger.begin(offset, offset));
                        model.begun.insert(offset);
                        model.next = offset + 1;
                    }
                    Move::Skip(records) => {
                        model.next += records;
                        ledger.skip_to(model.next);
                        ledger.skip_to(model.next - records);
                    }
                    Move::Finish(index) if !model.begun.is_empty() => {
                        let offset = *index.get(&model.begun.iter().copied().collect::<Vec<_>>());
                        let before = model.position();
                        model.done.insert(offset);
                        let fell = model.begun.range(before..model.position()).count();
                        prop_assert_eq!(ledger.finish(offset), fell);
                    }
                    Move::Finish(_) => prop_assert_eq!(ledger.finish(model.next), 0),
                    Move::Commit => {
                        let expected = (model.committing.is_none() && model.committed != Some(model.position()))
                            .then(|| model.position());
                        prop_assert_eq!(ledger.commit(), expected);
                        model.committing = model.committing.or(expected);
                    }
                    Move::Committed => if let Some(position) = model.committing.take() {
                        ledger.committed(position);
                        model.committed = Some(position);
                    }
                    Move::CommitFailed => {
                        ledger.commit_failed();
                        model.committing = None;
                    }
                }
                prop_assert_eq!(ledger.position(), model.position());
                prop_assert_eq!(ledger.is_busy(), model.begun != model.done);
                prop_assert_eq!(ledger.committed_offset(), model.committed);
                prop_assert_eq!(ledger.oldest_uncommitted(), model.oldest_uncommitted());
            }
        }
    }

    #[test]
    fn the_start_position_is_committed_when_nothing_was_yet() {
        assert_eq!(Ledger::new(7, None).commit(), Some(7));
        assert_eq!(Ledger::new(7, Some(7)).commit(), None);
        assert_eq!(Ledger::new(7, Some(3)).commit(), Some(7));
    }
}
