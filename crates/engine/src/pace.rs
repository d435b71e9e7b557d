//! How much a sink gets at a time: cut when it wants less, raised step by step while it keeps up.
//!
//! Slow increase, multiplicative decrease, as TCP does it: of many workers at one store each ends up with its share.

/// How many batches at a time, and how large.
#[derive(Debug)]
pub(crate) struct Pace {
    lanes: Bound,
    records: Bound,
}

#[derive(Debug)]
struct Bound {
    now: f64,
    max: f64,
}

impl Bound {
    fn new(max: usize) -> Bound {
        // Exact: far below 2^53.
        let max = max.max(1) as f64;
        Bound { now: max, max }
    }

    fn halve(&mut self) {
        self.now = (self.now / 2.0).max(1.0);
    }

    fn raise(&mut self, by: f64) {
        self.now = (self.now + by).min(self.max);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a usize")]
    fn get(&self) -> usize {
        self.now as usize
    }
}

impl Pace {
    /// Begins at full speed.
    pub(crate) fn new(lanes: usize, records: usize) -> Pace {
        Pace { lanes: Bound::new(lanes), records: Bound::new(records) }
    }

    /// A batch came to its end; `slowed` says that the store wanted less meanwhile.
    pub(crate) fn batch_ended(&mut self, slowed: bool) {
        if slowed {
            self.lanes.halve();
            self.records.halve();
        } else {
            // One lane more in as many batches as there are lanes. Records rise with their number, so that a store that takes
            // five at a time is not asked to take fifty; from one to five thousand it is some hundred and fifty batches.
            self.lanes.raise(1.0 / self.lanes.now);
            self.records.raise(1.0 + self.records.now / 16.0);
        }
    }

    /// Batches in flight at most.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.get()
    }

    /// Records of a batch at most.
    pub(crate) fn records(&self) -> usize {
        self.records.get()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_stops_and_never_exceeds_the_settings(
            lanes in 0..50_usize, records in 0..10_000_usize, slowed in prop::collection::vec(any::<bool>(), 0..300),
        ) {
            let mut pace = Pace::new(lanes, records);
            for slowed in slowed {
                pace.batch_ended(slowed);
                prop_assert!((1..=lanes.max(1)).contains(&pace.lanes()));
                prop_assert!((1..=records.max(1)).contains(&pace.records()));
            }
        }
    }

    #[test]
    fn what_a_store_took_is_remembered_and_more_is_tried_slowly() {
        let mut pace = Pace::new(4, 1000);
        pace.batch_ended(true);
        pace.batch_ended(true);
        assert_eq!((pace.lanes(), pace.records()), (1, 250));
        pace.batch_ended(false);
        assert_eq!((pace.lanes(), pace.records()), (2, 266));
        (0..150).for_each(|_| pace.batch_ended(false));
        assert_eq!((pace.lanes(), pace.records()), (4, 1000));
    }
}
