//! The end of a generation: first it is not consumed any more, then it is gone.

use super::building::locked;
use super::{Registry, execute, in_name, note};
use crate::postgres::ddl;
use crate::swap::can_be_retired;
use crate::{Error, Generation, State};

impl Registry {
    /// Has workers leave a generation that was live. Its tables stay until [`drop_retired`](Registry::drop_retired). Does nothing
    /// the second time.
    pub async fn retire(&self, generation: &Generation) -> Result<Generation, Error> {
        let mut transaction = self.pool.begin().await?;
        let found = locked(&mut transaction, generation).await?;
        can_be_retired(&found)?;
        if found.state == State::Retired {
            return Ok(found);
        }
        sqlx::query(
            "UPDATE aqueduct_internal.views SET state = 'retired', changed_at = clock_timestamp() \
             WHERE view = $1 AND generation = $2",
        )
        .bind(found.view())
        .bind(i64::from(found.number))
        .execute(&mut *transaction)
        .await?;
        note(&mut transaction, &found, Some(found.state), State::Retired, "retired").await?;
        transaction.commit().await?;
        self.get(&found).await
    }

    /// Drops the tables of a retired generation, those that are there.
    pub async fn drop_retired(&self, generation: &Generation) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let found = locked(&mut transaction, generation).await?;
        if found.state != State::Retired {
            return Err(Error::state(&found, format!("is {}, not retired", found.state)));
        }
        for statement in ddl::drop_tables(&found).map_err(in_name(&found))? {
            execute(&mut transaction, statement).await?;
        }
        Ok(transaction.commit().await?)
    }
}
