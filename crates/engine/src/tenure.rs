//! One assignment of a partition to this process, from the day it is given to the day it is taken.
//!
//! The same partition can come back: everything on its way is tied to the assignment it came by, so that what an older one
//! left behind is told apart and dropped.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::brake::Brake;
use crate::open_letters::OpenLetters;

/// Tells assignments apart: no two of a group in one process are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Epoch(pub(crate) u64);

/// One assignment. The consumer thread, the dispatcher and the batches in flight share it.
pub(crate) struct Tenure {
    pub(crate) epoch: Epoch,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// Records handed over and not yet below the position: the window.
    records: AtomicUsize,
    /// Their bytes, without those that are done.
    bytes: AtomicUsize,
    /// Its fetching is paused, because what was read is not done.
    paused: AtomicBool,
    ended: AtomicBool,
    brake: Mutex<Brake>,
    letters: Mutex<OpenLetters>,
}

// Plain counters and a flag, each read alone: nothing else is published through them, so relaxed is enough.
impl Tenure {
    pub(crate) fn new(epoch: u64, topic: Arc<str>, partition: i32) -> Tenure {
        Tenure {
            epoch: Epoch(epoch),
            topic,
            partition,
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            brake: Mutex::default(),
            letters: Mutex::default(),
        }
    }

    /// The consumer hands a record over.
    pub(crate) fn take(&self, bytes: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records fell below the position.
    pub(crate) fn release_records(&self, records: usize) {
        self.records.fetch_sub(records, Ordering::Relaxed);
    }

    /// A record is done.
    pub(crate) fn release_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Nothing new is begun for it: no attempt, no dead letter.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn brake(&self) -> MutexGuard<'_, Brake> {
        // A panic elsewhere leaves plain counts behind.
        self.brake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn letters(&self) -> MutexGuard<'_, OpenLetters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Tenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]#{}", self.topic, self.partition, self.epoch.0)
    }
}
