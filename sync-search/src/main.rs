//! Wiring only: settings, connections, and the parts of the library put together.

use std::process::ExitCode;

fn main() -> ExitCode {
    aqueduct_service::main("sync-search", aqueduct_sync_search::wire)
}
