//! Wiring only: settings, connections, and the parts of the library put together.

fn main() {}
