//! The file `stack.json` in a stack's folder: what runs and where, for `status`, `down`, `logs`, tests and scripts. It is there
//! while the stack is up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::servers::{Endpoint, Server};

/// The name of the file in the stack's folder.
pub const FILE: &str = "stack.json";

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The supervisor.
    pub pid: u32,
    /// The servers, those that the settings gave too.
    pub servers: Vec<RunningServer>,
}

/// A server of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningServer {
    /// Which, and where it listens.
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// Its process and log file; absent if it was given by the settings.
    pub process: Option<RunningProcess>,
}

/// A process of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// Process id.
    pub pid: u32,
    /// Log file.
    pub log: PathBuf,
}

impl Stack {
    /// Reads the file of a running stack.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("no stack is running here: no {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what this version writes", file.display()))
    }

    /// Writes the file; a reader sees the old or the new one.
    pub fn write(&self, file: &Path) -> Result<()> {
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_string_pretty(self)?)?;
        fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The address of a server, if it is part of the stack.
    pub fn address(&self, server: Server) -> Option<&str> {
        let running = self.servers.iter().find(|running| running.endpoint.server == server)?;
        Some(&running.endpoint.address)
    }
}
