//! `aqueduct views plan`: what a rebuild would bring, before one.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use aqueduct_contract::Names;
use aqueduct_service::{Settings, SettingsFile};
use aqueduct_views::plan::{Planned, Status, plan};
use aqueduct_views::{definition, opensearch, postgres};
use serde_json::json;

/// Something is not as the model has it.
const DIFFERS: u8 = 3;

/// `aqueduct views plan`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Exits with 0 when every view is as the model has it, with 3 when one differs, is new or is not in the model any more, with 1 when \
the registries could not be read, with 2 when the settings or the model are wrong.")]
pub struct Plan {
    /// Where the registries and the model are
    #[command(flatten)]
    settings: SettingsFile,
    /// Print JSON: [{"view", "store", "status", "live", "building", "diff"}]
    #[arg(long)]
    json: bool,
}

impl Plan {
    /// Prints it to standard output.
    pub(super) async fn run(self) -> Result<ExitCode> {
        let planned = planned(&crate::fleet::settings(&self.settings)?).await?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", json!(planned))?;
        } else {
            planned.iter().try_for_each(|one| write(one, &mut out))?;
        }
        let differs = planned.iter().any(|one| one.status != Status::Same);
        Ok(if differs { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
    }
}

/// Every view of the model and of the registries.
pub async fn planned(settings: &Settings) -> Result<Vec<Planned>> {
    let model = crate::setup::load(&settings.model.dir)?;
    let tables = postgres::Registry::new(settings.postgres.connect_lazy()?);
    let indexes = opensearch::Registry::new(&settings.opensearch, &Names::new(&settings.prefix))?;
    let registered = tokio::try_join!(tables.generations(), indexes.generations());
    let (tables, indexes) = registered.context("the list of views; `aqueduct setup` makes it")?;
    let mut planned = plan("postgres", &tables, &definition::all_in_postgres(&model))?;
    planned.extend(plan("opensearch", &indexes, &definition::all_in_opensearch(&model))?);
    planned.sort_by(|one, other| one.view.cmp(&other.view));
    Ok(planned)
}

fn write(one: &Planned, out: &mut impl Write) -> std::io::Result<()> {
    let Planned { view, store, .. } = one;
    let live = one.live.unwrap_or_default();
    match (one.status, one.building) {
        (Status::Same, _) => writeln!(out, "{view} in {store}: as generation {live} has it"),
        (Status::New, _) => {
            writeln!(out, "{view} in {store}: new; `aqueduct setup` or the next worker that starts makes it")
        }
        (Status::Gone, _) => {
            writeln!(
                out,
                "{view} in {store}: not in the model; generation {live} is served until it is retired"
            )
        }
        (Status::Differs, None) => {
            writeln!(
                out,
                "{view} in {store}: differs from generation {live}; `aqueduct rebuild {view}` would bring it"
            )
        }
        (Status::Differs, Some(built)) => {
            writeln!(
                out,
                "{view} in {store}: differs from generation {live}; generation {built} is being built"
            )
        }
    }?;
    write!(out, "{}", one.diff)
}
