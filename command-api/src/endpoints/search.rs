//! `POST /v1/{tenant}/search/{view}`: documents of a view in OpenSearch, by full text, filters and facets.

use std::sync::Arc;

use aqueduct_model::{Type, View};
use aqueduct_views::ReadError;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Api;
use crate::openapi::{self, Operation};
use crate::problem::{Code, Problem, Result};
use crate::reads::waiting::Store;
use crate::reads::{PROBLEMS, named};
use crate::request::body::OptionalBody;
use crate::request::freshness::AtLeast;
use crate::request::path::ViewPath;
use crate::request::query::{Limit, Query};
use crate::request::search::{Fields, Search, Understood};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    token: Option<String>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    path: ViewPath,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    OptionalBody(body): OptionalBody<Search>,
) -> Result<Json<Value>> {
    let indexes = &api.reads.indexes;
    let generations = indexes.consumed().await?;
    let generation = named(&generations, &path.view, "OpenSearch")?;
    let mappings = generation.definition.opensearch.as_ref().and_then(|view| view.mappings.as_ref());
    let asked = body.understand(&path.tenant, Fields { view: &path.view, mappings })?;
    let at_least = AtLeast::read(&path.tenant, parameters.token.as_deref(), &headers)?;
    api.until_held(Store::OpenSearch, generation, &at_least).await?;
    let found = indexes.search(generation, &path.tenant, asked.body.clone()).await;
    let found = found.map_err(|error| match error {
        ReadError::Refused(why) => Problem::new(Code::SearchInvalid, why),
        other => other.into(),
    })?;
    Ok(Json(page(found, &asked)))
}

fn page(mut found: Value, asked: &Understood) -> Value {
    let mut hits = match found["hits"]["hits"].take() {
        Value::Array(hits) => hits,
        _ => Vec::new(),
    };
    let more = hits.len() > asked.limit;
    hits.truncate(asked.limit);
    let next = hits.last().filter(|_| more).map(|hit| asked.query.cursor(&hit["sort"]));
    let hits: Vec<Value> = hits.into_iter().map(hit).collect();
    let facets: Map<String, Value> = match found["aggregations"].take() {
        Value::Object(facets) => facets.into_iter().map(|(name, facet)| (name, buckets(&facet))).collect(),
        _ => Map::new(),
    };
    let total = &found["hits"]["total"];
    json!({
        "hits": hits,
        "total": { "value": total["value"], "relation": total["relation"] },
        "facets": facets,
        "nextCursor": next,
    })
}

fn hit(mut hit: Value) -> Value {
    let mut shown = hit["_source"].take();
    shown["score"] = hit["_score"].take();
    if hit["highlight"].is_object() {
        shown["highlight"] = hit["highlight"].take();
    }
    shown
}

fn buckets(facet: &Value) -> Value {
    let one = |bucket: &Value| {
        // What stands for a boolean or a date is a number; the text is what a filter takes.
        let key = bucket.get("key_as_string").unwrap_or(&bucket["key"]);
        let mut shown = json!({ "key": key, "count": bucket["doc_count"] });
        for bound in ["from", "to"] {
            if let Some(value) = bucket.get(format!("{bound}_as_string")).or(bucket.get(bound)) {
                shown[bound] = value.clone();
            }
        }
        shown
    };
    let buckets: Vec<Value> = facet["buckets"].as_array().into_iter().flatten().map(one).collect();
    json!({ "buckets": buckets, "others": facet["sum_other_doc_count"].as_u64().unwrap_or(0) })
}

/// The operation for a view that has an index.
pub(crate) fn operation(of: &Type, view: &View) -> Option<Value> {
    let search = view.opensearch.as_ref()?;
    // Without an expression of its own, a document is the item's attributes.
    let document =
        if search.document.is_none() { openapi::attributes_of(of) } else { json!({ "type": "object" }) };
    let time = json!({ "type": "string", "format": "date-time" });
    let hit = json!({ "type": "object", "properties": {
        "id": { "type": "string" },
        "item_version": openapi::reference("schemas", "Version"),
        "created_at": time,
        "updated_at": time,
        "score": { "type": ["number", "null"] },
        "document": document,
        "highlight": { "type": "object", "additionalProperties": { "type": "array", "items": { "type": "string" } } },
    } });
    let mut success = openapi::page("A page of hits", ("hits", hit), ("nextCursor", "string"));
    let answer = &mut success["content"]["application/json"]["schema"]["properties"];
    answer["total"] = json!({ "type": "object", "properties": {
        "value": { "type": "integer" }, "relation": { "enum": ["eq", "gte"] },
    } });
    answer["facets"] = json!({ "type": "object", "additionalProperties": { "type": "object", "properties": {
        "buckets": { "type": "array", "items": { "type": "object", "properties": {
            "key": {}, "count": { "type": "integer" }, "from": {}, "to": {},
        } } },
        "others": { "type": "integer", "description": "Documents in no bucket shown" },
    } } });
    let strings = |description: &str| json!({ "type": "array", "maxItems": 10, "items": { "type": "string" }, "description": description });
    let body = json!({ "type": "object", "additionalProperties": false, "properties": {
        "query": {
            "type": "object",
            "description": "OpenSearch query DSL: `match`, `match_phrase`, `match_phrase_prefix`, `multi_match`, \
                            `simple_query_string`, `term`, `terms`, `prefix`, `range`, `exists`, `nested`, `bool`, `match_all`",
            "examples": [{ "match": { "document.name": "lamp" } }],
        },
        "facets": {
            "type": "object",
            "description": "Counts by value or range, by a name of yours; 10 at most",
            "examples": [{ "prices": { "range": { "field": "document.price.number", "ranges": [{ "to": 10 }, { "from": 10 }] } } }],
        },
        "highlight": strings("Fields of which to show where they match, HTML but for `<em>` escaped"),
        "sort": strings("Fields, `-` from the greatest down; `-_score` without it"),
        "limit": { "type": "integer", "minimum": 1, "maximum": Limit::MAX, "default": Limit::DEFAULT.0 },
        "cursor": { "type": "string" },
    } });
    let mut operation = Operation {
        name: "search",
        summary: "Search a view",
        description: "From OpenSearch, as sync-search has seen it: a write is found once the index was refreshed, and a \
                      deleted item never. Fields are `id`, `item_version`, `created_at`, `updated_at`, and those of the \
                      view below `document.`. `nextCursor` of a page is `cursor` of the next; null ends it.",
        parameters: &["tenant", "token", "prefer"],
        body: Some((&["application/json"], body)),
        success: ("200", success),
        problems: &[
            &PROBLEMS[..],
            &[
                Code::JsonInvalid,
                Code::BodyInvalid,
                Code::BodyIncomplete,
                Code::BodyTooLarge,
                Code::MediaTypeUnsupported,
                Code::SearchInvalid,
            ],
        ]
        .concat(),
    }
    .to_json(of);
    operation["operationId"] = format!("search-{}", view.name).into();
    Some(operation)
}
