//! `aqueduct local status`: every server and process of a stack that is up, with what it does now.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::folder::Chosen;
use super::metrics::Sums;
use super::stack::Stack;

/// How long events are counted for the rate.
const SAMPLE: Duration = Duration::from_secs(1);
/// What a process of the fleet has done counts under one of these: a command-api has commands, a worker has events.
const DONE: [&str; 2] = ["aqueduct_commands_total", "aqueduct_events_total"];
const LAG: &str = "aqueduct_consumer_lag_records";

/// What `status` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    stack: Chosen,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One line of the status.
#[derive(Clone, Debug, Serialize)]
struct Line {
    name: String,
    /// Absent if it was given by the settings, or waits to be started again.
    pid: Option<u32>,
    address: String,
    /// Answers: a server's own question, a process's `/readyz`.
    ready: bool,
    /// Absent for servers.
    restarts: Option<u32>,
    /// Commands or events; absent for servers.
    events_per_second: Option<f64>,
    /// Records that are not committed; absent for whoever consumes nothing.
    lag: Option<f64>,
    /// Resident bytes of the process and those it started.
    memory: Option<u64>,
}

/// Prints the status.
pub async fn run(status: Status) -> Result<()> {
    let stack = status.stack.running()?;
    let lines = lines(&stack).await;
    let text = if status.json { serde_json::to_string_pretty(&lines)? + "\n" } else { table(&lines) };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

async fn lines(stack: &Stack) -> Vec<Line> {
    let servers = futures::future::join_all(stack.servers.iter().map(|running| async {
        let pid = running.process.as_ref().map(|process| process.pid);
        Line {
            name: running.endpoint.server.to_string(),
            pid,
            address: running.endpoint.address.clone(),
            ready: running.endpoint.server.answers(&running.endpoint.address).await,
            restarts: None,
            events_per_second: None,
            lag: None,
            memory: pid.and_then(memory),
        }
    }));
    let fleet = futures::future::join_all(stack.fleet.iter().map(|member| async {
        let (rate, lag) = measure(member.admin).await.unzip();
        Line {
            name: member.name.clone(),
            pid: member.pid,
            address: member.api.unwrap_or(member.admin).to_string(),
            ready: super::fleet::is_ready(member.admin).await.is_ok(),
            restarts: Some(member.restarts),
            events_per_second: rate,
            lag: lag.filter(|_| member.api.is_none()),
            memory: member.pid.and_then(memory),
        }
    }));
    let (servers, fleet) = tokio::join!(servers, fleet);
    servers.into_iter().chain(fleet).collect()
}

/// Events a second and lag; none if the process does not answer.
async fn measure(admin: SocketAddr) -> Option<(f64, f64)> {
    let done = |sums: &Sums| DONE.iter().map(|name| sums.get(name)).sum::<f64>();
    let (before, begun) = (Sums::read(admin).await.ok()?, Instant::now());
    sleep(SAMPLE).await;
    let after = Sums::read(admin).await.ok()?;
    // A process that was started again in between counts from 0.
    let rate = (done(&after) - done(&before)).max(0.0) / begun.elapsed().as_secs_f64();
    Some((rate, after.get(LAG)))
}

/// Resident bytes of a process and its children: Postgres is one of each connection.
fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| memory(child.parse().ok()?)).sum::<u64>();
    Some(kibibytes * 1024 + children)
}

fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<14} {:>8} {:<9} {:>8} {:>9} {:>9} {:>9}  {}\n",
        "NAME", "PID", "STATE", "RESTARTS", "EVENTS/S", "LAG", "MEMORY", "ADDRESS"
    );
    for line in lines {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        text += &format!(
            "{:<14} {:>8} {:<9} {:>8} {:>9} {:>9} {:>9}  {}\n",
            line.name,
            or_dash(line.pid.map(|pid| pid.to_string())),
            if line.ready { "ready" } else { "not ready" },
            or_dash(line.restarts.map(|restarts| restarts.to_string())),
            or_dash(line.events_per_second.map(|rate| format!("{rate:.0}"))),
            or_dash(line.lag.map(|lag| format!("{lag:.0}"))),
            or_dash(line.memory.map(|bytes| format!("{} MiB", bytes >> 20))),
            line.address,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_process_is_more_than_nothing() {
        assert!(memory(std::process::id()).unwrap() > 1 << 20);
        assert_eq!(memory(u32::MAX), None);
    }
}
