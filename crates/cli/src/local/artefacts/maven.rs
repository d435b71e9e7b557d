//! Fetches the jars with Maven, which keeps its own cache and knows the user's mirrors and proxies.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;

use super::lock::Lock;
use super::{DYNAMODB, KAFKA, Module, NETTY4, OPENSEARCH, POSTGRES};

const PARENT_POM: &str = include_str!("../../../../../deploy/local/pom.xml");
/// Networks fail; what was fetched before a failure stays in Maven's cache.
const ATTEMPTS: u32 = 4;

/// Where a module's files are in the folder that [`fetch`] returns.
pub(super) fn jars(fetched: &Path, module: Module) -> PathBuf {
    fetched.join(module.path).join("target/jars")
}

/// A folder beside the cached ones with the modules' files, checked.
pub(super) fn fetch(modules: &[Module], lock: &Lock, cache: &Path) -> Result<tempfile::TempDir> {
    let names = modules.iter().map(|module| module.path).collect::<Vec<_>>().join(", ");
    let progress = ProgressBar::new_spinner().with_prefix(names.clone());
    eprintln!("fetching {names} with Maven");
    let mut own_repository = false;
    let mut attempt = 1;
    loop {
        let staging = super::staging(cache)?;
        let fetched = run(modules, staging.path(), own_repository, &progress).and_then(|()| {
            // A wrong file in Maven's cache would come out of it again: the next attempt uses an empty one.
            own_repository = true;
            modules.iter().try_for_each(|&module| lock.check(module, &jars(staging.path(), module)))
        });
        match fetched {
            Ok(()) => {
                progress.finish_and_clear();
                return Ok(staging);
            }
            Err(error) if attempt == ATTEMPTS || error.is::<std::io::Error>() => return Err(error),
            Err(error) => eprintln!("fetching {names} failed ({attempt} of {ATTEMPTS} attempts): {error:#}"),
        }
        attempt += 1;
    }
}

fn run(modules: &[Module], project: &Path, own_repository: bool, progress: &ProgressBar) -> Result<()> {
    fs::write(project.join("pom.xml"), PARENT_POM)?;
    // Maven wants every module that the parent names, also those that it is told to leave alone.
    for module in [KAFKA, DYNAMODB, OPENSEARCH, NETTY4, POSTGRES] {
        let folder = project.join(module.path);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("pom.xml"), module.pom)?;
    }
    let projects = modules.iter().map(|module| module.path).collect::<Vec<_>>().join(",");
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--strict-checksums", "--threads", "4", "--projects", &projects, "package"]);
    if own_repository {
        maven.arg(format!("-Dmaven.repo.local={}", project.join("repository").display()));
    }
    let mut child = maven
        .current_dir(project)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context(
            "cannot run mvn: install Maven, for example `apt-get install maven`, or use deploy/compose.yaml",
        )?;
    let mut complaints = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line?;
        if line.starts_with("Downloaded") || line.contains(" Downloaded from") {
            let file = line
                .split(' ')
                .find(|word| word.contains("://"))
                .and_then(|address| address.rsplit('/').next());
            progress.set_message(file.unwrap_or_default().to_owned());
            progress.inc(1);
        } else if let Some(complaint) = line.strip_prefix("[ERROR] ") {
            complaints.push(complaint.to_owned());
        }
    }
    if !child.wait()?.success() {
        complaints.truncate(5);
        bail!("Maven failed\n{}", complaints.join("\n"));
    }
    Ok(())
}
