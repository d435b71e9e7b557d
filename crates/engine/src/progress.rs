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

    pub(crate) fn polled(&self) {
        self.lock().polled = Instant::now();
    }

    /// A record was settled, or a sick store was tried again.
    pub(crate) fn moved(&self) {
        self.lock().moved = Instant::now();
    }

    /// Whether there is work. What begins to be work has not stood still before.
    pub(crate) fn busy(&self, busy: bool) {
        let mut state = self.lock();
        if busy && !state.busy {
            state.moved = Instant::now();
        }
        state.busy = busy;
    }

    /// The group gave this process its partitions, be it none.
    pub(crate) fn joined(&self) {
        self.lock().joined = true;
    }

    /// The store answered.
    pub(crate) fn store_answers(&self) {
        self.lock().store_error = None;
    }

    /// The store did not answer, or refused for want of capacity.
    pub(crate) fn store_fails(&self, error: String) {
        self.lock().store_error = Some(error);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves plain fields behind, all of them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_ready_once_it_has_joined_and_the_store_answers() {
        let progress = Progress::new(Duration::from_secs(60));
        assert!(progress.ready().is_err());
        progress.joined();
        assert!(progress.ready().is_err());
        progress.store_answers();
        assert_eq!(progress.ready(), Ok(()));
        progress.store_fails("down".into());
        assert_eq!(progress.ready(), Err("down".into()));
        assert_eq!(progress.alive(), Ok(()), "a restart would not bring the store back");
    }

    #[test]
    fn a_group_is_dead_when_it_stands_still_with_work_before_it() {
        let progress = Progress::new(Duration::ZERO);
        assert!(progress.alive().unwrap_err().starts_with("Kafka was not polled"));
        let progress = Progress::new(Duration::from_secs(60));
        assert_eq!(progress.alive(), Ok(()));
        progress.busy(true);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        progress.lock().moved = long_ago;
        assert!(progress.alive().unwrap_err().starts_with("there is work"));
        progress.busy(false);
        assert_eq!(progress.alive(), Ok(()), "idle is not dead");
        progress.busy(true);
        assert_eq!(progress.alive(), Ok(()), "what has just begun has not stood still");
    }
}
