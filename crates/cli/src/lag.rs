//! `aqueduct lag`: how far every consumer group of the fleet is behind.
//!
//! The groups are those that the model and the registries of views list, and what they have to read is asked of the brokers:
//! so a group is shown when no worker runs, and a partition that was never committed counts whole. A single look cannot
//! tell when a group last moved; `--watch` says what it has seen since it began.

mod line;

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::fleet::{Chosen, Fleet};
use line::{Line, table};

/// Groups that are asked at the same time: each takes connections of its own.
const AT_ONCE: usize = 8;
const REDRAW: Duration = Duration::from_secs(2);
/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// `aqueduct lag`
#[derive(clap::Args, Clone, Debug)]
pub struct Lag {
    #[command(flatten)]
    chosen: Chosen,
    /// Show every partition, not only those that lag
    #[arg(long)]
    partitions: bool,
    /// Ask again every 2 seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print one JSON object for each partition, a line each
    #[arg(long)]
    json: bool,
}

impl Lag {
    /// Prints the lag, once or until the process ends.
    pub async fn run(self) -> Result<()> {
        let fleet = self.chosen.load().await?;
        let mut seen = Seen::default();
        self.look(&fleet, &mut seen).await?;
        if !self.watch {
            return Ok(());
        }
        loop {
            tokio::time::sleep(REDRAW).await;
            // Who watches an incident wants to see its end.
            if let Err(error) = self.look(&fleet, &mut seen).await {
                eprintln!("aqueduct: {error:#}");
            }
        }
    }

    async fn look(&self, fleet: &Fleet, seen: &mut Seen) -> Result<()> {
        let mut lines = lines(fleet).await?;
        seen.note(&mut lines);
        self.print(&lines)
    }

    fn print(&self, lines: &[Line]) -> Result<()> {
        let mut out = std::io::stdout();
        let text = if self.json {
            let objects: Result<Vec<String>, _> = lines.iter().map(serde_json::to_string).collect();
            objects?.into_iter().map(|object| object + "\n").collect()
        } else {
            let clear = if self.watch && out.is_terminal() { CLEAR } else { "" };
            format!("{clear}{}", table(lines, self.partitions))
        };
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// A line for each partition of each group.
async fn lines(fleet: &Fleet) -> Result<Vec<Line>> {
    let groups = stream::iter(&fleet.groups).map(async |listed| {
        let group = fleet.in_kafka(listed);
        let (standings, members) = tokio::try_join!(group.standings(), group.members())
            .with_context(|| format!("group {}", listed.group.id))?;
        let now = Timestamp::now();
        let line = |standing| Line::new(&listed.group, standing, &members, now);
        anyhow::Ok(standings.into_iter().map(line).collect::<Vec<_>>())
    });
    let lines: Vec<Vec<Line>> = groups.buffered(AT_ONCE).try_collect().await?;
    Ok(lines.into_iter().flatten().collect())
}

/// The partitions of groups, as they were at the last look.
#[derive(Default)]
struct Seen(HashMap<(String, String, i32), Look>);

#[derive(Clone, Copy)]
struct Look {
    committed: Option<i64>,
    /// When that was seen to change.
    moved: Option<Timestamp>,
}

impl Seen {
    fn note(&mut self, lines: &mut [Line]) {
        for line in lines {
            let partition = (line.group.clone(), line.topic.clone(), line.partition);
            line.last_progress = match self.0.get(&partition) {
                Some(Look { committed, moved }) if *committed == line.committed => *moved,
                Some(_) => Some(Timestamp::now()),
                None => None,
            };
            self.0.insert(partition, Look { committed: line.committed, moved: line.last_progress });
        }
    }
}
