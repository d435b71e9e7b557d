//! Child processes that never outlive this one.
//!
//! Every child is started through `setpriv --pdeathsig KILL`, so that the kernel kills it when its parent dies, however that
//! happens. The kernel's "parent" is the *thread* that started the child, so all children start from one thread that lives as
//! long as anything of theirs is held: a caller's own thread (a test's, a runtime's worker) may end before. Children have a
//! process group of their own: Ctrl-C in a terminal reaches the parent alone, which stops them in order.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::host::Unprivileged;

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What people call it; also the name of its log file.
    pub name: String,
    /// The program; found on the path if it is a bare name.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is added to the environment.
    pub environment: Vec<(String, OsString)>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Where its output goes, appended.
    pub log: PathBuf,
    /// The user to become first.
    pub user: Option<Unprivileged>,
}

/// The thread that starts children and waits for them.
#[derive(Debug)]
pub struct Nursery {
    runtime: Handle,
    /// Dropped with the last holder, which ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Nursery {
    /// Starts the thread.
    pub fn new() -> Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        // A current-thread runtime runs its tasks on the thread that blocks on it, and only there.
        std::thread::Builder::new().name("nursery".to_owned()).spawn(move || runtime.block_on(ended))?;
        Ok(Arc::new(Self { runtime: handle, _alive: alive }))
    }

    /// Starts a child.
    pub async fn spawn(self: &Arc<Self>, spec: &Spec) -> Result<Process> {
        let mut command = command(spec)?;
        let (started, pid) = oneshot::channel();
        let (exited, exit) = watch::channel(None);
        self.runtime.spawn(async move {
            match command.spawn() {
                Ok(mut child) => {
                    let _ = started.send(child.id().ok_or_else(|| io::Error::other("ended at once")));
                    if let Ok(status) = child.wait().await {
                        exited.send_replace(Some(status));
                    }
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        let pid = pid.await?.with_context(|| format!("cannot start {} (`setpriv` is needed)", spec.name))?;
        let group = Pid::from_raw(pid.cast_signed()).context("a process id of 0")?;
        Ok(Process {
            name: spec.name.clone(),
            log: spec.log.clone(),
            group,
            exit,
            _nursery: Arc::clone(self),
        })
    }

    /// Runs a child to its end; its failure is an error with the end of its log.
    pub async fn run(self: &Arc<Self>, spec: &Spec, patience: Duration) -> Result<()> {
        let process = self.spawn(spec).await?;
        let status = timeout(patience, process.exited())
            .await
            .with_context(|| format!("{} takes too long", spec.name))?;
        if !status.is_some_and(|status| status.success()) {
            bail!("{} failed\n{}", spec.name, process.log_tail());
        }
        Ok(())
    }
}

fn command(spec: &Spec) -> Result<tokio::process::Command> {
    let log = OpenOptions::new().create(true).append(true).open(&spec.log);
    let log = log.with_context(|| format!("cannot write {}", spec.log.display()))?;
    let mut command = tokio::process::Command::new("setpriv");
    if let Some(user) = spec.user {
        command.args(user.setpriv_arguments());
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(&spec.program).args(&spec.arguments);
    command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&spec.folder).process_group(0);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command)
}

/// A child that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// What people call it.
    pub name: String,
    /// Its log file.
    pub log: PathBuf,
    group: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    _nursery: Arc<Nursery>,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().cast_unsigned()
    }

    /// It has not ended.
    pub fn runs(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Waits for its end; none if that cannot be known.
    pub async fn exited(&self) -> Option<ExitStatus> {
        let mut exit = self.exit.clone();
        exit.wait_for(Option::is_some).await.ok().and_then(|status| *status)
    }

    /// Sends it a signal, if it has not ended.
    pub fn signal(&self, signal: Signal) {
        if self.runs() {
            // It may have ended since: then there is nothing left to tell.
            let _ = kill_process(self.group, signal);
        }
    }

    /// Asks it to end by a signal and kills it if it has not within `patience`.
    pub async fn stop(&self, signal: Signal, patience: Duration) {
        self.signal(signal);
        if timeout(patience, self.exited()).await.is_err() {
            eprintln!("{} did not stop within {patience:?}: killed", self.name);
            self.kill();
            self.exited().await;
        }
    }

    /// Kills it and what it started.
    pub fn kill(&self) {
        if self.runs() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }

    /// Waits until `ready` says so. That the process ends first, or that the time is over, is an error with the end of its log.
    pub async fn ready<F>(&self, patience: Duration, mut ready: impl FnMut() -> F) -> Result<()>
    where
        F: Future<Output = bool>,
    {
        let deadline = Instant::now() + patience;
        let polls = async {
            while !ready().await {
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            () = polls => Ok(()),
            status = self.exited() => {
                let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
                bail!("{} ended at start ({status}), see {}\n{}", self.name, self.log.display(), self.log_tail())
            }
            () = tokio::time::sleep_until(deadline) => {
                bail!("{} was not ready within {patience:?}, see {}\n{}", self.name, self.log.display(), self.log_tail())
            }
        }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log file.
fn log_tail(log: &Path) -> io::Result<String> {
    const BYTES: u64 = 4096;
    const LINES: usize = 20;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = end.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}
