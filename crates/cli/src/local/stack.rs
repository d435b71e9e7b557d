//! The file `stack.json` in a stack's folder: what runs and where, for `status`, `down`, `logs`, tests and scripts. It is
//! there while the stack is up.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    /// The settings file of the fleet.
    pub settings: PathBuf,
    /// The servers, those that the settings gave too.
    pub servers: Vec<RunningServer>,
    /// The fleet.
    pub fleet: Vec<Member>,
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

/// A process of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Such as `sync-rds-2`.
    pub name: String,
    /// Process id; absent while it waits to be started again.
    pub pid: Option<u32>,
    /// Where it serves `/metrics`, `/livez` and `/readyz`.
    pub admin: SocketAddr,
    /// Where it serves clients, if it does.
    pub api: Option<SocketAddr>,
    /// How often it was started again after its death.
    pub restarts: u32,
    /// Log file.
    pub log: PathBuf,
}

impl Stack {
    /// Reads the file of a running stack.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what this version writes", file.display()))
    }

    fn write(&self, file: &Path) -> Result<()> {
        // By a rename: a reader sees the old or the new one, never half of it.
        let new = file.with_extension("json.new");
        fs::write(&new, serde_json::to_string_pretty(self)?)?;
        fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The address of a server, if it is part of the stack.
    pub fn address(&self, server: Server) -> Option<&str> {
        let running = self.servers.iter().find(|running| running.endpoint.server == server)?;
        Some(&running.endpoint.address)
    }

    /// The URL of the API, if the fleet runs.
    pub fn api(&self) -> Option<String> {
        Some(format!("http://{}", self.fleet.iter().find_map(|member| member.api)?))
    }
}

/// What runs, as the supervisor knows it; the file follows every change.
#[derive(Debug)]
pub struct Board {
    file: PathBuf,
    stack: Mutex<Stack>,
}

impl Board {
    /// Writes the file for the first time.
    pub fn new(file: PathBuf, stack: Stack) -> Result<Self> {
        stack.write(&file)?;
        Ok(Self { file, stack: Mutex::new(stack) })
    }

    /// What runs now.
    pub fn stack(&self) -> Stack {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what became of a process of the fleet.
    pub fn note(&self, name: &str, note: impl FnOnce(&mut Member)) -> Result<()> {
        let mut stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = stack.fleet.iter_mut().find(|member| member.name == name) {
            note(member);
        }
        stack.write(&self.file)
    }

    /// The end: the file goes.
    pub fn remove(&self) -> Result<()> {
        Ok(fs::remove_file(&self.file)?)
    }
}
