//! A stack for the parsers of others.
//!
//! The parsers of CEL and YAML and the compiler of JSON Schema recurse, over 20 KiB a level in a debug build, and
//! overflowing a stack ends the process: a bad model file must not. What they read is bounded, and on this stack the
//! worst of it takes less than half.

use std::thread;

/// Pages that are not touched cost nothing.
const SIZE: usize = 128 * 1024 * 1024;

/// Runs `read` on a thread with a large stack. The error says what happened to it instead.
pub(crate) fn on_large_stack<T: Send>(read: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let reader =
            thread::Builder::new().name("model".to_owned()).stack_size(SIZE).spawn_scoped(scope, read);
        let reader = reader.map_err(|error| format!("no thread to read it on: {error}"))?;
        reader.join().map_err(|_| "its parser failed".to_owned())
    })
}
