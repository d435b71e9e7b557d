//! `aqueduct views list`

use std::io::Write;

use anyhow::{Context, Result};
use aqueduct_service::SettingsFile;
use aqueduct_views::{Generation, State};
use serde_json::{Value, json};

use super::table;
use crate::swap::Store;

/// `aqueduct views list`
#[derive(clap::Args, Clone, Debug)]
pub struct List {
    #[command(flatten)]
    file: SettingsFile,
    /// Only this view
    view: Option<String>,
    /// Only in this store
    #[arg(long = "in", value_enum, value_name = "STORE")]
    store: Option<Store>,
    /// Also those that are retired
    #[arg(long)]
    all: bool,
    /// Print one JSON object for each generation, a line each
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self) -> Result<()> {
        let settings = crate::fleet::settings(&self.file)?;
        let mut found: Vec<(Store, Generation)> = Vec::new();
        for store in Store::chosen(self.store) {
            let all = store.generations(&settings).await;
            let all = all.with_context(|| format!("the registry in {}", store.name()))?;
            let is_meant = |one: &Generation| {
                self.view.as_ref().is_none_or(|view| view == one.view())
                    && (self.all || one.state != State::Retired)
            };
            found.extend(all.into_iter().filter(is_meant).map(|one| (store, one)));
        }
        found.sort_by(|(store, one), (other_store, other)| {
            (one.view(), store.name(), one.number).cmp(&(other.view(), other_store.name(), other.number))
        });
        let text = if self.json {
            found.iter().map(|(store, one)| described(*store, one).to_string() + "\n").collect()
        } else {
            let head = ["VIEW", "STORE", "GENERATION", "STATE", "SINCE"].map(str::to_owned).to_vec();
            let rows = found.iter().map(|(store, one)| row(*store, one));
            table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        };
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(())
    }
}

fn row(store: Store, one: &Generation) -> Vec<String> {
    let state = match one.state {
        State::Building if one.loaded.is_some() => "building, loaded".to_owned(),
        state => state.to_string(),
    };
    let since = format!("{:.0}", one.changed_at);
    vec![one.view().to_owned(), store.name().to_owned(), one.number.to_string(), state, since]
}

fn described(store: Store, one: &Generation) -> Value {
    json!({
        "view": one.view(),
        "store": store.name(),
        "generation": one.number,
        "state": one.state,
        "consumed": one.is_consumed(),
        "created_at": one.created_at,
        "loaded_at": one.loaded,
        "changed_at": one.changed_at,
    })
}
