//! `aqueduct verify`: do the read models hold what the event store says? The comparison is [`aqueduct_verify`]; this is its command.

mod repair;

use std::process::ExitCode;
use std::time::Duration;

use aqueduct_contract::Tenant;
use aqueduct_service::SettingsFile;
use aqueduct_verify::{Scope, verify};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use repair::repair;

/// `aqueduct verify`
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exits with 0 when all agree, with 1 when something differs; with --repair, when something still differs afterwards.

An item whose latest version is a dead letter is listed and counted apart, and does not differ as long as the read model holds \
what stood before that version: it is waiting for a decision about its letter, nothing has drifted, and an exit code of 1 would \
hide the drift that comes after it.")]
pub struct Verify {
    #[command(flatten)]
    settings: SettingsFile,
    /// Only this view, or one generation of it (`orders.g2`, `postgres orders.g2`), or `data` for the DynamoDB read table
    #[arg(long, value_name = "NAME")]
    view: Option<String>,
    /// Only the items of this tenant
    #[arg(long)]
    tenant: Option<Tenant>,
    /// Rewrite what differs, and only that, as the workers write it; then compare it again
    #[arg(long)]
    repair: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// How long what differs after all has been compared may take to arrive
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    settle: u64,
}

impl Verify {
    /// Compares, repairs if asked to, prints, and exits with 0 when all agree, else with 1.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let settings = crate::fleet::settings(&self.settings)?;
        let bar = progress(self.json);
        let scope = Scope { only: self.view, tenant: self.tenant };
        let settle = Duration::from_secs(self.settle);
        let mut report = verify(&settings, &scope, settle, &bar).await?;
        if self.repair && !report.differences.is_empty() {
            bar.suspend(|| eprint!("{report}"));
            let repaired = repair(&settings, &report.differences, &bar).await?;
            bar.suspend(|| eprintln!("rewrote {repaired} entries; comparing again"));
            report = verify(&settings, &scope, settle, &bar).await?;
        }
        bar.finish_and_clear();
        let mut out = std::io::stdout();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            std::io::Write::write_all(&mut out, b"\n")?;
        } else {
            std::io::Write::write_all(&mut out, report.to_string().as_bytes())?;
        }
        Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn progress(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{spinner} {msg} {pos} ({per_sec}, {elapsed})");
    ProgressBar::with_draw_target(None, target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
