//! The folder of a stack: one supervisor has it to itself.
//!
//! ```text
//! .aqueduct/local/  lock           held while the stack is up
//!                   stack.json     what runs and where
//!                   settings.toml  the fleet's settings
//!                   model/         the model, unless another was given
//!                   logs/          a file each process
//!                   kafka/ …       the servers' data
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::servers::LOGS;
use super::stack::{self, Stack};

const LOCK: &str = "lock";

/// Which stack a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct Chosen {
    /// Folder of the stack
    #[arg(long, value_name = "DIR", default_value = ".aqueduct/local")]
    pub dir: PathBuf,
}

impl Chosen {
    /// The stack that is up in this folder.
    pub fn running(&self) -> Result<Stack> {
        if !is_up(&self.dir)? {
            bail!("no stack is up in {}", self.dir.display());
        }
        Stack::read(&self.dir.join(stack::FILE)).context("the stack has not come up yet")
    }
}

/// A supervisor has the folder to itself.
pub fn is_up(dir: &Path) -> Result<bool> {
    match File::open(dir.join(LOCK)) {
        Ok(lock) => match lock.try_lock_shared() {
            Ok(()) => {
                lock.unlock()?;
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error.into()),
        },
        Err(_) => Ok(false),
    }
}

/// A folder that this process has to itself.
#[derive(Debug)]
pub struct Folder {
    /// Its absolute path.
    pub path: PathBuf,
    lock: File,
}

impl Drop for Folder {
    /// Closing the file is not enough: a child that another thread has just forked has it open too, until it becomes its
    /// own program, and holds the lock with it.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Folder {
    /// Takes the folder; without `keep` everything in it goes.
    pub fn take(path: &Path, keep: bool) -> Result<Self> {
        let path = std::path::absolute(path)?;
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let lock = File::create(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let dir = path.display();
                bail!(
                    "a stack is up in {dir} already: `aqueduct local down --dir {dir}`, or take another --dir"
                )
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if !keep {
            clear(&path).with_context(|| format!("cannot clear {}", path.display()))?;
        }
        fs::create_dir_all(path.join(LOGS))?;
        Ok(Self { path, lock })
    }

    /// The log file of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path.join(LOGS).join(format!("{name}.log"))
    }

    /// Where `stack.json` is.
    pub fn stack_file(&self) -> PathBuf {
        self.path.join(stack::FILE)
    }

    /// Where the fleet's settings are.
    pub fn settings_file(&self) -> PathBuf {
        self.path.join("settings.toml")
    }
}

/// Removes what a stack made, and only from a folder that a stack made or an empty one.
fn clear(path: &Path) -> Result<()> {
    const OURS: [&str; 9] =
        [LOCK, LOGS, stack::FILE, "settings.toml", "model", "kafka", "dynamodb", "postgres", "opensearch"];
    let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    if let Some(stranger) = entries.iter().find(|entry| !OURS.iter().any(|ours| entry.file_name() == *ours)) {
        bail!("{} is not part of a stack", stranger.path().display());
    }
    for entry in entries {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_supervisor_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("stack");
        assert!(!is_up(&dir).unwrap());
        let taken = Folder::take(&dir, false).unwrap();
        assert!(is_up(&dir).unwrap());
        assert!(Folder::take(&dir, false).unwrap_err().to_string().contains("a stack is up in"));
        drop(taken);
        assert!(!is_up(&dir).unwrap());
    }

    #[test]
    fn a_lock_is_released_although_a_forked_child_has_its_file_open() {
        let parent = tempfile::tempdir().unwrap();
        let taken = Folder::take(parent.path(), false).unwrap();
        let inherited = taken.lock.try_clone().unwrap();
        drop(taken);
        assert!(!is_up(parent.path()).unwrap());
        drop(Folder::take(parent.path(), false).unwrap());
        drop(inherited);
    }

    #[test]
    fn a_clean_start_removes_what_a_stack_made_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("postgres");
        fs::create_dir(&data).unwrap();
        drop(Folder::take(parent.path(), true).unwrap());
        assert!(data.exists());
        drop(Folder::take(parent.path(), false).unwrap());
        assert!(!data.exists());
        fs::write(parent.path().join("thesis.tex"), "").unwrap();
        fs::create_dir(&data).unwrap();
        assert!(
            Folder::take(parent.path(), false).unwrap_err().root_cause().to_string().contains("thesis.tex")
        );
        assert!(data.exists());
    }
}
