//! What commands about a fleet start from: its settings, its model, its consumer groups.

use anyhow::{Context, Result, bail};
use aqueduct_contract::{Names, Worker};
use aqueduct_service::groups::Listed;
use aqueduct_service::{Groups, Misconfigured, Settings, SettingsFile};
use aqueduct_store::kafka;

/// Which consumer groups a command is about.
#[derive(clap::Args, Clone, Debug)]
pub struct Chosen {
    #[command(flatten)]
    pub(crate) file: SettingsFile,
    /// Only groups of this worker: projector, sync-rds or sync-search
    #[arg(long)]
    pub(crate) worker: Option<Worker>,
    /// Only this group, such as aqueduct.sync-rds.orders.g1
    #[arg(long)]
    pub(crate) group: Option<String>,
}

/// A fleet and those of its groups that were chosen.
pub(crate) struct Fleet {
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    pub(crate) groups: Vec<Listed>,
}

/// The settings, or every mistake in them.
pub fn settings(file: &SettingsFile) -> Result<Settings> {
    let settings = Settings::load(file.config.as_deref());
    Ok(settings.map_err(|problems| Misconfigured(problems.to_string()))?)
}

impl Chosen {
    /// Asks the registries. That none of the groups is meant is an error which names them.
    pub(crate) async fn load(&self) -> Result<Fleet> {
        let settings = settings(&self.file)?;
        // A question about offsets would say no more than that time is up.
        settings.kafka.reach().await?;
        let model = crate::setup::load(&settings.model.dir)?;
        let groups = Groups::new(&settings, model.types().map(|of| of.name.clone()))?;
        let all = groups.all().await.context("the list of views; `aqueduct setup` makes it")?;
        let means = |Listed { group, .. }: &&Listed| {
            self.worker.is_none_or(|worker| worker == group.worker)
                && self.group.as_ref().is_none_or(|id| *id == group.id)
        };
        let groups: Vec<Listed> = all.iter().filter(means).cloned().collect();
        if groups.is_empty() {
            let known: Vec<&str> = all.iter().map(|listed| listed.group.id.as_str()).collect();
            bail!("there is no such group; there are {}", known.join(", "));
        }
        Ok(Fleet { names: Names::new(&settings.prefix), settings, groups })
    }
}

impl Fleet {
    /// A group as Kafka knows it.
    pub(crate) fn in_kafka(&self, listed: &Listed) -> kafka::Group {
        kafka::Group::new(&self.settings.kafka, &listed.group.id, &listed.group.topics)
    }
}
