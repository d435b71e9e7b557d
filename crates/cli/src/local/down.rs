//! `aqueduct local down`: asks the supervisor of a stack to stop, and waits until it has.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::folder::{self, Chosen};

/// The fleet drains, then the servers end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops the stack. One that is not up is an error.
pub async fn run(stack: Chosen) -> Result<()> {
    let running = stack.running()?;
    let supervisor =
        i32::try_from(running.pid).ok().and_then(Pid::from_raw).context("stack.json names no process")?;
    kill_process(supervisor, Signal::TERM).context("cannot signal the supervisor")?;
    let deadline = Instant::now() + PATIENCE;
    while folder::is_up(&stack.dir)? {
        if Instant::now() >= deadline {
            bail!("process {} still runs after {PATIENCE:?}", running.pid);
        }
        sleep(Duration::from_millis(100)).await;
    }
    eprintln!("stopped");
    Ok(())
}
