//! Places where tests kill a process: `FAILPOINTS=before-flush=20*off->return` does so at the twenty-first flush. It happens as
//! often as there are files in the folder `FAILPOINT_KILLS`, each of which stands for one kill, over all lives of the process.

use std::path::PathBuf;

use rustix::process::{Signal, getpid, kill_process};

fn kills() -> Vec<PathBuf> {
    let folder = std::env::var_os("FAILPOINT_KILLS").unwrap_or_default();
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.path()).collect()
}

/// Whether there are kills left.
pub(crate) fn armed() -> bool {
    !kills().is_empty()
}

/// Ends this process as `kill -9` does, with nothing left to run.
pub(crate) fn kill<T>() -> T {
    // Where the file stays, there is one kill more.
    let _ = kills().first().map(std::fs::remove_file);
    // It cannot fail: the process is ours. Should it all the same, an abort is as sudden.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
