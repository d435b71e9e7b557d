//! How long to wait after failures.

use std::time::Duration;

/// Exponential backoff with full jitter: many clients of a store that comes back do not return all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row, from 1. `random` is between 0 and 1.
    pub(crate) fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.min.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_below_the_limit(
            min in 1..10_000_u64, max in 1..1_000_000_u64, failures: u32, random in 0.0..=1.0,
        ) {
            let backoff = Backoff { min: Duration::from_millis(min), max: Duration::from_millis(max) };
            prop_assert!(backoff.delay(failures, random) <= backoff.max);
            prop_assert!(backoff.delay(failures, 1.0) <= backoff.delay(failures.saturating_add(1), 1.0));
        }
    }

    #[test]
    fn the_longest_wait_doubles_from_the_first() {
        let backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(1) };
        let longest: Vec<u128> = (1..=6).map(|failures| backoff.delay(failures, 1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(3, 0.0), Duration::ZERO);
    }
}
