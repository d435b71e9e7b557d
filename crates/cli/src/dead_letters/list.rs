//! Looking at letters.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use aqueduct_contract::ItemKey;
use aqueduct_store::Letter;
use serde_json::{Value, json};

use super::desk::{Desk, described};
use super::filter::Filter;
use super::preview::Preview;

/// Longer messages are cut in the table.
const MESSAGE: usize = 200;

/// `aqueduct dead-letters list`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON object a letter, a line each
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let desk = Desk::open(&self.filter).await?;
        let found = desk.find(&self.filter).await?;
        let text = if self.json {
            found.iter().map(|filed| format!("{}\n", described(&desk.names, &filed.letter))).collect()
        } else {
            table(found.iter().map(|filed| &filed.letter))
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What the eye needs; the rest is in `show`.
fn table<'a>(letters: impl Iterator<Item = &'a Letter>) -> String {
    let mut text = String::new();
    let mut count = 0;
    for letter in letters {
        count += 1;
        let version = letter.version.map_or_else(|| "?".to_owned(), |version| version.to_string());
        let message: String = letter.message.chars().take(MESSAGE).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} {:<11} {}  {}  version {version}, attempts {}, redrives {}\n  {}: {message}",
            letter.filed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            letter.state.as_str(),
            letter.group,
            letter.item,
            letter.attempts,
            letter.redrives,
            letter.code,
        );
    }
    let _ = writeln!(text, "letters: {count}");
    text
}

/// `aqueduct dead-letters show`
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Show {
    #[command(flatten)]
    filter: Filter,
}

impl Show {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let desk = Desk::open(&self.filter).await?;
        let found = desk.find(&self.filter).await?;
        let preview = Preview::new(&desk, &self.filter.file).await?;
        let mut out = std::io::stdout();
        for filed in &found {
            writeln!(out, "{:#}", whole(&desk, &preview, &filed.letter).await?)?;
        }
        if found.is_empty() {
            eprintln!("there is no such letter");
        }
        Ok(if found.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Everything that is known about a letter.
async fn whole(desk: &Desk, preview: &Preview, letter: &Letter) -> Result<Value> {
    let latest = desk.latest(letter).await?;
    let event = match (letter.item.parse::<ItemKey>(), letter.version) {
        (Ok(key), Some(version)) => desk.events.at(&key, version).await?.map(|stored| stored.event),
        _ => None,
    };
    let event = event.map(|event| serde_json::from_str::<Value>(&event.to_json())).transpose()?;
    Ok(json!({
        "letter": described(&desk.names, letter),
        "event": event,
        "latest_version": latest.as_ref().map(|event| event.item.version),
        "today": match preview.of(letter, latest.as_ref()).await? {
            Ok(written) => json!({ "writes": written }),
            Err(error) => json!({ "error": error }),
        },
        "audit": desk.audit.of(letter).await?,
    }))
}
