//! Giving up what is being built: nothing of it stays but its line in the history.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aqueduct_contract::Names;
use aqueduct_engine::Group;
use aqueduct_service::{Settings, groups};
use aqueduct_store::{Letters, kafka};
use aqueduct_views::{Error, Generation};
use futures::stream::TryStreamExt;
use serde_json::json;

use super::registry::Registry;
use crate::swap::Store;

/// How long workers may take to leave the group of what is no more.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// Cancels a generation that is being built, unless another process works on it.
pub(super) async fn cancel(
    settings: &Settings,
    store: Store,
    registry: &Registry,
    generation: &Generation,
) -> Result<()> {
    let name = format!("{store} {}", generation.sink());
    let claim = registry.claim(settings, generation, "aqueduct rebuild --cancel")?;
    // Whoever works on it would go on writing.
    match claim.take(&json!(null)).await {
        Ok(_) => {}
        Err(Error::Claimed { by }) => bail!("{name} is being rebuilt by {by}: stop that first"),
        Err(error) => return Err(error.into()),
    }
    registry.cancel(generation).await?;
    claim.forget().await?;
    let names = Names::new(&settings.prefix);
    forget(settings, &groups::view_group(&names, store.worker(), generation)).await
}

/// Removes a group that nobody is to be a member of any more, and its letters.
async fn forget(settings: &Settings, group: &Group) -> Result<()> {
    let in_kafka = kafka::Group::new(&settings.kafka, &group.id, &group.topics);
    let begun = Instant::now();
    while let Err(error) = in_kafka.delete().await {
        // Members leave when they see that the registry does not list their generation any more.
        if begun.elapsed() > PATIENCE {
            return Err(error).context("the group cannot be deleted");
        }
        tokio::time::sleep(LOOK).await;
    }
    let letters = Letters::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
    let mut all = std::pin::pin!(letters.all());
    while let Some(filed) = all.try_next().await? {
        if filed.letter.group == group.id {
            letters.remove_if_unchanged(&filed).await?;
        }
    }
    Ok(())
}
