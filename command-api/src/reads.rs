//! The read models that requests read from.

mod own_writes;
pub(crate) mod standing;
pub(crate) mod waiting;

use std::time::Duration;

use aqueduct_contract::Names;
use aqueduct_views::{Error, Generation, ReadError, State, opensearch, postgres};
use axum::http::{HeaderValue, header};

use crate::problem::{Code, Problem, Result};

/// Seconds. A store that is down for longer is asked again as often.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Problems that a read of a view may answer with.
pub(crate) const PROBLEMS: [Code; 8] = [
    Code::QueryInvalid,
    Code::CursorInvalid,
    Code::TokenInvalid,
    Code::ViewUnknown,
    Code::DeadLettered,
    Code::NotYetVisible,
    Code::ReadModelUnavailable,
    Code::QueryTooSlow,
];

/// Where views are.
#[derive(Debug)]
pub struct Reads {
    /// Those in Postgres.
    pub tables: postgres::Reader,
    /// Those in OpenSearch.
    pub indexes: opensearch::Reader,
}

impl Reads {
    /// Connects when it is first used. A query may take as long as `timeout`.
    pub fn new(
        names: &Names,
        postgres: &postgres::Settings,
        opensearch: &opensearch::Settings,
        timeout: Duration,
    ) -> Result<Reads, Error> {
        Ok(Reads {
            tables: postgres::Reader::new(postgres, timeout)?,
            indexes: opensearch::Reader::new(opensearch, names, timeout)?,
        })
    }
}

/// The live generation of a view.
pub(crate) fn named<'a>(consumed: &'a [Generation], view: &str, store: &str) -> Result<&'a Generation> {
    let live = consumed.iter().filter(|generation| generation.state == State::Live);
    live.clone().find(|generation| generation.view() == view).ok_or_else(|| {
        let known: Vec<&str> = live.map(Generation::view).collect();
        let shown: String = view.chars().take(80).collect();
        let detail = format!("there is no view {shown:?} in {store}; there are {}", known.join(", "));
        Problem::new(Code::ViewUnknown, detail)
    })
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Problem {
        match error {
            ReadError::Refused(why) => Problem::new(Code::QueryInvalid, why),
            ReadError::TooSlow => Problem::new(
                Code::QueryTooSlow,
                "the query took longer than api.query_timeout: narrow it, by columns that have an index",
            ),
            ReadError::Unavailable(error) => {
                tracing::warn!(%error, "a read model is not available");
                Problem::new(
                    Code::ReadModelUnavailable,
                    "the store of this view cannot be read at the moment",
                )
                .header(header::RETRY_AFTER, RETRY_AFTER)
            }
        }
    }
}
