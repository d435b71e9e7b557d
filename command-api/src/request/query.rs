//! Query parameters.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};

use crate::problem::{Code, Problem, Result};

/// The parameters of one route. `T` denies unknown fields: a misspelt `version` must not answer with the latest.
#[derive(Clone, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Query(query)),
            Err(rejection) => {
                let text = rejection.body_text();
                let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::new(Code::QueryInvalid, detail))
            }
        }
    }
}

/// The parameters of a route that has none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoParameters {}

/// For `#[serde(deserialize_with = …)]`: a parameter that is read from its text, with the type's own message.
pub(crate) fn from_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
{
    String::deserialize(deserializer)?.parse().map(Some).map_err(D::Error::custom)
}

/// How many entries a page holds: 1 to 1000, 100 unless asked otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) u32);

impl Limit {
    /// The largest page.
    pub(crate) const MAX: u32 = 1000;
    /// The page of a request that says nothing.
    pub(crate) const DEFAULT: Limit = Limit(100);
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Limit, String> {
        let number = text.parse().ok().filter(|number| (1..=Limit::MAX).contains(number));
        number.map(Limit).ok_or_else(|| format!("expected a whole number from 1 to {}", Limit::MAX))
    }
}
