//! What a generation of a view is, complete: canonical JSON that its rows or documents can be made from alone.
//!
//! A [`View`] of the model may be in Postgres, in OpenSearch or both. A registry keeps its own half, with nothing left
//! open: for OpenSearch that includes the mappings that follow from the type's schema. So a model file that changed can
//! be told from what is live, and what is live can be served without the model file.

use std::fmt::Write;

use aqueduct_model::{SearchView, Type, View};
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
    let resolved = SearchView {
        mappings: Some(mappings::of_document(search, of.schema.json())),
        document: search.document.clone(),
    };
    Some(View { postgres: None, opensearch: Some(resolved), ..view.clone() })
}

/// SHA-256 of a definition in hexadecimal: equal when the definitions are, whatever the order of their keys.
#[must_use]
pub fn digest(definition: &View) -> String {
    let mut canonical = String::new();
    write_canonical(&definition.definition(), &mut canonical);
    Sha256::digest(canonical).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                write_canonical(element, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
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
