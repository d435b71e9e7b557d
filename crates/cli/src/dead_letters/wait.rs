//! Watching letters that are to be redriven until they are gone or have failed again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use aqueduct_store::kafka::Group;
use aqueduct_store::letters::{Filed, State};
use indicatif::{ProgressBar, ProgressStyle};

use super::desk::Desk;

const LOOK: Duration = Duration::from_secs(1);

/// Returns how many failed again.
pub(super) async fn until_done(desk: &Desk, waiting: Vec<Filed>) -> Result<usize> {
    let mut partitions: BTreeMap<(String, String, i32), Vec<Filed>> = BTreeMap::new();
    let bar = progress(waiting.len());
    for filed in waiting {
        let letter = &filed.letter;
        let partition = (letter.group.clone(), letter.topic.clone(), letter.partition);
        partitions.entry(partition).or_default().push(filed);
    }
    warn_of_idle(desk, partitions.keys()).await?;
    let mut failed = 0;
    while !partitions.is_empty() {
        tokio::time::sleep(LOOK).await;
        for ((group, topic, partition), waiting) in &mut partitions {
            let now = desk.letters.load(group, topic, *partition).await?;
            waiting.retain(|filed| {
                let Some(found) = now.iter().find(|now| now.letter.item == filed.letter.item) else {
                    bar.inc(1);
                    return false;
                };
                if found.letter.state == State::Redrive {
                    return true;
                }
                let letter = &found.letter;
                bar.inc(1);
                bar.suspend(|| {
                    eprintln!("{group} {}: failed again: {}: {}", letter.item, letter.code, letter.message);
                });
                failed += 1;
                false
            });
        }
        partitions.retain(|_, waiting| !waiting.is_empty());
    }
    bar.finish_and_clear();
    eprintln!("gone: {}, failed again: {failed}", bar.length().unwrap_or_default() - failed as u64);
    Ok(failed)
}

/// A wait for a worker that does not run would be a long one.
async fn warn_of_idle<'a>(
    desk: &Desk,
    partitions: impl Iterator<Item = &'a (String, String, i32)>,
) -> Result<()> {
    let mut last = None;
    for (group, topic, _) in partitions {
        if last == Some(group) {
            continue;
        }
        let members = Group::new(&desk.settings.kafka, group, std::slice::from_ref(topic)).members().await;
        if members.with_context(|| format!("group {group}"))?.is_empty() {
            eprintln!("{group} has no members: nothing of it is redriven until its worker runs");
        }
        last = Some(group);
    }
    Ok(())
}

fn progress(letters: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} of {len} letters done ({elapsed})");
    ProgressBar::new(letters as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
