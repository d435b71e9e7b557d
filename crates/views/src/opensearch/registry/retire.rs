//! The end of a generation: first it is not consumed any more, then it is gone.

use super::Registry;
use crate::swap::can_be_retired;
use crate::{Error, Generation, State};

impl Registry {
    /// Has workers leave a generation that was live. Its index stays until [`drop_retired`](Registry::drop_retired). Does nothing
    /// the second time.
    pub async fn retire(&self, generation: &Generation) -> Result<Generation, Error> {
        let mut entry = self.entry(generation).await?;
        can_be_retired(&entry.generation)?;
        entry.is_free()?;
        if entry.generation.state == State::Retired {
            return Ok(entry.generation);
        }
        entry.change(State::Retired, "retired")?;
        self.write(entry).await
    }

    /// Drops the index of a retired generation with its aliases, if it is there.
    pub async fn drop_retired(&self, generation: &Generation) -> Result<(), Error> {
        let found = self.entry(generation).await?.generation;
        if found.state != State::Retired {
            return Err(Error::state(&found, format!("is {}, not retired", found.state)));
        }
        self.drop_index(&found).await
    }
}
