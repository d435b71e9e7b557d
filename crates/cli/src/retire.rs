//! `aqueduct retire`: the end of generations that were live, when nobody wants to go back to them.
//!
//! First the registry: workers leave within a poll. Once the group has no members, what it wrote is dropped, then the group
//! itself and its letters, which nobody could redrive any more. Each step can be done twice, so a command that was cut off is
//! simply given again.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use aqueduct_contract::Names;
use aqueduct_service::Settings;
use aqueduct_store::Letters;
use aqueduct_views::{Error, Generation, Registry, State};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use crate::confirm::confirm;
use crate::swap::{Chosen, Store, spinner, store};

const LOOK: Duration = Duration::from_millis(500);

/// `aqueduct retire`
#[derive(clap::Args, Clone, Debug)]
pub struct Retire {
    #[command(flatten)]
    chosen: Chosen,
    /// This generation; by default every one that was live before
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    /// How long workers may take to leave it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Retire {
    /// Retires what was chosen.
    pub async fn run(self) -> Result<()> {
        let settings = crate::fleet::settings(&self.chosen.file)?;
        settings.kafka.reach().await?;
        let mut meant = Vec::new();
        for (store, generations) in self.chosen.generations(&settings).await? {
            let is_meant = |one: &Generation| match self.generation {
                Some(number) => one.number == number,
                None => one.state == State::Previous,
            };
            meant.extend(generations.into_iter().filter(is_meant).map(|one| (store, one)));
        }
        if meant.is_empty() {
            bail!("{} has no such generation; `aqueduct views list` shows what there is", self.chosen.view);
        }
        let list: Vec<String> =
            meant.iter().map(|(store, one)| format!("{} in {}", one.sink(), store.name())).collect();
        confirm(&format!("Retire {}? There is no way back to it.", list.join(", ")), self.yes)?;
        for (store, generation) in meant {
            let bar = spinner();
            let retired = match store {
                Store::Postgres => {
                    self.retire(&settings, store, store::tables(&settings)?, &generation, &bar).await
                }
                Store::OpenSearch => {
                    self.retire(&settings, store, store::indexes(&settings)?, &generation, &bar).await
                }
            };
            bar.finish_and_clear();
            retired.with_context(|| format!("{} in {}", generation.sink(), store.name()))?;
            eprintln!("{}: {} is retired", store.name(), generation.sink());
        }
        Ok(())
    }

    async fn retire(
        &self,
        settings: &Settings,
        store: Store,
        registry: impl Registry,
        generation: &Generation,
        bar: &ProgressBar,
    ) -> Result<()> {
        let retired: Result<Generation, Error> = registry.retire(generation).await;
        let retired = retired?;
        let (id, group) = store.group(settings, &retired);
        let deadline = Instant::now() + Duration::from_secs(self.wait);
        loop {
            let members = group.members().await?;
            if members.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                let hosts: Vec<String> = members.into_iter().map(|member| member.host).collect();
                bail!(
                    "it is retired, but workers on {} still consume it, so it is not dropped yet: give the command again once \
                     they have left the group {id}",
                    hosts.join(", ")
                );
            }
            bar.set_message(format!("waiting for workers to leave {id}"));
            sleep(LOOK).await;
        }
        bar.set_message("dropping");
        registry.drop_retired(&retired).await?;
        group.delete().await.with_context(|| format!("the group {id}"))?;
        let letters = Letters::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
        let own = letters.all().try_filter(|filed| std::future::ready(filed.letter.group == id));
        let own = own.try_for_each(async |filed| letters.remove_if_unchanged(&filed).await.map(drop));
        own.await.context("its letters")?;
        Ok(())
    }
}
