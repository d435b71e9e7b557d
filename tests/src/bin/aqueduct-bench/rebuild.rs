//! `aqueduct rebuild` itself, until it says that the load has ended: what comes then is waiting for workers, and comparing.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use aqueduct_cli::swap::Store;
use aqueduct_tests::binaries;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::measured::{Measured, Usage};
use crate::topic::Load;

/// Loads a new generation from the topic; from the start of the process. There are no fewer items than those of `load`.
pub(crate) async fn load(store: Store, settings: &Path, load: &Load) -> Result<Measured> {
    let begun = Instant::now();
    let mut child = Command::new(binaries().await?.join("aqueduct"))
        .args(["rebuild", "orders", "--from", "topics", "--swap", "manual", "--in", store.name(), "--config"])
        .arg(settings)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let pid = child.id().context("it ended")?.to_string();
    let mut lines = BufReader::new(child.stderr.take().context("no output")?).lines();
    let mut said = String::new();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, counts)) = line.split_once(": loaded: ") {
            let (seconds, Usage { cpu_seconds, peak_rss_mib }) =
                (begun.elapsed().as_secs_f64(), Usage::of(&pid)?);
            child.kill().await?;
            let written =
                counts.strip_suffix(" items, 0 deleted ones, 0 set aside").and_then(|it| it.parse().ok());
            return match written {
                Some(written) if written >= load.items => {
                    Ok(Measured { events: load.events(), written, seconds, cpu_seconds, peak_rss_mib })
                }
                _ => bail!("of {} items it loaded {counts}", load.items),
            };
        }
        said = line;
    }
    bail!("the rebuild ended before it was loaded: {said}")
}
