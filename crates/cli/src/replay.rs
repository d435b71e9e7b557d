//! `aqueduct replay`: sets consumer groups back, so that they apply events again.
//!
//! Harmless by the guard on versions: what stands at a version or a later one does not change, what is missing or older is
//! written. It mends what a restored backup or a hand in the database has lost; a changed view needs a rebuild instead.
//!
//! - **Back, never forward.** A position ahead of the group's own would skip events for good. One beyond the end of its topic is
//!   that of another topic, which was lost: it is set in any case.
//! - **Not under a running worker.** Its members would not notice and would commit over it; the broker refuses too, so that
//!   one which joins at the wrong moment is no harm. Who runs workers also has to stop them: this command can wait until the
//!   group is empty (`--wait-for-stop`). Members that died, and those with an `engine.instance_id`, which are expected back,
//!   leave it when their session times out.
//! - **Not across a purge.** Of an item whose tombstone may be gone, an old event creates nothing, so a replay from before
//!   `purged_through` would bring back less than it seems to.
//! - **`--to` ends the wait, not the group.** A group has a position and no end: it goes on to the end of its topics.
//! - **No reactions.** [`Groups`](aqueduct_service::Groups) lists those that keep state, and no others.

mod plan;
mod point;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aqueduct_contract::{TypeName, Worker};
use aqueduct_service::SettingsFile;
use aqueduct_store::kafka::{Group, Member};
use indicatif::{ProgressBar, ProgressStyle};

use crate::confirm::confirm;
use crate::fleet::Chosen;
use plan::{Plan, print};
use point::Point;

const LOOK: Duration = Duration::from_secs(1);

/// `aqueduct replay`
#[derive(clap::Args, Clone, Debug)]
pub struct Replay {
    #[command(flatten)]
    file: SettingsFile,
    /// The worker: projector, sync-rds or sync-search
    #[arg(long)]
    worker: Worker,
    /// Only the groups of this view
    #[arg(long)]
    view: Option<String>,
    /// Only the topic of this type
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<TypeName>,
    /// Only this partition
    #[arg(long)]
    partition: Option<i32>,
    /// Where to begin: `beginning`, an offset (in every partition chosen), a moment (2026-11-21T13:15:00Z) or a time ago (2h)
    #[arg(long, value_name = "POINT")]
    from: Point,
    /// Where `--wait` counts the replay as done, as for --from; by default where the group is now. The group itself does not
    /// end there: it goes on to the end of its topics
    #[arg(long, value_name = "POINT")]
    to: Option<Point>,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait until the groups have no members, instead of refusing while they have
    #[arg(long)]
    wait_for_stop: bool,
    /// Wait until the events are applied; a worker has to be started again meanwhile
    #[arg(long)]
    wait: bool,
}

impl Replay {
    /// Prints the plan and carries it out.
    pub async fn run(self) -> Result<()> {
        let plans = self.plans().await?;
        print(&plans, &mut std::io::stdout())?;
        for plan in &plans {
            plan.refuse_purged().await?;
        }
        let records: i64 = plans.iter().map(Plan::records).sum();
        if self.to.is_some() {
            eprintln!("--to says when --wait ends; the groups go on to the end of their topics");
        }
        let is_any_set = plans.iter().flat_map(|plan| &plan.moves).any(|one| one.is_set);
        if self.dry_run || !is_any_set {
            writeln!(std::io::stdout(), "records to read again: {records}")?;
            return Ok(());
        }
        self.refuse_members(&plans).await?;
        confirm(&format!("Read {records} records again?"), self.yes)?;
        self.empty(&plans).await?;
        for plan in &plans {
            carry_out(plan).await.with_context(|| format!("group {}", plan.id))?;
        }
        eprintln!("set back; records to read again once a worker runs: {records}");
        if self.wait { wait(&plans).await } else { Ok(()) }
    }

