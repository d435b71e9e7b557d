//! The `aqueduct` command.

fn main() {}
