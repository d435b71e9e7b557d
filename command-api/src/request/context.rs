//! What accompanies every request: correlation id, trace, caller; and what every answer gets: the correlation id, a
//! line in the log, its count in the metrics, and, where it is a problem, the body.
//!
//! `X-Correlation-Id` in is kept or, when it is not 1 to 128 visible ASCII characters, refused: a client whose id was
//! replaced would look for its request in vain. A `traceparent` that is not valid starts a new trace, as W3C Trace
//! Context asks.

use std::sync::Arc;
use std::time::Instant;

use aqueduct_commands::Origin;
use aqueduct_contract::{CorrelationId, Traceparent};
use axum::Json;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, info, info_span};

use crate::Api;
use crate::problem::{self, Code, Problem, Result};

/// Names a request in and out.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: &str = "traceparent";

/// Who asks, while there is no authentication. What authenticates requests will say it here, and nothing below changes.
const ANONYMOUS: &str = "anonymous";

/// The origin of the commands of one request.
#[derive(Clone, Debug)]
pub(crate) struct Context(pub(crate) Origin);

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Context> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Problem::internal(&"a route without the request context"))
    }
}

/// Wraps every route and fallback.
pub(crate) async fn layer(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (correlation_id, refused) = match correlation_id(request.headers()) {
        Ok(Some(given)) => (given, None),
        Ok(None) => (api.new_correlation_id(), None),
        Err(problem) => (api.new_correlation_id(), Some(problem)),
    };
    let traceparent = traceparent(request.headers()).or_else(|| api.new_trace());
    let trace = traceparent.as_ref().map(Traceparent::as_str);
    let span = info_span!("request", %correlation_id, traceparent = trace);
    let uri = request.uri().clone();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(Context(Origin {
        caller: ANONYMOUS.to_owned(),
        correlation_id: correlation_id.clone(),
        causation_id: None,
        traceparent,
    }));

    async move {
        let answered = match refused {
            Some(problem) => problem.into_response(),
            None => next.run(request).await,
        };
        let code = answered.extensions().get::<Problem>().map(Problem::code);
        let mut response = with_body(answered, &uri, &correlation_id);
        if let Ok(value) = HeaderValue::from_str(correlation_id.as_str()) {
            response.headers_mut().insert(CORRELATION_ID, value);
        }
        let took = started.elapsed();
        let status = response.status().as_u16();
        api.metrics.request(&route, &method, status, took);
        info!(
            %method,
            path = uri.path(),
            status,
            code = code.map(Code::as_str),
            milliseconds = took.as_secs_f64() * 1000.0,
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

/// Writes the body of a problem; any other response is left as it is.
fn with_body(mut response: Response, uri: &axum::http::Uri, correlation_id: &CorrelationId) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
    parts.headers.remove(header::CONTENT_LENGTH);
    (parts, Json(problem.to_json(uri, correlation_id)).into_response().into_body()).into_response()
}

fn correlation_id(headers: &HeaderMap) -> Result<Option<CorrelationId>> {
    let mut given = headers.get_all(CORRELATION_ID).iter();
    let refuse = |why: &str| {
        Problem::new(Code::HeaderInvalid, format!("X-Correlation-Id: {why}"))
            .with("header", CORRELATION_ID.as_str())
    };
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(refuse("it is given more than once")),
        (Some(value), None) => {
            let text = value
                .to_str()
                .map_err(|_| refuse("a correlation id is 1 to 128 visible ASCII characters"))?;
            text.parse().map(Some).map_err(refuse)
        }
    }
}

fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}
