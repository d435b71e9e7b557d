//! How fast a load may go: not above the rate that was asked for, and not at the expense of those that keep the live read
//! models.
//!
//! While events arrive for the live read models, all that reads and writes for the load has a share of the time: one thing is
//! done at a time, in small pieces, with rests between them. The share is halved while the lag of the store's groups grows or the
//! store refuses work, and doubles again while neither does. When no event arrives, it is all of the time. On a machine with
//! others, the kernel lets these go first.

use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, setpriority_process};

use crate::rate::Rate;

/// A tenth of what others get while there is not enough for all, and as much as there is else.
const NICE: i32 = 10;

/// A lag that comes and goes with every batch.
const SLACK: i64 = 1000;
/// Rest for each second of work, at most.
const MOST_STRAIN: f64 = 64.0;
/// Rest that is not taken: a load that is nearly nothing does not wait.
const CREDIT: Duration = Duration::from_secs(2);

/// How much of the time is worked while events arrive for the live read models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(f64);

impl Share {
    /// How long to rest for each second of work.
    fn strain(self) -> f64 {
        1.0 / self.0 - 1.0
    }
}

impl FromStr for Share {
    type Err = String;

    /// `10%` or `10`.
    fn from_str(text: &str) -> Result<Share, String> {
        match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
            Ok(percent) if (2.0..=100.0).contains(&percent) => Ok(Share(percent / 100.0)),
            _ => Err(format!("{text:?} is not a share between 2% and 100%")),
        }
    }
}

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

/// Shared by all that read and write for a load.
pub(super) struct Pace {
    rate: Option<Rate>,
    share: Share,
    state: Mutex<State>,
}

struct State {
    /// When the next event may be read, by the rate.
    next: Option<Instant>,
    /// When work may go on, by the share.
    rested: Option<Instant>,
    /// How long to rest for each second of work, by how the store and the live groups fare.
    strain: f64,
    /// The same by the share, while events arrive.
    least: f64,
    /// As it was last seen.
    lag: Option<i64>,
}

impl State {
    fn strain(&self) -> f64 {
        self.strain.max(self.least)
    }

    fn slower(&mut self) {
        self.strain = (self.strain() * 2.0).clamp(1.0, MOST_STRAIN);
    }

    fn faster(&mut self) {
        self.strain = if self.strain > 1.0 { self.strain / 2.0 } else { 0.0 };
    }
}

impl Pace {
    /// Events are taken to arrive until [`lags`](Pace::lags) says that none do.
    pub(super) fn new(rate: Option<Rate>, share: Share) -> Pace {
        let state = State { next: None, rested: None, strain: 0.0, least: share.strain(), lag: None };
        Pace { rate, share, state: Mutex::new(state) }
    }

    /// How long to rest after `events` were read, by work that took from `begun` until `now`.
    pub(super) fn rest_of_reading(&self, events: f64, begun: Instant, now: Instant) -> Duration {
        let rest = self.rest(begun, now);
        let Some(rate) = self.rate else { return rest };
        let mut state = self.state();
        let next = state.next.map_or(begun, |next| next.max(begun)) + rate.period().mul_f64(events);
        state.next = Some(next);
        rest.max(next.saturating_duration_since(now))
    }

    /// How long to rest after work that took from `begun` until `now`.
    pub(super) fn rest(&self, begun: Instant, now: Instant) -> Duration {
        let mut state = self.state();
        let strain = state.strain();
        if strain <= 0.0 {
            return Duration::ZERO;
        }
        // What others did meanwhile has its own rest.
        let from = state.rested.map_or(begun, |rested| rested.max(begun));
        let rested = from + (now - begun).mul_f64(1.0 + strain);
        state.rested = Some(rested);
        rested.saturating_duration_since(now).saturating_sub(CREDIT)
    }

