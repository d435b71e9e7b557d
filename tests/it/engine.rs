//! The consumer engine on the real broker, with sinks that misbehave at will.

mod brake;
mod dead_letters;
mod groups;
mod outages;
mod positions;
mod redrive;
pub(crate) mod stage;
