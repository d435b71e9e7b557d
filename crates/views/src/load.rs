//! The load of a generation that is being built: who works on it, and how far it has come.
//!
//! One process at a time works on a load. It holds a claim and shows that it lives by a beat that changes; whoever finds a
//! claim watches whether it does, so that no two clocks are compared. A process that was believed dead and wakes up finds its claim
//! gone at the next beat and at the next unit, which in Postgres is noted in the transaction that writes it.
//!
//! What a plan and what is known of a unit look like is the loader's business: here they are JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{Error, opensearch, postgres};

/// How often a claim is renewed.
pub const BEAT: Duration = Duration::from_secs(2);
/// How long a claim without a beat is believed.
const PATIENCE: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(250);

/// A load as it is noted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Load {
    /// Where it was to begin and to end, noted before it began.
    pub plan: Value,
    /// What is done of it, by name, with what is known of each.
    pub units: BTreeMap<String, Value>,
    /// The process that works on it.
    pub(crate) owner: Option<String>,
    /// The same for people.
    pub(crate) owned_by: String,
    /// Changes while it is worked on.
    pub(crate) beat: i64,
}

/// The load of one generation, as this process sees it.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Of a table.
    Postgres(postgres::Loads),
    /// Of an index.
    OpenSearch(Box<opensearch::Loads>),
}

impl Claim {
    /// Takes over the load, or begins it with `plan`. Waits for a claim whose process seems to be dead; one that is alive is
    /// [`Error::Claimed`].
    pub async fn take(&self, plan: &Value) -> Result<Load, Error> {
        let mut watched: Option<(i64, Instant)> = None;
        loop {
            let Some(found) = self.look().await? else {
                if self.begin(plan).await? {
                    return Ok(Load::begun(plan));
                }
                continue;
            };
            if found.owner.is_none() {
                if self.take_from(&found).await? {
                    return Ok(found);
                }
                continue;
            }
            match watched {
                Some((beat, _)) if beat != found.beat => return Err(Error::Claimed { by: found.owned_by }),
                Some((_, since)) if since.elapsed() > PATIENCE => {
                    if self.take_from(&found).await? {
                        return Ok(found);
                    }
                }
                Some(_) => {}
                None => watched = Some((found.beat, Instant::now())),
            }
            sleep(LOOK).await;
        }
    }

    /// What is noted, if anything is.
    pub async fn look(&self) -> Result<Option<Load>, Error> {
        match self {
            Claim::Postgres(loads) => loads.look().await,
            Claim::OpenSearch(loads) => loads.look().await,
        }
    }

    async fn begin(&self, plan: &Value) -> Result<bool, Error> {
        match self {
            Claim::Postgres(loads) => loads.begin(plan).await,
            Claim::OpenSearch(loads) => loads.begin(plan).await,
        }
    }

    async fn take_from(&self, found: &Load) -> Result<bool, Error> {
        match self {
            Claim::Postgres(loads) => loads.take_from(found).await,
            Claim::OpenSearch(loads) => loads.take_from(found).await,
        }
    }

    /// Shows that this process lives. [`Error::ClaimLost`] when the load is another's by now, or gone.
    pub async fn renew(&self) -> Result<(), Error> {
        match self {
            Claim::Postgres(loads) => loads.renew().await,
            Claim::OpenSearch(loads) => loads.renew().await,
        }
    }

    /// Lets another process have it at once.
    pub async fn release(&self) -> Result<(), Error> {
        match self {
            Claim::Postgres(loads) => loads.release().await,
            Claim::OpenSearch(loads) => loads.release().await,
        }
    }

    /// Forgets the load.
    pub async fn forget(&self) -> Result<(), Error> {
        match self {
            Claim::Postgres(loads) => loads.forget().await,
            Claim::OpenSearch(loads) => loads.forget().await,
        }
    }
}

impl Load {
    pub(crate) fn begun(plan: &Value) -> Load {
        Load { plan: plan.clone(), units: BTreeMap::new(), owner: None, owned_by: String::new(), beat: 0 }
    }
}
