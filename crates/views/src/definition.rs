//! What a generation of a view is, complete: canonical JSON that its rows or documents can be made from alone.
//!
//! A [`View`] of the model may be in Postgres, in OpenSearch or both. A registry keeps its own half, with nothing left
//! open: for OpenSearch that includes the mappings that follow from the type's schema. So a model file that changed can
//! be told from what is live, and what is live can be served without the model file.

use std::fmt::Write;

use aqueduct_model::{Model, SearchView, Type, View};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::opensearch::mappings;

/// The half of `view` that Postgres keeps; `None` when it has no table.
#[must_use]
pub fn in_postgres(view: &View) -> Option<View> {
    view.postgres.is_some().then(|| View { opensearch: None, ..view.clone() })
}

/// The half of `view` that OpenSearch keeps, mappings resolved; `None` when it has no index.
#[must_use]
pub fn in_opensearch(of: &Type, view: &View) -> Option<View> {
    let search = view.opensearch.as_ref()?;
    let mappings = Some(mappings::of_document(search, of.schema.json()));
    let resolved = SearchView { mappings, ..search.clone() };
    Some(View { postgres: None, opensearch: Some(resolved), ..view.clone() })
}

/// What Postgres is to keep of a model.
#[must_use]
pub fn all_in_postgres(model: &Model) -> Vec<View> {
    model.types().flat_map(|of| &of.views).filter_map(in_postgres).collect()
}

/// What OpenSearch is to keep of a model.
#[must_use]
pub fn all_in_opensearch(model: &Model) -> Vec<View> {
    model.types().flat_map(|of| of.views.iter().filter_map(|view| in_opensearch(of, view))).collect()
}

/// SHA-256 of a definition in hexadecimal: equal when the definitions are, whatever the order of their keys.
#[must_use]
pub fn digest(definition: &View) -> String {
    let canonical = canonical(&definition.definition()).to_string();
    Sha256::digest(canonical).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The same value, the keys of its objects sorted.
#[must_use]
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members.into_iter().map(|(name, member)| (name.clone(), canonical(member))).collect()
        }
        Value::Array(elements) => elements.iter().map(canonical).collect(),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(json: &str) -> View {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_digest_is_of_what_is_said_and_not_of_how() {
        let one =
            view(r#"{"name":"o","type":"ORDER","opensearch":{"mappings":{"properties":{"a":1,"b":"x"}}}}"#);
        let same =
            view(r#"{"type":"ORDER","opensearch":{"mappings":{"properties":{"b":"x","a":1}}},"name":"o"}"#);
        let other =
            view(r#"{"name":"o","type":"ORDER","opensearch":{"mappings":{"properties":{"a":1,"b":"y"}}}}"#);
        assert_eq!(one, same);
        assert_eq!(digest(&one), digest(&same));
        assert_ne!(digest(&one), digest(&other));
    }

    #[test]
    fn each_registry_keeps_its_half() {
        let both = view(
            r#"{"name":"o","type":"ORDER","postgres":{"columns":[]},"opensearch":{"document":"{'a': self.a}"}}"#,
        );
        let half = in_postgres(&both).unwrap();
        assert!(half.postgres.is_some() && half.opensearch.is_none());
        assert_eq!(in_postgres(&View { postgres: None, ..both }), None);
    }
}
