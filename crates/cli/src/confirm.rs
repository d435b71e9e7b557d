//! Asking before something that cannot be taken back.

use std::io::{IsTerminal, Write, stdin, stdout};

use anyhow::{Result, bail};
use aqueduct_service::Misconfigured;

/// Returns when a person at the terminal says yes, or `yes` was said on the command line.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        bail!(Misconfigured(format!("{question} Nobody is here to answer: say --yes")));
    }
    write!(stdout(), "{question} [y/N] ")?;
    stdout().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    bail!("nothing was done")
}
