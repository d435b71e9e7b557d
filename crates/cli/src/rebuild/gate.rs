//! What is not as the event store says is not shown to readers.

use std::time::Duration;

use anyhow::{Result, bail};
use aqueduct_service::Settings;
use aqueduct_verify::{Scope, verify};
use indicatif::ProgressBar;

/// How long what differs may take to arrive.
const SETTLE: Duration = Duration::from_secs(30);
const SHOWN: usize = 10;

/// Compares the generation that reports call `name` with the event store by value.
pub(super) async fn agrees(settings: &Settings, name: &str) -> Result<()> {
    let scope = Scope { only: Some(name.to_owned()), tenant: None };
    let differences = verify(settings, &scope, SETTLE, &ProgressBar::hidden()).await?.differences;
    if differences.is_empty() {
        return Ok(());
    }
    let shown: String = differences.iter().take(SHOWN).map(|one| format!("\n  {one}")).collect();
    bail!(
        "{name} differs from the event store in {} items, and is not shown to readers:{shown}\nGive up with --cancel",
        differences.len()
    )
}
