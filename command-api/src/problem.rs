//! What a client is told when something is wrong: RFC 9457 problem details with a stable code.
//!
//! A handler returns a [`Problem`]; as a response that is only a status, its headers and the problem itself as an
//! extension. The request's middleware ([`crate::request::context`]) writes the body, because it alone knows the
//! correlation id and the path of every request, whoever refused it. Detail that helps the operator and not the
//! client stays in the log.

mod code;
mod from;

use aqueduct_contract::CorrelationId;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub use code::Code;

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What a handler returns.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem of that code; `detail` says what is wrong with this very request.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), members: Vec::new(), headers: Vec::new() }
    }

    /// Adds an extension member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.members.push((name, value.into()));
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// The fault is ours: the cause goes to the log, the client gets the correlation id to ask with.
    pub fn internal(cause: &dyn std::fmt::Display) -> Problem {
        tracing::error!(error = %cause, "request failed");
        Problem::new(
            Code::Internal,
            "the request failed for a reason that is not its own; the log has it by the correlation id",
        )
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self, instance: &Uri, correlation_id: &CorrelationId) -> Value {
        let mut body = json!({
            "type": self.code.uri(),
            "title": self.code.title(),
            "status": self.code.status().as_u16(),
            "detail": self.detail,
            "code": self.code.as_str(),
            "instance": instance.path(),
            "correlationId": correlation_id,
        });
        if let Value::Object(object) = &mut body {
            object.extend(self.members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
        body
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.headers_mut().extend(self.headers.iter().cloned().map(|(name, value)| (Some(name), value)));
        response.extensions_mut().insert(self);
        response
    }
}
