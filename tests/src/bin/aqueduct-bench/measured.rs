//! The measured processes: this program again, in a role, or a worker of the fleet. The kernel says what one used, so servers
//! and the loading of topics do not count.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aqueduct_cli::local::ports;
use aqueduct_service::Settings;
use aqueduct_tests::{Program, binaries};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::topic::Load;
use crate::{bare, ours, reads};

/// What this program does as a measured process.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    /// Reads and parses, on one thread.
    BareParse,
    /// Writes rows without an engine.
    BareRows,
    /// Writes documents without an engine.
    BareDocuments,
    /// Puts items without an engine.
    BarePuts,
    /// Copies the last version of every item.
    BareCopy,
    /// Posts the last version of every item.
    BareBulk,
    /// Reads all rows and all events.
    BareTables,
    /// Reads items.
    BareItems,
    /// Reads pages of rows.
    BarePages,
    /// Searches.
    BareSearches,
    /// The engine with a sink that parses.
    Engine,
    /// The engine with a sink that waits; begins at a line on its standard input.
    Waiting,
    /// Compares all rows with all events.
    Verify,
    /// Asks command-api for items.
    Items,
    /// Asks command-api for pages of rows.
    Pages,
    /// Asks command-api for searches.
    Searches,
}

/// What a measured process is given.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Site {
    /// The settings file of the fleet.
    pub(crate) settings: PathBuf,
    /// The consumer group, where there is one.
    pub(crate) group: String,
    pub(crate) load: Load,
    /// Processes that share the topic.
    pub(crate) members: u64,
    /// The URL of command-api, where it runs.
    pub(crate) api: Option<String>,
}

impl Site {
    pub(crate) fn settings(&self) -> Result<Settings> {
        Ok(Settings::load(Some(&self.settings))?)
    }
}

/// What a process needed for its events.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) events: u64,
    /// Of those, what reached the store: the rest was superseded in its batch.
    pub(crate) written: u64,
    /// From the first record to the last.
    pub(crate) seconds: f64,
    /// Of the whole process.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

impl Measured {
    /// What this process has needed for all events.
    pub(crate) fn of_this_process(site: &Site, took: Duration) -> Result<Measured> {
        let Usage { cpu_seconds, peak_rss_mib } = Usage::of("self")?;
        let events = site.load.events();
        Ok(Measured { events, written: events, seconds: took.as_secs_f64(), cpu_seconds, peak_rss_mib })
    }

    pub(crate) fn per_second(&self) -> f64 {
        // Exact up to 2^53 events.
        self.events as f64 / self.seconds
    }
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

impl Usage {
    /// Asks the kernel about a process: a number, or `self`.
    pub(crate) fn of(pid: &str) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold anything but a closing bracket: state is the first field, utime and stime the 12th and
        // 13th, in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(Usage { cpu_seconds: ticks.sum::<Result<f64, _>>()? / 100.0, peak_rss_mib: kib / 1024.0 })
    }
}

/// A measured process that runs this program in a role.
pub(crate) struct Process {
    _child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(role: Role, site: &Site) -> Result<Process> {
        let role = role.to_possible_value().context("a role without a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["measured", role.get_name(), &serde_json::to_string(site)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) =
            (child.stdin.take().context("no input")?, child.stdout.take().context("no output")?);
        Ok(Process { _child: child, input, lines: BufReader::new(output).lines() })
    }

    /// Waits for the next line that it prints.
    pub(crate) async fn line(&mut self) -> Result<String> {
        self.lines.next_line().await?.context("a measured process ended early")
    }

    /// Lets it begin.
    pub(crate) async fn go(&mut self) -> Result<()> {
        Ok(self.input.write_all(b"go\n").await?)
    }
}

/// Runs this program in a role.
pub(crate) async fn role(role: Role, site: &Site) -> Result<Measured> {
    Ok(serde_json::from_str(&Process::start(role, site)?.line().await?)?)
}

/// Is the measured process.
pub(crate) async fn run(role: Role, site: &Site) -> Result<Measured> {
    match role {
        Role::BareParse => bare::parse(site),
        Role::BareRows => bare::rows(site).await,
        Role::BareDocuments => bare::documents(site).await,
        Role::BarePuts => bare::puts(site).await,
        Role::BareCopy => bare::loads::rows(site).await,
        Role::BareBulk => bare::loads::documents(site).await,
        Role::BareTables => bare::tables::all(site).await,
        Role::BareItems => bare::tables::items(site).await,
        Role::BarePages => bare::tables::pages(site).await,
        Role::BareSearches => bare::tables::searches(site).await,
        Role::Engine => ours::parse(site).await,
        Role::Waiting => ours::wait(site).await,
        Role::Verify => ours::verify(site).await,
        Role::Items => reads::items(site).await,
        Role::Pages => reads::pages(site).await,
        Role::Searches => reads::searches(site).await,
    }
}

/// How often a worker is asked how far it is. What it does until the first answer that shows a record counts as time.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// Starts a worker of the fleet on a topic that is full and lets it work until it has settled every event.
pub(crate) async fn worker(program: Program, settings: &Path, events: u64) -> Result<Measured> {
    let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let mut child = Command::new(binaries().await?.join(format!("aqueduct-{}", program.name())))
        .env("AQUEDUCT_CONFIG", settings)
        .env("AQUEDUCT__ADMIN__LISTEN", admin.to_string())
        .env("AQUEDUCT__LOG__LEVEL", "error")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("it ended")?;
    let mut begun = Instant::now();
    // Made once: a new one costs as much as hundreds of events.
    let client = reqwest::Client::new();
    loop {
        let asked = Instant::now();
        let settled = Settled::ask(&client, admin).await.unwrap_or_default();
        if settled.consumed == 0 {
            begun = asked;
        }
        ensure!(settled.failed == 0, "{} events were set aside", settled.failed);
        ensure!(child.try_wait()?.is_none(), "{} ended", program.name());
        if settled.applied + settled.stale >= events {
            let (usage, took) = (Usage::of(&pid.to_string())?, begun.elapsed());
            kill_process(Pid::from_raw(pid.cast_signed()).context("a process id")?, Signal::TERM)?;
            child.wait().await?;
            return Ok(Measured {
                events,
                written: settled.applied,
                seconds: took.as_secs_f64(),
                cpu_seconds: usage.cpu_seconds,
                peak_rss_mib: usage.peak_rss_mib,
            });
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// What became of the events of a worker so far.
#[derive(Debug, Default)]
struct Settled {
    consumed: u64,
    applied: u64,
    stale: u64,
    failed: u64,
}

impl Settled {
    async fn ask(client: &reqwest::Client, admin: SocketAddr) -> Result<Settled> {
        let text = client.get(format!("http://{admin}/metrics")).send().await?.text().await?;
        let mut settled = Settled::default();
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let outcome = series.split("outcome=\"").nth(1).and_then(|rest| rest.split('"').next());
            let count = match (series.split('{').next(), outcome) {
                (Some("aqueduct_consumed_total"), _) => &mut settled.consumed,
                (Some("aqueduct_events_total"), Some("applied")) => &mut settled.applied,
                (Some("aqueduct_events_total"), Some("stale")) => &mut settled.stale,
                (Some("aqueduct_events_total"), Some(_)) => &mut settled.failed,
                _ => continue,
            };
            *count += value.parse::<u64>()?;
        }
        Ok(settled)
    }
}
