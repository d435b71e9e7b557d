//! The table `aqueduct_internal.loads`.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::load::Load;
use crate::{Error, Generation};

/// The load of one generation's tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Loads {
    pool: PgPool,
    view: String,
    number: i32,
    owner: String,
    by: String,
}

type Found = (Json<Value>, Json<BTreeMap<String, Value>>, Option<String>, String, i64);

impl Loads {
    /// The load of `generation`, for a process that people know as `by`. Nothing is claimed yet.
    #[must_use]
    pub fn new(pool: PgPool, generation: &Generation, by: &str) -> Loads {
        Loads {
            pool,
            view: generation.view().to_owned(),
            // A registry holds no other numbers.
            number: i32::try_from(generation.number).unwrap_or(i32::MAX),
            owner: Uuid::new_v4().to_string(),
            by: by.to_owned(),
        }
    }

    /// Notes in the transaction of `connection` that a unit is done, and what is known of it. The load has to be this process's
    /// own until that is committed: [`Error::ClaimLost`] when it is not.
    pub async fn note(&self, connection: &mut PgConnection, unit: &str, known: &Value) -> Result<(), Error> {
        let noted = sqlx::query(
            "UPDATE aqueduct_internal.loads SET units = units || jsonb_build_object($4::text, $5::jsonb), beat = beat + 1 \
             WHERE view = $1 AND generation = $2 AND owner = $3",
        );
        let noted = noted.bind(&self.view).bind(self.number).bind(&self.owner).bind(unit).bind(known);
        own(noted.execute(connection).await?.rows_affected())
    }

    pub(crate) async fn look(&self) -> Result<Option<Load>, Error> {
        let found: Option<Found> = sqlx::query_as(
            "SELECT plan, units, owner, owned_by, beat FROM aqueduct_internal.loads WHERE view = $1 AND generation = $2",
        )
        .bind(&self.view)
        .bind(self.number)
        .fetch_optional(&self.pool)
        .await?;
        Ok(found.map(|(Json(plan), Json(units), owner, owned_by, beat)| Load {
            plan,
            units,
            owner,
            owned_by,
            beat,
        }))
    }

    pub(crate) async fn begin(&self, plan: &Value) -> Result<bool, Error> {
        let begun = sqlx::query(
            "INSERT INTO aqueduct_internal.loads (view, generation, plan, owner, owned_by) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT DO NOTHING",
        );
        let begun = begun.bind(&self.view).bind(self.number).bind(plan).bind(&self.owner).bind(&self.by);
        Ok(begun.execute(&self.pool).await?.rows_affected() == 1)
    }

    pub(crate) async fn take_from(&self, found: &Load) -> Result<bool, Error> {
        let taken = sqlx::query(
            "UPDATE aqueduct_internal.loads SET owner = $3, owned_by = $4, beat = beat + 1 \
             WHERE view = $1 AND generation = $2 AND beat = $5",
        );
        let taken =
            taken.bind(&self.view).bind(self.number).bind(&self.owner).bind(&self.by).bind(found.beat);
        Ok(taken.execute(&self.pool).await?.rows_affected() == 1)
    }

    pub(crate) async fn renew(&self) -> Result<(), Error> {
        let renewed = sqlx::query(
            "UPDATE aqueduct_internal.loads SET beat = beat + 1 WHERE view = $1 AND generation = $2 AND owner = $3",
        );
        let renewed = renewed.bind(&self.view).bind(self.number).bind(&self.owner);
        own(renewed.execute(&self.pool).await?.rows_affected())
    }

    pub(crate) async fn release(&self) -> Result<(), Error> {
        let released = sqlx::query(
            "UPDATE aqueduct_internal.loads SET owner = NULL, beat = beat + 1 \
             WHERE view = $1 AND generation = $2 AND owner = $3",
        );
        released.bind(&self.view).bind(self.number).bind(&self.owner).execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let forgotten =
            sqlx::query("DELETE FROM aqueduct_internal.loads WHERE view = $1 AND generation = $2");
        forgotten.bind(&self.view).bind(self.number).execute(&self.pool).await?;
        Ok(())
    }
}

fn own(rows: u64) -> Result<(), Error> {
    if rows == 1 { Ok(()) } else { Err(Error::ClaimLost) }
}