    async fn plans(&self) -> Result<Vec<Plan>> {
        let chosen = Chosen { file: self.file.clone(), worker: Some(self.worker), group: None };
        let fleet = chosen.load().await?;
        let topic = self.type_name.as_ref().map(|name| fleet.names.events_topic(name));
        let mut plans = Vec::new();
        for listed in &fleet.groups {
            let view = listed.generation.as_ref().map(aqueduct_views::Generation::view);
            if self.view.as_deref().is_some_and(|wanted| view != Some(wanted)) {
                continue;
            }
            let mut listed = listed.clone();
            listed.group.topics.retain(|of| topic.as_ref().is_none_or(|wanted| wanted == of));
            if !listed.group.topics.is_empty() {
                let group = fleet.in_kafka(&listed);
                let plan = Plan::make(&listed, group, &self.from, self.to.as_ref(), self.partition);
                plans.push(plan.await.with_context(|| format!("group {}", listed.group.id))?);
            }
        }
        if plans.is_empty() {
            bail!("{} has no group for this view and type", self.worker);
        }
        Ok(plans)
    }

    /// Before anything is asked or waited for: whoever forgot to stop the workers learns it first.
    async fn refuse_members(&self, plans: &[Plan]) -> Result<()> {
        for plan in plans.iter().filter(|_| !self.wait_for_stop) {
            let members = plan.group.members().await?;
            if !members.is_empty() {
                let hosts: Vec<&str> = members.iter().map(|member: &Member| member.host.as_str()).collect();
                bail!(
                    "group {} has members ({}, on {}), which would not notice. Stop every {}, or say --wait-for-stop and stop \
                     them then",
                    plan.id,
                    members.len(),
                    hosts.join(", "),
                    self.worker
                );
            }
        }
        Ok(())
    }

    /// Returns when no group has members. One that joins between this and the commit is noticed by the broker.
    async fn empty(&self, plans: &[Plan]) -> Result<()> {
        if !self.wait_for_stop {
            return Ok(());
        }
        for plan in plans {
            let mut said = false;
            while !plan.group.members().await?.is_empty() {
                if !said {
                    eprintln!("waiting until group {} has no members: stop every {}", plan.id, self.worker);
                    said = true;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

/// Commits, and looks whether it stands: of some partitions alone a refusal would not show.
async fn carry_out(plan: &Plan) -> Result<()> {
    let moved = || plan.moves.iter().filter(|one| one.is_set);
    let offsets = moved().map(|one| (one.topic.clone(), one.partition, one.to)).collect();
    plan.group.commit(offsets).await.context("its position was not changed: does a worker run?")?;
    let positions = plan.group.positions().await?;
    for one in moved() {
        let stands =
            positions.iter().find(|now| (now.topic.as_str(), now.partition) == (&one.topic, one.partition));
        if stands.and_then(|now| now.committed) != Some(one.to) {
            bail!(
                "{}-{} was set to {} and stands elsewhere: does a worker run?",
                one.topic,
                one.partition,
                one.to
            );
        }
    }
    Ok(())
}

/// Returns when every group has committed what was to be read again.
async fn wait(plans: &[Plan]) -> Result<()> {
    let style = ProgressStyle::with_template("{spinner} {pos} of {len} records read again ({elapsed})");
    let all: i64 = plans.iter().flat_map(|plan| &plan.moves).map(plan::Move::until_done).sum();
    let bar = ProgressBar::new(all.unsigned_abs());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    loop {
        let mut left = 0;
        for plan in plans {
            left += left_of(&plan.group, plan).await?;
        }
        bar.set_position((all - left).unsigned_abs());
        if left == 0 {
            bar.finish_and_clear();
            eprintln!("records read again: {all}");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn left_of(group: &Group, plan: &Plan) -> Result<i64> {
    let positions = group.positions().await?;
    let left = plan.moves.iter().map(|one| {
        let now =
            positions.iter().find(|now| (now.topic.as_str(), now.partition) == (&one.topic, one.partition));
        let committed = now.and_then(|now| now.committed).unwrap_or(one.to);
        if one.is_set { (one.until - committed).max(0) } else { 0 }
    });
    Ok(left.sum())
}
