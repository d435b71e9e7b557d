//! `aqueduct local logs`: prints the log files of a stack, and follows them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

use super::folder::Chosen;
use super::servers::LOGS;

/// What `logs` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Logs {
    #[command(flatten)]
    stack: Chosen,
    /// The processes [default: all]
    names: Vec<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
}

/// Prints them.
pub async fn run(logs: Logs) -> Result<()> {
    let folder = logs.stack.dir.join(LOGS);
    let mut files = files(&folder, &logs.names)?;
    // With one file its lines are as they are; of several, each line says whose it is.
    let several = files.len() > 1;
    loop {
        let mut out = std::io::stdout().lock();
        let mut quiet = true;
        for (name, file) in &mut files {
            let mut line = Vec::new();
            while file.read_until(b'\n', &mut line)? > 0 {
                if several {
                    write!(out, "{name:<14} ")?;
                }
                out.write_all(&line)?;
                line.clear();
                quiet = false;
            }
        }
        out.flush()?;
        drop(out);
        if !logs.follow {
            return Ok(());
        }
        if quiet {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

fn files(folder: &Path, names: &[String]) -> Result<Vec<(String, BufReader<File>)>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no stack was here: no {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    found.sort();
    let mut files = Vec::new();
    for path in found {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name) {
            files.push((name, BufReader::new(File::open(path)?)));
        }
    }
    if let Some(missing) = names.iter().find(|name| !files.iter().any(|(found, _)| found == *name)) {
        bail!("no process {missing} in {}", folder.display());
    }
    Ok(files)
}
