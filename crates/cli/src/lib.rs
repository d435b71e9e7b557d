//! What the `aqueduct` command is made of; tests use its local servers.

pub mod drive;
pub mod local;
pub mod model;
pub mod setup;
pub mod verify;
