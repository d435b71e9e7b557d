//! The consumed generations as readers know them: read from a registry, and again when they may have changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Generation};

/// How long a reader goes by what it read. Columns of a view change by a swap alone, which a reader that goes by the old ones
/// is told by the store.
const FRESH: Duration = Duration::from_secs(1);

/// What was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Option<(Instant, Arc<[Generation]>)>>);

impl Live {
    /// The consumed generations. Requests that find them old read the registry each for itself: in an outage, none waits for
    /// another's wait.
    pub(crate) async fn get<Load>(&self, load: impl FnOnce() -> Load) -> Result<Arc<[Generation]>, Error>
    where
        Load: Future<Output = Result<Vec<Generation>, Error>>,
    {
        if let Some((read_at, consumed)) = &*self.known()
            && read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(consumed));
        }
        let all = load().await?;
        let consumed: Arc<[Generation]> = all.into_iter().filter(Generation::is_consumed).collect();
        *self.known() = Some((Instant::now(), Arc::clone(&consumed)));
        Ok(consumed)
    }

    /// Has the next reader look again.
    pub(crate) fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> MutexGuard<'_, Option<(Instant, Arc<[Generation]>)>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
