//! What the local stack needs to know of the machine: where fetched artefacts are kept, which Java is preferred, and which
//! unprivileged user the servers that refuse root run as.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Where things are on this machine; flags, or the environment that such tools usually read.
#[derive(Clone, Debug, clap::Args)]
pub struct Host {
    /// Folder that keeps the fetched servers [default: ~/.cache/aqueduct]
    #[arg(long, env = "AQUEDUCT_CACHE", value_name = "DIR", hide_env = true)]
    pub cache: Option<PathBuf>,
    /// Base of the default of `--cache`, as the XDG specification has it
    #[arg(long, env = "XDG_CACHE_HOME", value_name = "DIR", hide = true)]
    pub xdg_cache_home: Option<PathBuf>,
    /// Java to prefer, where its version suffices [default: the newest that is found]
    #[arg(long, env = "JAVA_HOME", value_name = "DIR", hide_env = true)]
    pub java_home: Option<PathBuf>,
}

impl Host {
    /// The folder of fetched artefacts, not necessarily existing.
    pub fn cache(&self) -> Result<PathBuf> {
        if let Some(cache) = &self.cache {
            return Ok(std::path::absolute(cache)?);
        }
        let base = match &self.xdg_cache_home {
            Some(base) => base.clone(),
            None => {
                std::env::home_dir().context("no home folder for the cache; give --cache DIR")?.join(".cache")
            }
        };
        Ok(std::path::absolute(base)?.join("aqueduct"))
    }
}

/// The user that Postgres and OpenSearch run as when the supervisor is root: both refuse root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprivileged {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// It keeps the one right to pass folders that are closed to it, as root's home usually is: the stack's folders and the
    /// cache may lie below such a folder.
    pub passes_closed_folders: bool,
}

impl Unprivileged {
    const NOBODY: u32 = 65534;

    /// The user to drop to, or none if this process is not root. `folders` are those that it has to reach.
    pub fn when_root(folders: &[&Path]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let plain = Self { uid: Self::NOBODY, gid: Self::NOBODY, passes_closed_folders: false };
        let reaches = |folder: &&Path| {
            let mut probe = Command::new("setpriv");
            probe.args(plain.setpriv_arguments()).args(["--", "test", "-x"]).arg(folder);
            probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        Some(Self { passes_closed_folders: !folders.iter().all(reaches), ..plain })
    }

    /// What makes `setpriv` become this user.
    pub fn setpriv_arguments(self) -> Vec<String> {
        let mut arguments = vec![
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            "--clear-groups".to_owned(),
        ];
        if self.passes_closed_folders {
            // access(2), which initdb asks, ignores the rights of a user that is not root unless that fix-up is off.
            let keeps =
                ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"];
            arguments.extend(keeps.map(str::to_owned));
        }
        arguments
    }
}
