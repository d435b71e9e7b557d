//! What the fleet costs, each as a ratio to a bound that is measured in the same run: machines are noisy, ratios less.
//!
//! A bench starts servers of its own, loads a topic, and lets the bound and ours read it one after the other, each in a process of its
//! own whose time, CPU and peak of memory are measured ([`measured`]). The bounds ([`bare`]) are loops written by hand for the
//! one purpose; ours are the processes and commands as they are shipped, or what is in them ([`ours`]).
//! With `--json` a bench prints one object a line: `{bench, value, unit, bound, ratio, cpu_seconds, peak_rss_mib}`.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod bare;
mod freshness;
mod measured;
mod ours;
mod reads;
mod rebuild;
mod stored;
mod topic;

use std::path::PathBuf;

use anyhow::Result;
use aqueduct_cli::swap::Store;
use aqueduct_contract::{EVENT_PARTITIONS, Names};
use aqueduct_tests::{Fleet, Private, Program, Server, Servers, SetUp};
use clap::{Args, Parser, Subcommand};
use futures::future::try_join_all;
use serde::Serialize;

use crate::measured::{Measured, Process, Role, Site};
use crate::topic::Load;

/// Measures the fleet against what its libraries can do at best
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    #[command(flatten)]
    Bench(Bench),
    /// Be a process that is measured
    #[command(hide = true)]
    Measured { role: Role, site: String },
}

/// The benches.
#[derive(Subcommand)]
enum Bench {
    /// The engine with a sink that parses every event, against a bare consumer that parses on one thread
    Engine(Options),
    /// Three versions of 200,000 items into Postgres, against a loop that reads, parses and writes batches
    SyncRds(Options),
    /// Three versions of 100,000 items into OpenSearch, against a loop that reads, builds and posts bulk requests
    SyncSearch(Options),
    /// Three versions of 20,000 items into DynamoDB, against a loop that reads, parses and puts as many at a time
    Projector(Options),
    /// From the answer to a write until its row and its document are seen, at 100 commands a second
    Freshness(Options),
    /// Two and four workers against one, with a sink that takes 5 ms for 50 records
    Scale(Options),
    /// Five versions of 400,000 items from their topic into a new table, against a loop that reads, parses and copies
    RebuildRds(Options),
    /// Five versions of 400,000 items from their topic into a new index, against a loop that reads, parses and posts
    RebuildSearch(Options),
    /// `freshness` while both are rebuilt from as many events, against without
    RebuildFreshness(Options),
    /// 400,000 equal rows in Postgres compared with the event store, against reading all of both
    Verify(Options),
    /// An item, a page of a view and a page of a search over HTTP, against the bare queries
    Reads(Options),
}

#[derive(Args)]
struct Options {
    /// Measure so many times
    #[arg(long, default_value_t = 1)]
    runs: u32,
    /// How much of it, in percent
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    percent: u64,
    /// One line of JSON for each figure, and nothing else
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Measured { role, site } => {
            let measured = measured::run(role, &serde_json::from_str(&site)?).await?;
            print(&serde_json::to_string(&measured)?);
        }
        What::Bench(bench) => {
            // Setting a fleet up asks all four.
            let servers = Private::start(&Server::ALL).await?;
            for _ in 0..bench.options().runs {
                for line in bench.run(&servers.servers).await? {
                    print(&if bench.options().json {
                        serde_json::to_string(&line)?
                    } else {
                        line.to_string()
                    });
                }
            }
        }
    }
    Ok(())
}

impl Bench {
    fn options(&self) -> &Options {
        match self {
            Bench::Engine(options)
            | Bench::SyncRds(options)
            | Bench::SyncSearch(options)
            | Bench::Projector(options)
            | Bench::Freshness(options)
            | Bench::Scale(options)
            | Bench::RebuildRds(options)
            | Bench::RebuildSearch(options)
            | Bench::RebuildFreshness(options)
            | Bench::Verify(options)
            | Bench::Reads(options) => options,
        }
    }

