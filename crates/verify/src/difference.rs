//! What verify finds.

use aqueduct_contract::{ItemKey, Version};
use serde::Serialize;

/// One item in one read model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The read model: `data`, `postgres orders.g1`, `opensearch orders.g1`.
    pub read_model: String,
    /// The item's tenant.
    pub tenant: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its id.
    pub id: String,
}

/// One item that a read model does not hold as the event store says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which, and where.
    #[serde(flatten)]
    pub entry: Entry,
    /// What is wrong.
    #[serde(flatten)]
    pub kind: Kind,
}

/// One item of which a read model holds what stood before its latest version, because that is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLettered {
    /// Which, and where.
    #[serde(flatten)]
    pub entry: Entry,
    /// The latest version.
    pub version: Version,
    /// The letter's stable code.
    pub code: String,
    /// The letter's message, for people.
    pub message: String,
}

/// How an entry differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "camelCase")]
pub enum Kind {
    /// The event store has the item, the read model does not.
    Missing {
        /// Its latest version.
        expected: Version,
    },
    /// The read model has an item that was never written.
    Extra,
    /// The read model stands at another version.
    Version {
        /// The latest in the event store.
        expected: Version,
        /// The one in the read model.
        found: i64,
    },
    /// The version is right, the content is not.
    Value {
        /// Columns, fields or attributes that differ.
        fields: Vec<String>,
    },
    /// The latest version cannot be mapped, and no letter says so.
    NotMappable {
        /// Why.
        reason: String,
    },
}

impl Kind {
    /// As metrics call them.
    pub(super) const NAMES: [&str; 5] = ["missing", "extra", "version", "value", "not_mappable"];

    /// What metrics call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Missing { .. } => "missing",
            Kind::Extra => "extra",
            Kind::Version { .. } => "version",
            Kind::Value { .. } => "value",
            Kind::NotMappable { .. } => "not_mappable",
        }
    }
}

impl Entry {
    /// An item of a known key.
    pub(super) fn of(read_model: &str, key: &ItemKey) -> Entry {
        Entry {
            read_model: read_model.to_owned(),
            tenant: key.tenant().to_string(),
            type_name: key.type_name().to_string(),
            id: key.id().to_string(),
        }
    }
}

impl Entry {
    /// The item's key; `None` of an entry that says what no item is called.
    #[must_use]
    pub fn key(&self) -> Option<ItemKey> {
        let (tenant, type_name) = (self.tenant.parse().ok()?, self.type_name.parse().ok()?);
        ItemKey::new(tenant, type_name, self.id.parse().ok()?).ok()
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Entry { read_model, tenant, type_name, id } = self;
        write!(f, "{read_model}: {tenant} {type_name} {id}")
    }
}

impl std::fmt::Display for DeadLettered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DeadLettered { entry, version, code, message } = self;
        write!(f, "{entry}: version {version} is a dead letter: {code}: {message}")
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.entry)?;
        match &self.kind {
            Kind::Missing { expected } => write!(f, "missing, should be version {expected}"),
            Kind::Extra => f.write_str("was never written"),
            Kind::Version { expected, found } => write!(f, "version {found}, should be {expected}"),
            Kind::Value { fields } => write!(f, "differs in {}", fields.join(", ")),
            Kind::NotMappable { reason } => write!(f, "cannot be mapped, and no letter says so: {reason}"),
        }
    }
}

/// Names of the fields in which two JSON objects differ; for the field `content` those in it, as `content.name`. The
/// numbers 5 and 5.0 are the same.
pub(super) fn differing_paths(
    expected: &serde_json::Value,
    found: &serde_json::Value,
    content: &str,
) -> Vec<String> {
    let mut fields = differing_fields(expected, found);
    if let Some(place) = fields.iter().position(|field| field == content) {
        let inner = differing_fields(&expected[content], &found[content]);
        fields.splice(place..=place, inner.into_iter().map(|field| format!("{content}.{field}")));
    }
    fields
}

fn differing_fields(expected: &serde_json::Value, found: &serde_json::Value) -> Vec<String> {
    let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) else {
        return if same(expected, found) { vec![] } else { vec!["(whole)".to_owned()] };
    };
    let mut names: Vec<&String> =
        expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name))).collect();
    names.sort();
    let null = serde_json::Value::Null;
    let differs = |name: &&String| {
        expected.contains_key(*name) != found.contains_key(*name)
            || !same(expected.get(*name).unwrap_or(&null), found.get(*name).unwrap_or(&null))
    };
    names.into_iter().filter(differs).cloned().collect()
}

fn same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Object(one), Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|found| same(value, found)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_in_the_content_is_named_inside_it() {
        let (expected, found) =
            (json!({ "deleted": false, "document": { "a": 1, "b": 2 } }), json!({ "document": { "a": 1 } }));
        assert_eq!(differing_paths(&expected, &found, "document"), ["deleted", "document.b"]);
    }

    #[test]
    fn fields_that_differ_are_named_and_spellings_of_a_number_are_not() {
        let expected = json!({ "a": 1, "b": { "c": [1.0, "x"] }, "d": null });
        assert!(
            differing_fields(&expected, &json!({ "b": { "c": [1, "x"] }, "d": null, "a": 1.0 })).is_empty()
        );
        assert_eq!(
            differing_fields(&expected, &json!({ "a": 2, "b": { "c": [1, "y"] }, "e": 1 })),
            ["a", "b", "d", "e"]
        );
    }
}
