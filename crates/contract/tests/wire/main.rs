//! The wire format: what one process writes, every other reads, now and after any later change.
#![expect(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod arbitrary;
mod fixtures;
mod hostile;
mod round_trips;
