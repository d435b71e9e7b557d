//! Waiting until a generation has everything that its topics hold now.
//!
//! What counts is what its group has committed, because a commit follows its effect: whatever worker did it, and whether or
//! not that worker is still alive, the rows are there. No worker is asked.

use std::collections::HashMap;
use std::time::Duration;

use aqueduct_service::Settings;
use aqueduct_views::{Error, Generation};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::store::Store;

const PAUSE: Duration = Duration::from_millis(200);
/// What the one who waits gets to say how things stand before time is up for all.
const MARGIN: Duration = Duration::from_secs(2);

/// Returns once the group of `generation` has committed what the topics hold when this is first polled. After about `patience`
/// an error says how far it is behind, and whether anybody works on it.
pub async fn level(
    settings: &Settings,
    store: Store,
    generation: &Generation,
    patience: Duration,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience.saturating_sub(MARGIN);
    let (id, group) = store.group(settings, generation);
    let why =
        |why: String| Error::Behind { view: generation.view().to_owned(), number: generation.number, why };
    let mut ends: Option<HashMap<(String, i32), i64>> = None;
    loop {
        let asked = group.positions().await;
        if let Ok(positions) = &asked {
            let place = |topic: &str, partition| (topic.to_owned(), partition);
            let ends = ends.get_or_insert_with(|| {
                positions.iter().map(|at| (place(&at.topic, at.partition), at.end)).collect()
            });
            let behind = positions.iter().map(|at| {
                let end = ends.get(&place(&at.topic, at.partition)).copied().unwrap_or(at.end);
                (end - at.next()).max(0)
            });
            let behind: i64 = behind.sum();
            if behind == 0 {
                return Ok(());
            }
            bar.set_message(format!("{}: {behind} records to go", store.name()));
            if Instant::now() >= deadline {
                let members = group.members().await.map(|members| members.len()).unwrap_or_default();
                return Err(why(match members {
                    0 => format!(
                        "it is {behind} records behind, and no worker consumes it: the group {id} has no members"
                    ),
                    1 => format!("it is {behind} records behind; the group {id} has 1 member"),
                    more => format!("it is {behind} records behind; the group {id} has {more} members"),
                }));
            }
        }
        if let Err(error) = asked
            && Instant::now() >= deadline
        {
            return Err(why(format!("the positions of the group {id} cannot be read: {error}")));
        }
        sleep(PAUSE).await;
    }
}
