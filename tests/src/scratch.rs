//! Folders that are gone after the tests, also those of a test process that was killed.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder that is removed when it is dropped or when this process ends, however it ends: statics are never dropped, and
/// a killed process drops nothing.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    /// A shell that waits for the end of its input, which only we hold, and then removes the folder.
    _janitor: Child,
}

impl Scratch {
    /// A new folder among the temporary ones.
    ///
    /// # Errors
    ///
    /// When the folder or the janitor cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("aqueduct-test-").tempdir()?.keep();
        // Servers that die at the same moment may still write.
        let script = r#"read -r _; until rm -rf "$0"; do sleep 0.2; done"#;
        let mut janitor = Command::new("sh");
        janitor
            .args(["-c", script])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Ctrl-C in a terminal goes to the whole group; the janitor has to survive it.
        Ok(Self { _janitor: janitor.process_group(0).spawn()?, folder })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}
