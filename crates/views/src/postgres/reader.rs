//! Reading the views of a database.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::Tenant;
use sqlx::{AssertSqlSafe, PgPool};

use super::quote::identifier;
use super::select::{Page, Select, classify};
use super::{Registry, Settings, ddl};
use crate::live::Live;
use crate::{Error, Generation, ReadError};

/// The views of one database, for readers. Nothing can be written through it.
#[derive(Debug)]
pub struct Reader {
    pool: PgPool,
    registry: Registry,
    live: Live,
}

impl Reader {
    /// Connects when it is first used. A statement may take as long as `timeout`.
    pub fn new(settings: &Settings, timeout: Duration) -> Result<Reader, Error> {
        let pool = settings.connect_lazy_read_only(timeout)?;
        Ok(Reader { registry: Registry::new(pool.clone()), pool, live: Live::default() })
    }

    /// The generations that are kept in step, the live ones among them.
    pub async fn consumed(&self) -> Result<Arc<[Generation]>, ReadError> {
        Ok(self.live.get(|| self.registry.generations()).await?)
    }

    /// Whether readers of the public view see this generation, asked of the database itself; when not, the next look at the
    /// generations is a new one.
    pub async fn is_live(&self, generation: &Generation) -> Result<bool, ReadError> {
        let live = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM aqueduct_internal.views WHERE view = $1 AND generation = $2 AND state = 'live')",
        );
        let live = live.bind(generation.view()).bind(i64::from(generation.number));
        let live: bool = live.fetch_one(&self.pool).await.map_err(classify)?;
        if !live {
            self.live.forget();
        }
        Ok(live)
    }

    /// A page of `tenant`'s rows.
    pub async fn select(&self, select: &Select, tenant: &Tenant) -> Result<Page, ReadError> {
        let page = select.fetch(&self.pool, tenant).await;
        if matches!(page, Err(ReadError::Unavailable(_))) {
            // Perhaps a swap has brought other columns.
            self.live.forget();
        }
        page
    }

    /// The versions at which the table of `generation` has these items of `tenant`; of a deleted one, too.
    pub async fn versions(
        &self,
        generation: &Generation,
        tenant: &Tenant,
        ids: &[&str],
    ) -> Result<Vec<(String, u64)>, ReadError> {
        let named = identifier(&ddl::table_name(generation));
        let table = named.map_err(|source| Error::Name { view: generation.view().to_owned(), source })?;
        let sql = format!("SELECT id, item_version FROM {table} WHERE tenant = $1 AND id = ANY ($2)");
        let query = sqlx::query_as(AssertSqlSafe(sql)).bind(tenant.as_str()).bind(ids);
        let found: Vec<(String, i64)> = query.fetch_all(&self.pool).await.map_err(classify)?;
        // A table has no version below 1.
        Ok(found.into_iter().map(|(id, version)| (id, version.unsigned_abs())).collect())
    }
}
