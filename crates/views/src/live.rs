//! The live generations as readers know them: read from a registry, and again when they may have changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::{Error, Generation, State};

/// How long a reader goes by what it read. Columns of a view change by a swap alone, which a reader that goes by the old ones
/// is told by the store.
const FRESH: Duration = Duration::from_secs(1);

/// What was read last, and when.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<Option<(Instant, Arc<[Generation]>)>>);

impl Live {
    /// The live generations. While one request reads the registry, the others wait for it.
    pub(crate) async fn get<Load>(&self, load: impl FnOnce() -> Load) -> Result<Arc<[Generation]>, Error>
    where
        Load: Future<Output = Result<Vec<Generation>, Error>>,
    {
        let mut known = self.0.lock().await;
        if let Some((read_at, live)) = &*known
            && read_at.elapsed() < FRESH
        {
            return Ok(Arc::clone(live));
        }
        let all = load().await?;
        let live: Arc<[Generation]> =
            all.into_iter().filter(|generation| generation.state == State::Live).collect();
        *known = Some((Instant::now(), Arc::clone(&live)));
        Ok(live)
    }

    /// Has the next reader look again.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
