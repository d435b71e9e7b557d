//! JSON bodies.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem, Result};
use crate::request::json;

/// Media types of a plain body.
const JSON: &[&str] = &["application/json"];
/// Media types of a patch.
pub(crate) const PATCH: &[&str] = &["application/merge-patch+json", "application/json"];

/// How many bytes a body may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A body that is JSON of the shape `T`.
#[derive(Clone, Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// A body that is a merge patch of the shape `T`.
#[derive(Clone, Debug)]
pub(crate) struct PatchBody<T>(pub(crate) T);

/// A body that may be left out.
#[derive(Clone, Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S, T: DeserializeOwned> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>> {
        require_media_type(request.headers(), JSON)?;
        shape(&read(request, state).await?).map(Body)
    }
}

impl<S, T: DeserializeOwned> FromRequest<S> for PatchBody<T>
where
    S: Send + Sync,
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<PatchBody<T>> {
        require_media_type(request.headers(), PATCH)?;
        shape(&read(request, state).await?).map(PatchBody)
    }
}

impl<S, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T>
where
    S: Send + Sync,
    BodyLimit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<OptionalBody<T>> {
        let headers = request.headers().clone();
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(OptionalBody(T::default()));
        }
        require_media_type(&headers, JSON)?;
        shape(&bytes).map(OptionalBody)
    }
}

fn require_media_type(headers: &HeaderMap, supported: &[&str]) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if supported.iter().any(|media_type| media_type.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    let detail = match essence {
        "" => "Content-Type is missing".to_owned(),
        other => format!("Content-Type {other:?} is not read here"),
    };
    Err(Problem::new(Code::MediaTypeUnsupported, detail).with("supported", supported))
}

async fn read<S>(request: Request, state: &S) -> Result<Bytes>
where
    S: Send + Sync,
    BodyLimit: FromRef<S>,
{
    // The router's DefaultBodyLimit enforces the limit; here it is only told.
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            let BodyLimit(limit) = BodyLimit::from_ref(state);
            Problem::new(Code::BodyTooLarge, format!("the limit is {limit} bytes")).with("limit", limit)
        }
        other => Problem::new(Code::BodyIncomplete, other.body_text()),
    })
}

fn shape<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let value = json::parse(bytes)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer: String = error.path().iter().map(|segment| format!("/{segment}")).collect();
        Problem::new(Code::BodyInvalid, error.inner().to_string()).with("pointer", pointer)
    })
}
