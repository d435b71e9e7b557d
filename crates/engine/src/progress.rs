//! Whether a group is alive and ready, as the admin endpoints ask it.
//!
//! Alive: the poll loop ticks, and the watermark moves while there is work. Ready: partitions were assigned, and the
//! store answered the last time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The state of one group, shared between its engine and whoever asks. Clones share one state.
#[derive(Clone, Debug)]
pub struct Progress {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    stall_timeout: Duration,
    polled: Instant,
    moved: Instant,
    busy: bool,
    joined: bool,
    store_error: Option<String>,
}

impl Progress {
    /// A group that has not begun. `stall_timeout` is how long it may stand still before it counts as dead.
    #[must_use]
    pub fn new(stall_timeout: Duration) -> Progress {
        let now = Instant::now();
        let state = State {
            stall_timeout,
            polled: now,
            moved: now,
            busy: false,
            joined: false,
            store_error: Some("the store has not been reached yet".into()),
        };
        Progress { state: Arc::new(Mutex::new(state)) }
    }

    /// Why the group counts as dead, if it does: a restart is the remedy.
    pub fn alive(&self) -> Result<(), String> {
        let state = self.lock();
        let polled = state.polled.elapsed();
        let moved = state.moved.elapsed();
        if polled > state.stall_timeout {
            Err(format!("Kafka was not polled for {} s", polled.as_secs()))
        } else if state.busy && moved > state.stall_timeout {
            Err(format!("there is work and nothing moved for {} s", moved.as_secs()))
        } else {
            Ok(())
        }
    }

    /// Why the group is not ready, if it is not.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        match &state.store_error {
            Some(error) => Err(error.clone()),
            None if !state.joined => Err("no partitions were assigned yet".into()),
            None => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves plain fields behind, all of them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
