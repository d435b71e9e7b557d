//! Analyzers that mappings name and nothing defines.
//!
//! What an analyzer is made of is for OpenSearch to check: plugins bring tokenizers and filters that are not known here. An
//! analyzer of a plugin that is not in the list is given a name in `settings.analysis`, with its `type`.

use crate::document::{Entry, Node};
use crate::problem::Report;
use crate::spelling::nearest;

/// Analyzers that OpenSearch and its own plugins have.
const ANALYZERS: [&str; 53] = [
    "arabic",
    "armenian",
    "basque",
    "bengali",
    "brazilian",
    "bulgarian",
    "catalan",
    "chinese",
    "cjk",
    "czech",
    "danish",
    "default",
    "dutch",
    "english",
    "estonian",
    "fingerprint",
    "finnish",
    "french",
    "galician",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "icu_analyzer",
    "indonesian",
    "irish",
    "italian",
    "keyword",
    "kuromoji",
    "latvian",
    "lithuanian",
    "nori",
    "norwegian",
    "pattern",
    "persian",
    "polish",
    "portuguese",
    "romanian",
    "russian",
    "simple",
    "smartcn",
    "snowball",
    "sorani",
    "spanish",
    "standard",
    "stempel",
    "stop",
    "swedish",
    "thai",
    "turkish",
    "ukrainian",
    "whitespace",
    "default_search",
];

/// Normalizers that OpenSearch has.
const NORMALIZERS: [&str; 1] = ["lowercase"];

/// Reports every analyzer and normalizer that `mappings` name and neither OpenSearch nor `analysis` has.
pub(super) fn check(mappings: &Node, analysis: Option<&Node>, report: &mut Report) {
    let defined = |kind: &str| {
        let given = analysis.and_then(|node| node.get(kind)).into_iter().flat_map(Node::entries);
        given.map(|entry| entry.key.as_str()).collect::<Vec<_>>()
    };
    let analyzers: Vec<&str> = defined("analyzer").into_iter().chain(ANALYZERS).collect();
    let normalizers: Vec<&str> = defined("normalizer").into_iter().chain(NORMALIZERS).collect();
    fields(mappings, &analyzers, &normalizers, report);
}

/// The fields of an object, and those below each of them.
fn fields(node: &Node, analyzers: &[&str], normalizers: &[&str], report: &mut Report) {
    let below = ["properties", "fields"].into_iter().filter_map(|key| node.get(key)).flat_map(Node::entries);
    for Entry { value: field, .. } in below {
        for Entry { key, value, .. } in field.entries() {
            let known = match key.as_str() {
                "analyzer" | "search_analyzer" | "search_quote_analyzer" => analyzers,
                "normalizer" => normalizers,
                _ => continue,
            };
            let Some(name) = value.text().filter(|name| !known.contains(name)) else { continue };
            let kind = if key == "normalizer" { "normalizer" } else { "analyzer" };
            let message =
                format!("`{key}`: there is no {kind} `{name}`, and `settings.analysis` defines none");
            report.suggest(value.place, message, nearest(name, known.iter().copied()));
        }
        fields(field, analyzers, normalizers, report);
    }
}
