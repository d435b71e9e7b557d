//! Cursors of reads: where the next page goes on, and of which query.
//!
//! Opaque to clients: base64url of JSON. A cursor is no secret and grants nothing, since the tenant is always that of the
//! path. It is bound to its query, because in another order or under another filter it would silently skip rows.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem, Result};

/// What a query is, as far as a cursor depends on it: tenant, view, filter and order, but not the size of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<T> {
    query: String,
    after: T,
}

impl Query {
    /// The query that is `parts`, in this order.
    pub(crate) fn of(parts: &impl Serialize) -> Query {
        let text = serde_json::json!(parts).to_string();
        Query(URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..12]))
    }

    /// A cursor that goes on behind `after`.
    pub(crate) fn cursor(&self, after: &impl Serialize) -> String {
        let wire = serde_json::json!({ "query": self.0, "after": after });
        URL_SAFE_NO_PAD.encode(wire.to_string())
    }

    /// Where a cursor of this query goes on.
    pub(crate) fn read<T: DeserializeOwned>(&self, cursor: &str) -> Result<T> {
        let wire: Option<Wire<T>> =
            URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let invalid = |why: &str| Err(Problem::new(Code::CursorInvalid, why));
        match wire {
            None => invalid("cursor is none: send back nextCursor of the page before, unchanged"),
            Some(wire) if wire.query != self.0 => invalid(
                "cursor is of another query: tenant, view, filter and sort must be those it was returned for",
            ),
            Some(wire) => Ok(wire.after),
        }
    }
}
