//! What the stores must hold, according to the API's own answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Type and id; the tenant is one per drive.
pub(crate) type Identity = (String, String);

/// One item as it was last answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) version: u64,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) deleted: bool,
}

/// Every item that was driven.
pub(crate) type Expectation = BTreeMap<Identity, Expected>;

/// One place where a store holds something else than what was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) store: &'static str,
    pub(crate) item: Identity,
    pub(crate) what: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (type_name, id) = &self.item;
        write!(f, "{}: {type_name} {id}: {}", self.store, self.what)
    }
}

/// What readers must see: the items that were not deleted.
pub(crate) fn living(expected: &Expectation) -> Expectation {
    expected
        .iter()
        .filter(|(_, item)| !item.deleted)
        .map(|(identity, item)| (identity.clone(), item.clone()))
        .collect()
}

/// Compares item by item: what is missing, what is too much, and what `differs` says of the rest.
pub(crate) fn compare_all<Found>(
    store: &'static str,
    expected: &Expectation,
    found: &BTreeMap<Identity, Found>,
    differs: impl Fn(&Identity, &Expected, &Found) -> Option<String>,
) -> Vec<Difference> {
    let difference = |item: &Identity, what: String| Difference { store, item: item.clone(), what };
    let expected_ones = expected.iter().filter_map(|(identity, expected)| match found.get(identity) {
        None => Some(difference(identity, format!("missing, expected version {}", expected.version))),
        Some(found) => differs(identity, expected, found).map(|what| difference(identity, what)),
    });
    let too_much = found.keys().filter(|identity| !expected.contains_key(*identity));
    expected_ones
        .chain(too_much.map(|identity| difference(identity, "should not be there".to_owned())))
        .collect()
}
