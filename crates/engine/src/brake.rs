//! The brake: a fault of the system must not drain a topic into the dead letters.
//!
//! One bad record is set aside and nobody waits for it. When record after record fails, the fault is not theirs: a
//! mapping was changed, a column is missing, a release is broken. Then the partition stops, loudly, until what fails is
//! applied again.

use std::collections::VecDeque;

/// How many dead letters are too many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many in a row are set aside, not one more.
    pub(crate) in_a_row: u32,
    /// Of the last `window` records, this share at most.
    pub(crate) share: f64,
    pub(crate) window: u32,
}

/// What became of the last records of one partition, in about the order of their offsets.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    settled: u64,
    in_a_row: u32,
    /// When, in records settled, there was a dead letter.
    dead: VecDeque<u64>,
}

impl Brake {
    /// Records that the sink took.
    pub(crate) fn good(&mut self, records: u64) {
        if records > 0 {
            self.settled += records;
            self.in_a_row = 0;
        }
    }

    /// A record was set aside.
    pub(crate) fn dead(&mut self) {
        self.settled += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.dead.push_back(self.settled);
    }

    /// Whether one more may be set aside.
    pub(crate) fn allows(&mut self, limits: Limits) -> bool {
        let window = u64::from(limits.window);
        // The one that is asked about is within the window too.
        while self.dead.front().is_some_and(|at| at + window <= self.settled + 1) {
            self.dead.pop_front();
        }
        // Exact: both are far below 2^53.
        let within_share = (self.dead.len() + 1) as f64 <= limits.share * window as f64;
        self.in_a_row < limits.in_a_row && (self.settled < window || within_share)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_naive_model(
            fails in prop::collection::vec(prop::bool::weighted(0.6), 0..200),
            in_a_row in 1..8_u32, share in 0.0..1.0, window in 1..20_u32,
        ) {
            let limits = Limits { in_a_row, share, window };
            let mut brake = Brake::default();
            let mut history: Vec<bool> = Vec::new();
            for fails in fails {
                if !fails {
                    brake.good(1);
                    history.push(false);
                    continue;
                }
                let row = history.iter().rev().take_while(|dead| **dead).count();
                let recent = history.iter().rev().take(window as usize - 1).filter(|dead| **dead).count() + 1;
                let full = history.len() >= window as usize;
                let allowed =
                    row < in_a_row as usize && (!full || recent as f64 <= share * f64::from(window));
                prop_assert_eq!(brake.allows(limits), allowed);
                if allowed {
                    brake.dead();
                    history.push(true);
                }
            }
        }
    }
}
