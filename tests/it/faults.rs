//! What must hold when processes die, freeze and move, when connections break, and when servers refuse.
//!
//! Each test drives commands through the API of a fleet of real processes while the fault happens. Afterwards every store must
//! hold what the API answered, `aqueduct verify` must agree, and all the while no committed offset may be ahead of its effects.

mod crash_points;
mod kills;
mod members;
mod network;
mod outages;
mod refusals;
