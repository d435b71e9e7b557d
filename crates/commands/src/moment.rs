//! Time and randomness, taken from outside so that a test can give them.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::{Builder, Uuid};

/// When something happens, and what makes it unique.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Sixteen random bytes, never the same.
    pub random: [u8; 16],
}

/// Where moments come from; each call gives a new one.
pub type Moments = Arc<dyn Fn() -> Moment + Send + Sync>;

impl Moment {
    /// The clock and the randomness of this machine.
    #[must_use]
    pub fn real() -> Moment {
        Moment { now: Timestamp::now(), random: rand::random() }
    }

    /// A UUIDv7 of this moment.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let milliseconds = u64::try_from(self.now.as_millisecond()).unwrap_or(0);
        let [random @ .., _, _, _, _, _, _] = self.random;
        Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
    }
}