    async fn run(&self, servers: &Servers) -> Result<Vec<Line>> {
        let rig = async |items, passes| Rig::on(servers, self.load(items, passes)).await;
        match self {
            Bench::Engine(_) => {
                rig(200_000, 10).await?.compare("engine", Role::BareParse, Role::Engine).await
            }
            Bench::SyncRds(_) => {
                rig(200_000, 3).await?.compare_worker(Program::SyncRds, Role::BareRows).await
            }
            Bench::SyncSearch(_) => {
                rig(100_000, 3).await?.compare_worker(Program::SyncSearch, Role::BareDocuments).await
            }
            Bench::Projector(_) => {
                rig(20_000, 3).await?.compare_worker(Program::Projector, Role::BarePuts).await
            }
            Bench::Freshness(options) => freshness::run(servers, 3000 * options.percent / 100).await,
            Bench::Scale(_) => {
                let load = Load { type_name: "WIDE".into(), partitions: 24, ..self.load(24_000, 20) };
                Rig::on(servers, load).await?.scale().await
            }
            Bench::RebuildRds(_) => {
                rig(400_000, 5).await?.compare_rebuild(Store::Postgres, Role::BareCopy).await
            }
            Bench::RebuildSearch(_) => {
                rig(400_000, 5).await?.compare_rebuild(Store::OpenSearch, Role::BareBulk).await
            }
            Bench::RebuildFreshness(options) => {
                freshness::under_rebuild(servers, self.load(100_000, 5), 3000 * options.percent / 100).await
            }
            Bench::Verify(_) => rig(400_000, 1).await?.verify().await,
            Bench::Reads(_) => reads::run(servers, self.load(20_000, 1)).await,
        }
    }

    /// `passes` versions of each item.
    fn load(&self, items: u64, passes: u64) -> Load {
        // A multiple of the partitions of all benches.
        let items = (items * self.options().percent / 100).next_multiple_of(24);
        Load { type_name: "ORDER".into(), partitions: EVENT_PARTITIONS, items, passes }
    }
}

/// The folder of the model that benches have.
fn model() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/aqueduct-bench/model").into()
}

/// Prints a line at once, to whoever reads it as a pipe too.
fn print(line: &str) {
    println!("{line}");
}

/// What is set up for a fleet, with a topic that is full.
struct Rig {
    fleet: SetUp,
    site: Site,
}

impl Rig {
    async fn on(servers: &Servers, load: Load) -> Result<Rig> {
        Rig::fill(Fleet::on(servers).await.model(model()).set_up().await?, load).await
    }

    async fn fill(fleet: SetUp, load: Load) -> Result<Rig> {
        let settings = &fleet.settings;
        load.write(&settings.kafka, &Names::new(&settings.prefix)).await?;
        let (settings, group) = (fleet.settings_file.clone(), "bench".into());
        Ok(Rig { fleet, site: Site { settings, group, load, members: 1, api: None } })
    }

    /// The bound, and ours by `ours`.
    async fn compare(&self, bench: &str, bound: Role, ours: Role) -> Result<Vec<Line>> {
        let bound = self.bound(bound).await?;
        let ours = measured::role(ours, &self.site).await?;
        Ok(vec![Line::compare(bench, &ours, &bound)])
    }

    async fn compare_worker(&self, ours: Program, bound: Role) -> Result<Vec<Line>> {
        let bound = self.bound(bound).await?;
        // Another group reads first, for nothing: what a broker does for groups is compiled then, too.
        measured::role(Role::Engine, &self.site).await?;
        let measured = measured::worker(ours, &self.site.settings, self.site.load.events()).await?;
        Ok(vec![Line::compare(ours.name(), &measured, &bound)])
    }

    async fn compare_rebuild(&self, store: Store, bound: Role) -> Result<Vec<Line>> {
        let bound = self.bound(bound).await?;
        let measured = rebuild::load(store, &self.site.settings, &self.site.load).await?;
        Ok(vec![Line::compare(&format!("rebuild of {}", store.name()), &measured, &bound)])
    }

