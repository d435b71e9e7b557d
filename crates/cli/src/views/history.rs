//! `aqueduct views history`

use std::io::Write;

use anyhow::{Context, Result};
use aqueduct_service::SettingsFile;
use aqueduct_views::{Change, State};
use serde_json::json;

use super::table;
use crate::swap::{Store, store};

/// `aqueduct views history`
#[derive(clap::Args, Clone, Debug)]
pub struct History {
    #[command(flatten)]
    file: SettingsFile,
    /// Only of this view
    view: Option<String>,
    /// Only in this store
    #[arg(long = "in", value_enum, value_name = "STORE")]
    store: Option<Store>,
    /// Print one JSON object for each change, a line each
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) async fn run(self) -> Result<()> {
        let settings = crate::fleet::settings(&self.file)?;
        let view = self.view.as_deref();
        let mut found: Vec<(Store, Change)> = Vec::new();
        for store in Store::chosen(self.store) {
            let changes = match store {
                Store::Postgres => store::tables(&settings)?.history(view).await,
                Store::OpenSearch => store::indexes(&settings)?.history(view).await,
            };
            let changes = changes.with_context(|| format!("the registry in {}", store.name()))?;
            found.extend(changes.into_iter().map(|change| (store, change)));
        }
        found.sort_by_key(|(_, change)| change.at);
        let text = if self.json {
            let line = |(store, change): &(Store, Change)| {
                let mut line = json!(change);
                line["store"] = store.name().into();
                line.to_string() + "\n"
            };
            found.iter().map(line).collect()
        } else {
            let head = ["AT", "VIEW", "STORE", "GENERATION", "FROM", "TO", "WHY"].map(str::to_owned).to_vec();
            let row = |(store, change): &(Store, Change)| {
                vec![
                    format!("{:.0}", change.at),
                    change.view.clone(),
                    store.name().to_owned(),
                    change.generation.to_string(),
                    change.from.map_or("-", State::as_str).to_owned(),
                    change.to.to_string(),
                    change.why.clone(),
                ]
            };
            table(&std::iter::once(head).chain(found.iter().map(row)).collect::<Vec<_>>())
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}
