//! What the `aqueduct` command is made of; tests use its local servers.

mod confirm;
pub mod dead_letters;
pub mod drive;
pub mod fleet;
pub mod lag;
pub mod local;
pub mod model;
mod moment;
pub mod purge;
mod rate;
pub mod rebuild;
pub mod replay;
pub mod republish;
pub mod retire;
pub mod setup;
pub mod swap;
pub mod trace;
pub mod verify;
pub mod views;
