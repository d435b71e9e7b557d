//! How fast a load may go: not above the rate that was asked for, and not at the expense of those that keep the live read
//! models.
//!
//! Strain is how long a reader rests for each second that it worked. It doubles while the lag of the store's groups grows or the
//! store refuses work, and halves while neither does. On a machine with others, the kernel lets these go first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, setpriority_process};

use crate::rate::Rate;

/// A tenth of what others get while there is not enough for all, and as much as there is else.
const NICE: i32 = 10;

/// A lag that comes and goes with every batch.
const SLACK: i64 = 1000;
const MOST_STRAIN: u32 = 32;

/// Has this process give way to others. Threads that are made later take after their makers.
pub(super) fn give_way() {
    // Linux has a priority for each thread.
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let ids = threads.filter_map(|thread| Pid::from_raw(thread.file_name().to_str()?.parse().ok()?));
    for id in ids {
        // Not if it has ended by now.
        let _ = setpriority_process(Some(id), NICE);
    }
}

/// Shared by all readers of a load.
pub(super) struct Pace {
    rate: Option<Rate>,
    state: Mutex<State>,
}

struct State {
    /// When the next event may be read, by the rate.
    next: Option<Instant>,
    strain: u32,
    lag: i64,
}

impl Pace {
    pub(super) fn new(rate: Option<Rate>) -> Pace {
        Pace { rate, state: Mutex::new(State { next: None, strain: 0, lag: 0 }) }
    }

    /// How long to rest after `events` that took from `begun` until `now`.
    pub(super) fn rest(&self, events: f64, begun: Instant, now: Instant) -> Duration {
        let mut state = self.state();
        let strained = (now - begun) * state.strain;
        let Some(rate) = self.rate else { return strained };
        let next = state.next.map_or(begun, |next| next.max(begun)) + rate.period().mul_f64(events);
        state.next = Some(next);
        strained.max(next.saturating_duration_since(now))
    }

    /// The live groups are so many records behind.
    pub(super) fn lags(&self, lag: i64) {
        let mut state = self.state();
        let grows = lag > SLACK && lag > state.lag;
        state.lag = lag;
        state.strain = if grows { (state.strain * 2).clamp(1, MOST_STRAIN) } else { state.strain / 2 };
    }

    /// The store has refused work.
    pub(super) fn throttled(&self) {
        let mut state = self.state();
        state.strain = (state.strain * 2).clamp(1, MOST_STRAIN);
    }

    /// The lag as it was last seen.
    pub(super) fn lag(&self) -> i64 {
        self.state().lag
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn all_readers_together_keep_to_the_rate() {
        let pace = Pace::new(Some("1000/s".parse().unwrap()));
        let begun = Instant::now();
        let now = begun + Duration::from_millis(10);
        assert_eq!(pace.rest(500.0, begun, now), Duration::from_millis(490));
        assert_eq!(pace.rest(500.0, begun, now), Duration::from_millis(990), "the other one's come before");
        assert_eq!(
            pace.rest(100.0, begun + 9 * SECOND, begun + 10 * SECOND),
            Duration::ZERO,
            "no debts are saved up"
        );
    }

    #[test]
    fn a_lag_that_grows_slows_down_until_it_shrinks() {
        let pace = Pace::new(None);
        let begun = Instant::now();
        let rest = || pace.rest(1.0, begun, begun + SECOND).as_secs();
        let after = |lag| {
            pace.lags(lag);
            rest()
        };
        assert_eq!(rest(), 0);
        assert_eq!([0, 900, 1500, 2000, 3000].map(after), [0, 0, 1, 2, 4]);
        assert_eq!([3000, 2500, 100].map(after), [2, 1, 0]);
        pace.throttled();
        assert_eq!(rest(), 1);
        (0..20).for_each(|_| pace.throttled());
        assert_eq!(rest(), u64::from(MOST_STRAIN));
    }
}
