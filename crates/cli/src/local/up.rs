//! `aqueduct local up`: starts everything, watches it, and stops it on Ctrl-C or when something of it cannot go on.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::host::Host;
use super::servers::{Server, Servers};
use super::stack::{self, RunningProcess, RunningServer, Stack};

/// What `up` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Up {
    /// Folder of the stack: data, log files, stack.json
    #[arg(long, value_name = "DIR", default_value = ".aqueduct/local")]
    dir: PathBuf,
    /// Keep the data for the next start; without it each start is clean
    #[arg(long)]
    keep: bool,
    /// Start the servers alone, to run the fleet or its tests against them
    #[arg(long)]
    servers_only: bool,
    #[command(flatten)]
    host: Host,
}

/// Runs the stack until it is told to stop.
pub async fn run(up: Up) -> Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let dir = std::path::absolute(&up.dir)?;
    if !up.keep && dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    let begun = Instant::now();
    let servers = tokio::select! {
        servers = Servers::start(&up.host, &dir, &Server::ALL, up.keep) => servers?,
        _ = interrupted.recv() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    };
    let file = dir.join(stack::FILE);
    describe(&servers).write(&file)?;
    eprintln!("servers are ready after {:.1} s: {}", begun.elapsed().as_secs_f64(), file.display());
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    servers.stop().await;
    std::fs::remove_file(&file)?;
    Ok(())
}

fn describe(servers: &Servers) -> Stack {
    let running = servers.endpoints().into_iter().map(|endpoint| {
        let process = servers.process(endpoint.server);
        let process = process.map(|process| RunningProcess { pid: process.pid(), log: process.log.clone() });
        RunningServer { endpoint, process }
    });
    Stack { pid: std::process::id(), servers: running.collect() }
}
