//! Tenant, type and id from the path.

use aqueduct_contract::{CorrelationId, ItemId, ItemKey, NameError, Tenant, TypeName};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::problem::{Code, Problem, Result};

/// `/v1/{tenant}/{type}`.
#[derive(Clone, Debug)]
pub(crate) struct TypePath {
    pub(crate) tenant: Tenant,
    pub(crate) type_name: TypeName,
}

/// `/v1/{tenant}/{type}/{id}` and what is below it.
#[derive(Clone, Debug)]
pub(crate) struct ItemPath(pub(crate) ItemKey);

impl<S: Send + Sync> FromRequestParts<S> for TypePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<TypePath> {
        let (tenant, type_name) = two(parts, state).await?;
        Ok(TypePath {
            tenant: tenant.parse().map_err(refuse)?,
            type_name: type_name.parse().map_err(refuse)?,
        })
    }
}

/// `/v1/{tenant}/views/{view}` and `/v1/{tenant}/search/{view}`.
#[derive(Clone, Debug)]
pub(crate) struct ViewPath {
    pub(crate) tenant: Tenant,
    pub(crate) view: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ViewPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ViewPath> {
        let (tenant, view) = two(parts, state).await?;
        Ok(ViewPath { tenant: tenant.parse().map_err(refuse)?, view })
    }
}

/// `/v1/{tenant}/writes/{correlation-id}`.
#[derive(Clone, Debug)]
pub(crate) struct WritePath {
    pub(crate) tenant: Tenant,
    pub(crate) correlation_id: CorrelationId,
}

impl<S: Send + Sync> FromRequestParts<S> for WritePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<WritePath> {
        let (tenant, correlation_id) = two(parts, state).await?;
        let correlation_id =
            correlation_id.parse().map_err(|why: &str| Problem::new(Code::PathInvalid, why))?;
        Ok(WritePath { tenant: tenant.parse().map_err(refuse)?, correlation_id })
    }
}

/// `/v1/{tenant}/…`, where the rest is fixed.
#[derive(Clone, Debug)]
pub(crate) struct TenantPath(pub(crate) Tenant);

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<TenantPath> {
        let Path(tenant) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|error| not_text(&error))?;
        tenant.parse().map(TenantPath).map_err(refuse)
    }
}

async fn two<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<(String, String)> {
    let Path(two) = Path::from_request_parts(parts, state).await.map_err(|error| not_text(&error))?;
    Ok(two)
}

impl<S: Send + Sync> FromRequestParts<S> for ItemPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ItemPath> {
        let Path((tenant, type_name, id)) =
            Path::<(String, String, String)>::from_request_parts(parts, state)
                .await
                .map_err(|error| not_text(&error))?;
        let id: ItemId = id.parse().map_err(refuse)?;
        let key = ItemKey::new(tenant.parse().map_err(refuse)?, type_name.parse().map_err(refuse)?, id);
        key.map(ItemPath).map_err(refuse)
    }
}

/// A name that no key can hold.
pub(crate) fn refuse(error: NameError) -> Problem {
    Problem::new(Code::PathInvalid, error.to_string())
}

fn not_text(error: &PathRejection) -> Problem {
    Problem::new(Code::PathInvalid, error.body_text())
}
