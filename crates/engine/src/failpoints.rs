//! Places where tests kill a process: `FAILPOINTS=before-flush=20*off->return` does so at the twenty-first flush.

use rustix::process::{Signal, getpid, kill_process};

/// Ends this process as `kill -9` does, with nothing left to run.
pub(crate) fn kill<T>() -> T {
    // It cannot fail: the process is ours. Should it all the same, an abort is as sudden.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
