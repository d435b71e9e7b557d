//! Names of indexes and aliases.

use aqueduct_contract::Names;

use crate::Generation;

/// Makes names under the index prefix of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexNames {
    prefix: String,
}

impl IndexNames {
    /// Names under `prefix`, which may be empty.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> IndexNames {
        IndexNames { prefix: prefix.into() }
    }

    /// The physical index: `orders-g1`.
    #[must_use]
    pub fn index(&self, generation: &Generation) -> String {
        format!("{}{}-g{}", self.prefix, generation.view(), generation.number)
    }

    /// The alias that writes go through: `orders-g1-write`. Writes require it to be an alias, so that no late write
    /// makes a dropped index again.
    #[must_use]
    pub fn write_alias(&self, generation: &Generation) -> String {
        format!("{}-write", self.index(generation))
    }

    /// The alias that readers use, without deleted documents: `orders`.
    #[must_use]
    pub fn public_alias(&self, view: &str) -> String {
        format!("{}{view}", self.prefix)
    }

    /// The index of the registry: `aqueduct-views`.
    #[must_use]
    pub fn registry(&self, names: &Names) -> String {
        format!("{}{}", self.prefix, names.table("views"))
    }

    /// The index of the loads: `aqueduct-loads`.
    #[must_use]
    pub fn loads(&self, names: &Names) -> String {
        format!("{}{}", self.prefix, names.table("loads"))
    }
}
