//! The version of an item: 1, 2, 3 … without gaps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One version of one item. Between 1 and 2^53 − 1, so that it is exact in JSON, Postgres (`bigint`) and OpenSearch
/// (`long`) alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version(u64);

/// A number that cannot be a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a version: versions are whole numbers from 1 to 9007199254740991")]
pub struct VersionError(String);

impl Version {
    /// The version that creates an item.
    pub const FIRST: Version = Version(1);
    const MAX: u64 = (1 << 53) - 1;

    /// The version after this one. The last one is its own: nobody gets there by writing, and a number beyond it could
    /// be stored but not read back.
    #[must_use]
    pub fn next(self) -> Version {
        Version((self.0 + 1).min(Version::MAX))
    }

    /// The version before this one; `None` for the first.
    #[must_use]
    pub fn previous(self) -> Option<Version> {
        (self.0 > 1).then(|| Version(self.0 - 1))
    }

    /// The number itself.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as the signed integer that Postgres and OpenSearch store.
    #[must_use]
    pub fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }
}

impl TryFrom<u64> for Version {
    type Error = VersionError;

    fn try_from(number: u64) -> Result<Version, VersionError> {
        if (1..=Version::MAX).contains(&number) {
            Ok(Version(number))
        } else {
            Err(VersionError(number.to_string()))
        }
    }
}

impl TryFrom<i64> for Version {
    type Error = VersionError;

    fn try_from(number: i64) -> Result<Version, VersionError> {
        u64::try_from(number).map_err(|_| VersionError(number.to_string()))?.try_into()
    }
}

impl std::str::FromStr for Version {
    type Err = VersionError;

    /// Reads what `Display` writes and no other spelling: `+1` and `01` are not versions.
    fn from_str(text: &str) -> Result<Version, VersionError> {
        let refused = || VersionError(text.chars().take(40).collect());
        let number: u64 = text.parse().map_err(|_| refused())?;
        if text.starts_with(['+', '0']) { Err(refused()) } else { number.try_into() }
    }
}

impl From<Version> for u64 {
    fn from(version: Version) -> u64 {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
