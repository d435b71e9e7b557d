//! How fresh a read has to be: `?token=…`, what a write returned, and `Prefer: wait=N` (RFC 7240), the seconds to wait for it.
//! The same preference has a write wait until read models hold it.

use std::time::Duration;

use aqueduct_contract::{Tenant, Token};
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::problem::{Code, Problem, Result};

const PREFER: &str = "prefer";
/// Longer waits are cut to this, so that a stopping process has answered before its deadline.
const LONGEST: Duration = Duration::from_secs(20);

/// At least this version, within this time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AtLeast {
    pub(crate) token: Option<Token>,
    pub(crate) wait: Duration,
}

impl AtLeast {
    /// Reads it. A token of another tenant is none of this one's.
    pub(crate) fn read(tenant: &Tenant, token: Option<&str>, headers: &HeaderMap) -> Result<AtLeast> {
        let invalid = |why: String| Problem::new(Code::TokenInvalid, why);
        let token = token.map(Token::decode).transpose().map_err(|error| invalid(error.to_string()))?;
        if token.as_ref().is_some_and(|token| token.key.tenant() != tenant) {
            return Err(invalid("the token is of another tenant".to_owned()));
        }
        Ok(AtLeast { token, wait: wait(headers)?.unwrap_or_default() })
    }
}

/// How long the client of a write prefers to wait for its read models, if it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Option<Duration>);

impl<S: Sync> FromRequestParts<S> for Wait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Wait> {
        wait(&parts.headers).map(Wait)
    }
}

/// The preference, and none for other preferences, which may be ignored.
fn wait(headers: &HeaderMap) -> Result<Option<Duration>> {
    for line in headers.get_all(PREFER) {
        for preference in line.to_str().unwrap_or_default().split(',') {
            let (name, value) =
                preference.split(';').next().unwrap_or_default().split_once('=').unwrap_or_default();
            if name.trim().eq_ignore_ascii_case("wait") {
                let seconds: Result<u64, _> = value.trim().trim_matches('"').parse();
                let seconds = seconds.map_err(|_| {
                    Problem::new(Code::HeaderInvalid, "Prefer: wait is a whole number of seconds")
                        .with("header", PREFER)
                })?;
                return Ok(Some(LONGEST.min(Duration::from_secs(seconds))));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(line: &str) -> Result<Option<Duration>> {
        wait(&HeaderMap::from_iter([(PREFER.parse().unwrap(), HeaderValue::from_str(line).unwrap())]))
    }

    #[test]
    fn the_wait_is_read_among_other_preferences() {
        for (line, seconds) in [
            ("wait=5", Some(5)),
            ("Wait = 3", Some(3)),
            ("respond-async, wait=\"2\"; x=y", Some(2)),
            ("wait=0", Some(0)),
            ("return=minimal", None),
            ("wait=100000", Some(20)),
            ("", None),
        ] {
            assert_eq!(read(line).unwrap(), seconds.map(Duration::from_secs), "{line}");
        }
        for line in ["wait=soon", "wait=-1", "wait=1.5", "wait="] {
            assert_eq!(read(line).unwrap_err().code(), Code::HeaderInvalid, "{line}");
        }
    }
}
