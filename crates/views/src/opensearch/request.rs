//! One request to OpenSearch and its answer as JSON.

use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::request::JsonBody;
use serde_json::Value;

use crate::Error;

/// Status and body of an answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    request: String,
}

/// Sends a request. Any answer is one, whatever its status.
pub(super) async fn send(
    client: &OpenSearch,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, Error> {
    let request = format!("{method:?} {path}");
    let response =
        client.send::<_, ()>(method, path, HeaderMap::new(), None, body.map(JsonBody::new), None).await?;
    let status = response.status_code().as_u16();
    // A proxy on the way may answer in something else than JSON.
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body, request })
}

impl Answer {
    /// The body of an answer of 2xx.
    pub(super) fn accepted(self) -> Result<Value, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        if self.status == 401 {
            return Err(Error::OpenSearchDenied(self.request));
        }
        let answer = self.body.to_string().chars().take(500).collect();
        Err(Error::Refused { status: self.status, request: self.request, answer })
    }

    /// Whether it was refused for this error type, such as `resource_already_exists_exception`.
    pub(super) fn is_error(&self, of_type: &str) -> bool {
        self.body["error"]["type"] == of_type
    }
}
