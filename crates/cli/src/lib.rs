//! What the `aqueduct` command is made of; tests use its local servers.

pub mod local;
