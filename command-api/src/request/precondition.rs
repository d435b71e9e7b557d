//! `If-Match` and `If-None-Match` (RFC 9110, section 13.1) over ETags that are versions: `"3"`.

use aqueduct_commands::Expected;
use aqueduct_contract::Version;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{Code, Problem, Result};

/// Which version a write expects, and how the client is told that it is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Precondition {
    pub(crate) expected: Expected,
    /// 412 where `If-Match` said it, 409 where the body did.
    pub(crate) refusal: Code,
}

impl Default for Precondition {
    fn default() -> Precondition {
        Precondition { expected: Expected::Any, refusal: Code::VersionConflict }
    }
}

impl Precondition {
    /// Reads it from `If-Match` or from the body's `version`; both at once are refused, as it would be unclear which
    /// answer the client understands.
    pub(crate) fn of(headers: &HeaderMap, version: Option<Version>) -> Result<Precondition> {
        match (if_match(headers)?, version) {
            (None, None) => Ok(Precondition::default()),
            (None, Some(version)) => {
                Ok(Precondition { expected: Expected::OneOf(vec![version]), ..Precondition::default() })
            }
            (Some(Tags::Any), None) => {
                Ok(Precondition { expected: Expected::Any, refusal: Code::PreconditionFailed })
            }
            (Some(Tags::Versions(versions)), None) => {
                Ok(Precondition { expected: Expected::OneOf(versions), refusal: Code::PreconditionFailed })
            }
            (Some(_), Some(_)) => {
                Err(Problem::new(Code::VersionTwice, "give the expected version in If-Match or in the body"))
            }
        }
    }
}

/// What a condition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`: any version there is.
    Any,
    /// These versions. An ETag that no version could have is passed over: it matches nothing.
    Versions(Vec<Version>),
}

impl Tags {
    /// Whether the condition names `version`.
    pub(crate) fn contains(&self, version: Version) -> bool {
        match self {
            Tags::Any => true,
            Tags::Versions(versions) => versions.contains(&version),
        }
    }
}

/// The ETag of a version.
pub(crate) fn etag(version: Version) -> HeaderValue {
    // Digits in quotes are always a header value.
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Reads `If-Match`. Weak ETags are refused: the comparison is a strong one, and they could never match.
fn if_match(headers: &HeaderMap) -> Result<Option<Tags>> {
    let tags = read(headers, &header::IF_MATCH)?;
    if tags.as_ref().is_some_and(|(_, weak)| *weak) {
        return Err(invalid(&header::IF_MATCH, "a weak ETag (W/\"…\") never matches; send \"3\""));
    }
    Ok(tags.map(|(tags, _)| tags))
}

/// Reads `If-None-Match`, where weak and strong compare alike.
pub(crate) fn if_none_match(headers: &HeaderMap) -> Result<Option<Tags>> {
    Ok(read(headers, &header::IF_NONE_MATCH)?.map(|(tags, _)| tags))
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Option<(Tags, bool)>> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let mut versions = Vec::new();
    let mut weak = false;
    for line in &lines {
        let text = line.to_str().map_err(|_| invalid(name, "it is not ASCII"))?.trim();
        if text == "*" && lines.len() == 1 {
            return Ok(Some((Tags::Any, false)));
        }
        // A comma inside an ETag cannot be one of ours; the halves fail to parse, as they should.
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = tag.strip_prefix("W/").inspect(|_| weak = true).unwrap_or(tag);
            let opaque = strong
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .filter(|opaque| !opaque.contains('"'))
                .ok_or_else(|| invalid(name, "expected *, or ETags in double quotes such as \"3\""))?;
            versions.extend(opaque.parse::<Version>().ok());
        }
    }
    Ok(Some((Tags::Versions(versions), weak)))
}

fn invalid(name: &HeaderName, why: &str) -> Problem {
    Problem::new(Code::HeaderInvalid, format!("{name}: {why}")).with("header", name.as_str())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Tags, etag, if_match, if_none_match};

    fn headers(name: header::HeaderName, lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect()
    }

    fn versions(numbers: &[u64]) -> Option<Tags> {
        Some(Tags::Versions(numbers.iter().map(|number| (*number).try_into().unwrap()).collect()))
    }

    #[test]
    fn if_match_reads_one_tag_lists_and_any() {
        let read = |lines: &[&str]| if_match(&headers(header::IF_MATCH, lines)).unwrap();
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["*"]), Some(Tags::Any));
        assert_eq!(read(&["\"3\""]), versions(&[3]));
        assert_eq!(read(&["\"3\", \"4\"", " \"5\""]), versions(&[3, 4, 5]));
        assert_eq!(read(&["\"0\", \"x\", \"03\", \"99999999999999999999\""]), versions(&[]));
    }

    #[test]
    fn if_match_refuses_weak_and_malformed_tags() {
        for line in ["W/\"3\"", "3", "\"3", "\"3\"4\"", "*, \"3\""] {
            assert!(if_match(&headers(header::IF_MATCH, &[line])).is_err(), "{line}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly_and_reads_what_etag_writes() {
        let version = 7_u64.try_into().unwrap();
        for line in [etag(version).to_str().unwrap(), "W/\"7\""] {
            let tags = if_none_match(&headers(header::IF_NONE_MATCH, &[line])).unwrap().unwrap();
            assert!(tags.contains(version), "{line}");
        }
    }
}
