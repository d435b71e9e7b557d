//! The public aliases, as a user would search them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::Stores;
use crate::drive::expected::{Difference, Expectation, Identity, compare_all, living};
use crate::drive::shop;

const PAGE: usize = 1_000;

/// Every living item has its document, a deleted one has none.
pub(super) async fn documents(stores: &Stores, expected: &Expectation) -> anyhow::Result<Vec<Difference>> {
    let http = reqwest::Client::new();
    let mut found: BTreeMap<Identity, Value> = BTreeMap::new();
    for shown in &shop::SHOWN {
        let alias =
            format!("{}/{}{}", stores.opensearch.trim_end_matches('/'), stores.index_prefix, shown.view);
        let refreshed = http.post(format!("{alias}/_refresh")).send().await?;
        if !refreshed.status().is_success() {
            bail!("OpenSearch answered {} to a refresh of {alias}", refreshed.status());
        }
        let mut after = None;
        loop {
            let mut search = json!({
                "size": PAGE,
                "query": { "term": { "tenant": stores.tenant } },
                "sort": [{ "id": "asc" }],
            });
            if let Some(after) = after {
                search["search_after"] = after;
            }
            let answer: Value =
                http.post(format!("{alias}/_search")).json(&search).send().await?.json().await?;
            let hits =
                answer["hits"]["hits"].as_array().with_context(|| format!("a search answered {answer}"))?;
            for hit in hits {
                let id = hit["_source"]["id"].as_str().context("a document without id")?;
                found.insert((shown.type_name.to_owned(), id.to_owned()), hit["_source"].clone());
            }
            match hits.last() {
                Some(last) if hits.len() == PAGE => after = Some(last["sort"].clone()),
                _ => break,
            }
        }
    }
    Ok(compare_all("opensearch", &living(expected), &found, |(type_name, _), expected, document| {
        if document["item_version"] != expected.version {
            return Some(format!("version {}, expected {}", document["item_version"], expected.version));
        }
        let expected = shop::document(type_name, &expected.attributes);
        (document["document"] != expected).then(|| format!("{}, expected {expected}", document["document"]))
    }))
}