    /// After sync-rds has written what is compared.
    async fn verify(&self) -> Result<Vec<Line>> {
        let site = &self.site;
        tokio::try_join!(
            stored::fill(site),
            measured::worker(Program::SyncRds, &site.settings, site.load.events())
        )?;
        let lines = self.compare("verify", Role::BareTables, Role::Verify).await?;
        Ok(lines.into_iter().map(|line| Line { unit: "items/s", ..line }).collect())
    }

    /// Twice, and the first for nothing: it compiles the servers' code and brings the topic into memory.
    async fn bound(&self, role: Role) -> Result<Measured> {
        measured::role(role, &self.site).await?;
        measured::role(role, &self.site).await
    }

    /// One, two and four members of a group.
    async fn scale(&self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let mut one: Option<Measured> = None;
        for members in [1, 2, 4] {
            let site = Site { group: format!("scale{members}"), members, ..self.site.clone() };
            let mut processes: Vec<Process> =
                (0..members).map(|_| Process::start(Role::Waiting, &site)).collect::<Result<_>>()?;
            // All have their share of the partitions.
            try_join_all(processes.iter_mut().map(Process::line)).await?;
            try_join_all(processes.iter_mut().map(Process::go)).await?;
            let measured = try_join_all(processes.iter_mut().map(Process::line)).await?;
            let measured: Vec<Measured> =
                measured.iter().map(|line| Ok(serde_json::from_str(line)?)).collect::<Result<_>>()?;
            let all = Measured {
                events: measured.iter().map(|one| one.events).sum(),
                written: measured.iter().map(|one| one.written).sum(),
                seconds: measured.iter().map(|one| one.seconds).fold(0.0, f64::max),
                cpu_seconds: measured.iter().map(|one| one.cpu_seconds).sum(),
                peak_rss_mib: measured.iter().map(|one| one.peak_rss_mib).fold(0.0, f64::max),
            };
            let bound = one.get_or_insert_with(|| all.clone());
            lines.push(Line::scaled(members, &all, bound));
        }
        Ok(lines)
    }
}

/// One figure.
#[derive(Clone, Default, Serialize)]
struct Line {
    bench: String,
    value: f64,
    unit: &'static str,
    bound: Option<f64>,
    ratio: Option<f64>,
    cpu_seconds: Option<f64>,
    peak_rss_mib: Option<f64>,
    /// For a million events.
    cpu_seconds_per_million: Option<f64>,
    /// Of the events, what reached the store.
    written: Option<u64>,
}

impl Line {
    fn of_value(bench: String, value: f64, unit: &'static str) -> Line {
        Line { bench, value: rounded(value), unit, ..Line::default() }
    }

    fn compare(bench: &str, ours: &Measured, bound: &Measured) -> Line {
        Line {
            bound: Some(rounded(bound.per_second())),
            ratio: Some(rounded(ours.per_second() / bound.per_second())),
            cpu_seconds: Some(rounded(ours.cpu_seconds)),
            peak_rss_mib: Some(rounded(ours.peak_rss_mib)),
            cpu_seconds_per_million: Some(rounded(ours.cpu_seconds / ours.events as f64 * 1e6)),
            written: Some(ours.written),
            ..Line::of_value(bench.to_owned(), ours.per_second(), "events/s")
        }
    }

    /// The bound of several is so many times one.
    fn scaled(members: u64, all: &Measured, one: &Measured) -> Line {
        let bound = one.per_second() * members as f64;
        Line {
            bound: Some(rounded(bound)),
            ratio: Some(rounded(all.per_second() / bound)),
            ..Line::compare(&format!("scale, {members} workers"), all, one)
        }
    }
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:24} {:>10.0} {}", self.bench, self.value, self.unit)?;
        if let (Some(bound), Some(ratio)) = (self.bound, self.ratio) {
            write!(f, "  bound {bound:>8.0}  ratio {ratio:5.3}")?;
        }
        if let (Some(cpu), Some(memory)) = (self.cpu_seconds_per_million, self.peak_rss_mib) {
            write!(f, "  {cpu:6.2} CPU-seconds a million  {memory:6.1} MiB at most")?;
        }
        if let Some(written) = self.written {
            write!(f, "  {written} written")?;
        }
        Ok(())
    }
}