    /// How much of the time is worked just now, as a share of 1: work is done in small pieces when that is not all of it.
    pub(super) fn share(&self) -> f64 {
        1.0 / (1.0 + self.state().strain())
    }

    /// The live groups are so many records behind, and `arrive` says whether events come for them.
    pub(super) fn lags(&self, lag: i64, arrive: bool) {
        let mut state = self.state();
        let before = state.lag.replace(lag);
        let grows = lag > SLACK && before.is_some_and(|before| lag > before);
        state.least = if arrive { self.share.strain() } else { 0.0 };
        if grows {
            state.slower();
        } else {
            state.faster();
        }
    }

    /// The store has refused work.
    pub(super) fn throttled(&self) {
        self.state().slower();
    }

    /// The lag as it was last seen.
    pub(super) fn lag(&self) -> i64 {
        self.state().lag.unwrap_or_default()
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

    fn pace(rate: Option<&str>, share: &str) -> Pace {
        Pace::new(rate.map(|rate| rate.parse().unwrap()), share.parse().unwrap())
    }

    #[test]
    fn all_readers_together_keep_to_the_rate() {
        let pace = pace(Some("1000/s"), "100%");
        let begun = Instant::now();
        let now = begun + Duration::from_millis(10);
        assert_eq!(pace.rest_of_reading(500.0, begun, now), Duration::from_millis(490));
        assert_eq!(
            pace.rest_of_reading(500.0, begun, now),
            Duration::from_millis(990),
            "the other one's come before"
        );
        assert_eq!(
            pace.rest_of_reading(100.0, begun + 9 * SECOND, begun + 10 * SECOND),
            Duration::ZERO,
            "no debts are saved up"
        );
    }

    #[test]
    fn all_together_work_for_their_share_of_the_time() {
        let pace = pace(None, "20%");
        let begun = Instant::now();
        let little = Duration::from_millis(400);
        assert_eq!(
            pace.rest(begun, begun + little),
            Duration::ZERO,
            "2 seconds, of which 0.4 have passed and 2 are credit"
        );
        assert_eq!(
            pace.rest(begun, begun + SECOND),
            4 * SECOND,
            "2 and 5 seconds, less 1 that has passed and 2 of credit"
        );
        assert_eq!(pace.rest(begun, begun + SECOND), 9 * SECOND, "and so on");
        let later = begun + 100 * SECOND;
        assert_eq!(pace.rest(later, later + SECOND), 2 * SECOND, "no debts are saved up");
    }

    #[test]
    fn work_takes_all_of_the_time_while_no_event_arrives() {
        let pace = pace(None, "20%");
        let share = |arrive| {
            pace.lags(100, arrive);
            pace.share()
        };
        assert_eq!(pace.share(), 0.2, "until it is known");
        assert_eq!(share(false), 1.0);
        assert_eq!(share(true), 0.2);
        assert_eq!(share(true), 0.2);
    }

    #[test]
    fn a_lag_that_grows_slows_down_until_it_shrinks() {
        let pace = pace(None, "100%");
        pace.lags(5000, true);
        assert_eq!(pace.share(), 1.0, "it may have been so for long");
        let strain = || 1.0 / pace.share() - 1.0;
        let after = |lag| {
            pace.lags(lag, true);
            strain()
        };
        assert_eq!(strain(), 0.0);
        assert_eq!([0, 900, 1500, 2000, 3000].map(after), [0.0, 0.0, 1.0, 2.0, 4.0]);
        assert_eq!([3000, 2500, 100].map(after), [2.0, 1.0, 0.0]);
        pace.throttled();
        assert_eq!(strain(), 1.0);
        (0..20).for_each(|_| pace.throttled());
        assert!((strain() - MOST_STRAIN).abs() < 1e-9);
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!("10%".parse::<Share>(), "10".parse::<Share>());
        assert_eq!("50%".parse(), Ok(Share(0.5)));
        for wrong in ["", "0%", "1%", "101%", "NaN", "0.1x"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
