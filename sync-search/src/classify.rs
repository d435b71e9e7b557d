//! What each answer of OpenSearch asks for: the one place where a status becomes a reaction.
//!
//! Only a refusal of the document itself is its item's fault. What concerns the index or the cluster concerns all
//! documents alike: none is set aside for it, the view waits and is tried again for as long as it takes.
//!
//! | answer | is | reaction |
//! | --- | --- | --- |
//! | no answer | down, timeout | wait, again |
//! | request 429 | too many requests | slow down, again |
//! | request 413 | larger than is taken | in halves, and smaller from now on; a single document is refused |
//! | request, any other than 2xx | down, not allowed, not ours | wait, again |
//! | item 2xx | written | applied |
//! | item 409 | the index holds this version or a later one | stale |
//! | item 429, 5xx | no room, shard away | that item alone, again |
//! | item 400 | the mapping does not take the document | the document is refused |
//! | item 400 about the index; 403, 404 | closed, blocked, index or alias gone | say so, wait, again |

use aqueduct_engine::{Outcome, Reason, SinkError};
use serde::Deserialize;
use serde_json::Value;

/// The code of a document that OpenSearch refuses for its contents.
pub const DOCUMENT_REFUSED: &str = "DocumentRefused";
/// The code of a document that OpenSearch has no room for just now.
pub const INDEX_BUSY: &str = "IndexBusy";

/// An answer that no document is to blame for.
#[derive(Debug, thiserror::Error)]
#[error("OpenSearch answered {status}: {reason}; events wait until the index takes them again")]
pub struct Blocked {
    /// The HTTP status, of the request or of an item.
    pub status: u64,
    /// What OpenSearch says about it.
    pub reason: String,
}

/// What OpenSearch says of a request, as far as [`bulk::QUERY`](crate::bulk::QUERY) asks for it.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// In the order of the documents.
    pub items: Vec<AnsweredItem>,
}

/// What it says of one document.
#[derive(Debug, Deserialize)]
pub struct AnsweredItem {
    index: Answered,
}

#[derive(Debug, Deserialize)]
struct Answered {
    #[serde(default)]
    status: u64,
    #[serde(default)]
    error: Value,
}

/// The outcome of one document; an error when it tells of more than that document.
pub fn item(answer: &AnsweredItem) -> Result<Outcome, Blocked> {
    let Answered { status, error } = &answer.index;
    let kind = error["type"].as_str().unwrap_or_default();
    let reason = reason(error);
    let status = *status;
    match status {
        200..300 => Ok(Outcome::Applied),
        409 => Ok(Outcome::Stale),
        429 | 500.. => Ok(Outcome::Throttled(Reason::new(INDEX_BUSY, reason))),
        400 if !concerns_index(kind, &reason) => Ok(Outcome::Poison(Reason::new(DOCUMENT_REFUSED, reason))),
        _ => Err(Blocked { status, reason }),
    }
}

/// What a request that was not accepted as a whole asks for.
#[must_use]
pub fn request(status: u16, answer: &str) -> SinkError {
    if status == 429 {
        return SinkError::Saturated;
    }
    let reason = answer.chars().take(500).collect();
    SinkError::Unavailable(Box::new(Blocked { status: status.into(), reason }))
}

/// What becomes of a document that is larger than OpenSearch, or a proxy before it, takes in a request of its own.
#[must_use]
pub fn too_large(bytes: usize) -> Outcome {
    Outcome::Poison(Reason::new(
        DOCUMENT_REFUSED,
        format!("{bytes} bytes are more than OpenSearch takes in one request (`http.max_content_length`)"),
    ))
}

/// Some answers of 400 speak of the index and not of the document.
fn concerns_index(kind: &str, reason: &str) -> bool {
    kind == "index_closed_exception" || reason.contains("no write index is defined for alias")
}

/// The reason with its cause, which is where OpenSearch names the value.
fn reason(error: &Value) -> String {
    let text = |part: &Value| part["reason"].as_str().unwrap_or_default().to_owned();
    match &error["caused_by"] {
        Value::Null => text(error),
        cause => format!("{}: {}", text(error), text(cause)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(answer: Value) -> Result<Outcome, Blocked> {
        super::item(&serde_json::from_value(answer).unwrap())
    }

    fn answer(status: u64, kind: &str, reason: &str) -> Value {
        json!({ "index": { "status": status, "error": { "type": kind, "reason": reason } } })
    }

    #[test]
    fn an_item_is_judged_alone() {
        assert_eq!(item(json!({ "index": { "status": 201 } })).unwrap(), Outcome::Applied);
        assert_eq!(item(answer(409, "version_conflict_engine_exception", "v")).unwrap(), Outcome::Stale);
        for status in [429, 500, 503] {
            assert!(matches!(item(answer(status, "x", "busy")).unwrap(), Outcome::Throttled(_)), "{status}");
        }
        let refused = json!({ "index": { "status": 400, "error": {
            "type": "mapper_parsing_exception",
            "reason": "failed to parse field [document.n]",
            "caused_by": { "type": "x", "reason": "For input string: \"abc\"" },
        } } });
        let reason =
            Reason::new(DOCUMENT_REFUSED, "failed to parse field [document.n]: For input string: \"abc\"");
        assert_eq!(item(refused).unwrap(), Outcome::Poison(reason));
    }

    #[test]
    fn no_document_is_blamed_for_its_index() {
        for (status, kind, reason) in [
            (
                404,
                "index_not_found_exception",
                "require_alias request flag is [true] and [x] is not an alias",
            ),
            (
                403,
                "cluster_block_exception",
                "index [orders-g1] blocked by: [FORBIDDEN/8/index write (api)];",
            ),
            (400, "index_closed_exception", "closed"),
            (400, "illegal_argument_exception", "no write index is defined for alias [orders-g1-write]"),
        ] {
            assert!(item(answer(status, kind, reason)).is_err(), "{kind}");
        }
        assert!(item(json!({ "index": {} })).is_err(), "an answer that says nothing is no success");
    }

    #[test]
    fn a_request_that_failed_blames_no_document() {
        assert!(matches!(request(429, ""), SinkError::Saturated));
        for status in [400, 401, 403, 404, 500, 502, 503] {
            assert!(matches!(request(status, "no"), SinkError::Unavailable(_)), "{status}");
        }
        assert!(matches!(request(200, "<html>"), SinkError::Unavailable(_)), "a proxy's page is no success");
    }
}
