//! Searches over HTTP: what is found, counted and highlighted, and what is refused.

use aqueduct_contract::Item;
use serde_json::{Value, json};

use super::stage::{Stage, ids};
use crate::sync::{deletion, order};

/// Orders `o0` to `o9`: lamps and chairs of two customers, every third without a total.
fn ten() -> impl Iterator<Item = Item> {
    (0_i64..10).map(|n| {
        let mut attributes = json!({
            "customerName": if n % 2 == 0 { "Ann of the <b>lamps</b>" } else { "Ben" },
            "quantity": n / 4,
            "paid": n < 5,
            "placedAt": format!("2026-11-2{n}T13:15:00Z"),
            "lines": [{ "code": format!("c{n}") }],
        });
        if n % 3 != 2 {
            attributes["total"] = format!("{n}.50").into();
        }
        order(&format!("o{n}"), 1, attributes)
    })
}

async fn staged() -> Stage {
    let stage = Stage::start().await;
    stage.apply(ten()).await;
    stage
}

fn found(numbers: &str) -> Vec<String> {
    numbers.chars().map(|n| format!("o{n}")).collect()
}

#[tokio::test]
async fn queries_find_what_they_say_and_never_the_deleted() {
    let stage = staged().await;
    stage.apply([deletion("o8", 2)]).await;
    for (query, expected) in [
        (json!({ "match_all": {} }), "012345679"),
        (json!({ "match": { "document.customerName": "LAMPS" } }), "0246"),
        (json!({ "match": { "document.customerName": { "query": "lampz", "fuzziness": "AUTO" } } }), "0246"),
        (json!({ "match_phrase": { "document.customerName": "of the" } }), "0246"),
        (json!({ "match_phrase_prefix": { "document.customerName": "of th" } }), "0246"),
        (json!({ "multi_match": { "query": "ben", "fields": ["document.customerName^2", "id"] } }), "13579"),
        (
            json!({ "simple_query_string": { "query": "+ann -ben", "fields": ["document.customerName"] } }),
            "0246",
        ),
        (json!({ "term": { "document.customerName.keyword": "Ben" } }), "13579"),
        (json!({ "term": { "id": "o8" } }), ""),
        (json!({ "terms": { "document.lines.code.keyword": ["c1", "c8", "c9"] } }), "19"),
        (
            json!({ "prefix": { "document.customerName.keyword": { "value": "be", "case_insensitive": true } } }),
            "13579",
        ),
        (json!({ "range": { "document.total.number": { "gte": 3.5, "lt": 7 } } }), "346"),
        (json!({ "range": { "document.placedAt": { "gte": "2026-11-27T00:00:00Z" } } }), "79"),
        (json!({ "exists": { "field": "document.total" } }), "0134679"),
        (
            json!({ "bool": {
                "filter": [{ "term": { "document.paid": true } }],
                "must_not": { "term": { "document.quantity": 1 } },
            } }),
            "0123",
        ),
        (
            json!({ "bool": {
                "should": [{ "term": { "id": "o1" } }, { "term": { "id": "o2" } }],
                "minimum_should_match": 1,
            } }),
            "12",
        ),
    ] {
        let page = stage.search(json!({ "query": query, "sort": ["id"] })).await.expect(200).body;
        assert_eq!(ids(&page), found(expected), "{query}");
        assert_eq!(page["total"], json!({ "value": expected.len(), "relation": "eq" }), "{query}");
    }
    let page = stage.app.post("search/orders", json!({})).await.expect(200).body;
    assert_eq!(ids(&page), found("012345679"), "without a query, all");
}

#[tokio::test]
async fn a_hit_shows_the_document_and_where_it_matches() {
    let stage = staged().await;
    let page = stage
        .search(json!({
            "query": { "bool": { "must": [
                { "match": { "document.customerName": "ann" } }, { "term": { "id": "o0" } },
            ] } },
            "highlight": ["document.customerName"],
        }))
        .await
        .expect(200)
        .body;
    let mut hit = page["hits"][0].clone();
    assert!(hit["score"].take().as_f64().unwrap() > 0.0);
    assert_eq!(
        hit,
        json!({
            "id": "o0", "item_version": 1, "score": null,
            "created_at": "2026-11-21T13:15:00.000001Z", "updated_at": "2026-11-21T13:15:01.000000Z",
            "document": {
                "customerName": "Ann of the <b>lamps</b>", "quantity": 0, "paid": true, "total": "0.50",
                "placedAt": "2026-11-20T13:15:00Z", "lines": [{ "code": "c0" }],
            },
            "highlight": { "document.customerName": ["<em>Ann</em> of the &lt;b&gt;lamps&lt;&#x2F;b&gt;"] },
        })
    );
}

#[tokio::test]
async fn facets_count_what_the_query_finds() {
    let stage = staged().await;
    let page = stage
        .search(json!({
            "query": { "term": { "document.paid": true } },
            "limit": 1,
            "facets": {
                "customers": { "terms": { "field": "document.customerName.keyword", "size": 1 } },
                "paid": { "terms": { "field": "document.paid" } },
                "totals": { "range": { "field": "document.total.number", "ranges": [{ "to": 2 }, { "from": 2 }] } },
                "days": { "range": { "field": "document.placedAt", "ranges": [
                    { "from": "2026-11-21", "to": "2026-11-23" },
                ] } },
            },
        }))
        .await
        .expect(200)
        .body;
    let facets = &page["facets"];
    assert_eq!(
        facets["customers"],
        json!({ "buckets": [{ "key": "Ann of the <b>lamps</b>", "count": 3 }], "others": 2 })
    );
    assert_eq!(facets["paid"], json!({ "buckets": [{ "key": "true", "count": 5 }], "others": 0 }));
    let counts = |facet: &Value| -> Vec<u64> {
        facet["buckets"].as_array().unwrap().iter().map(|bucket| bucket["count"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts(&facets["totals"]), [2, 2]);
    assert_eq!(counts(&facets["days"]), [2]);
}

#[tokio::test]
async fn pages_in_any_order_are_the_whole_once() {
    let stage = staged().await;
    for sort in [
        json!(null),
        json!(["id"]),
        json!(["-id"]),
        json!(["document.total.number"]),
        json!(["-document.total.number"]),
        json!(["document.customerName.keyword", "-document.placedAt"]),
        json!(["-document.paid", "document.quantity"]),
        json!(["document.ref", "-updated_at"]),
        json!(["document.day", "item_version", "-_score"]),
    ] {
        let query = json!({ "match": { "document.customerName": "ann ben" } });
        let whole = json!({ "query": query, "sort": sort });
        let whole = stage.search(whole).await.expect(200).body;
        assert_eq!(ids(&whole).len(), 10, "{sort}");
        let (mut pages, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let body = json!({ "query": query, "sort": sort, "limit": 3, "cursor": cursor });
            let page = stage.search(body).await.expect(200).body;
            pages.extend(ids(&page).into_iter().map(str::to_owned));
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(pages, ids(&whole), "{sort}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_its_place() {
    let stage = staged().await;
    for (body, code, pointer) in [
        (json!({ "query": { "script": { "script": "true" } } }), "SearchInvalid", "/query/script"),
        (
            json!({ "query": { "bool": { "must": [{ "ids": { "values": ["other|o1"] } }] } } }),
            "SearchInvalid",
            "/query/bool/must/0/ids",
        ),
        (json!({ "query": { "term": { "tenant": "other" } } }), "SearchInvalid", "/query/term"),
        (
            json!({ "query": { "terms": { "id": { "index": "orders", "id": "other|o1", "path": "id" } } } }),
            "SearchInvalid",
            "/query/terms/id",
        ),
        (json!({ "query": { "match": { "document.colour": "x" } } }), "SearchInvalid", "/query/match"),
        (json!({ "facets": { "a": { "global": {} } } }), "SearchInvalid", "/facets/a"),
        (
            json!({ "facets": { "a": { "significant_terms": { "field": "document.paid" } } } }),
            "SearchInvalid",
            "/facets/a",
        ),
        (
            json!({ "facets": { "a": { "terms": { "field": "document.paid", "min_doc_count": 0 } } } }),
            "SearchInvalid",
            "/facets/a",
        ),
        (json!({ "facets": { "a": { "terms": { "field": "tenant" } } } }), "SearchInvalid", "/facets/a"),
        (
            json!({ "facets": { "a": { "terms": { "field": "document.paid", "size": 101 } } } }),
            "SearchInvalid",
            "/facets/a",
        ),
        (
            json!({ "facets": { "a": { "terms": { "field": "id" }, "aggs": {} } } }),
            "SearchInvalid",
            "/facets/a",
        ),
        (json!({ "facets": { "a>b": { "terms": { "field": "id" } } } }), "SearchInvalid", "/facets/a>b"),
        (
            json!({ "facets": { "a": { "range": { "field": "document.total.number", "ranges": [{ "from": "a", "to": 1 }] } } } }),
            "SearchInvalid",
            "/facets/a",
        ),
        (json!({ "highlight": ["*"] }), "SearchInvalid", "/highlight/0"),
        (json!({ "highlight": ["tenant"] }), "SearchInvalid", "/highlight/0"),
        (json!({ "sort": ["_doc"] }), "SearchInvalid", "/sort/0"),
        (json!({ "sort": ["-tenant"] }), "SearchInvalid", "/sort/0"),
        (json!({ "limit": 0 }), "SearchInvalid", "/limit"),
        (json!({ "limit": 1001 }), "SearchInvalid", "/limit"),
        (json!({ "limit": -1 }), "BodyInvalid", "/limit"),
        (json!({ "suggest": {} }), "BodyInvalid", "/suggest"),
        (json!({ "aggs": {} }), "BodyInvalid", "/aggs"),
        (json!({ "runtime_mappings": {} }), "BodyInvalid", "/runtime_mappings"),
        (json!({ "script_fields": {} }), "BodyInvalid", "/script_fields"),
        (json!({ "from": 10 }), "BodyInvalid", "/from"),
        (json!({ "tenant": "other" }), "BodyInvalid", "/tenant"),
    ] {
        let refused = stage.search(body.clone()).await.problem(400, code).body;
        assert_eq!(refused["pointer"], pointer, "{body}: {refused}");
    }
    // What only OpenSearch knows, it says.
    for query in [
        json!({ "range": { "document.placedAt": { "gte": "yesterday" } } }),
        json!({ "match_phrase": { "document.quantity": { "query": "x", "slop": 1 } } }),
        json!({ "nested": { "path": "document.lines", "query": { "match_all": {} } } }),
    ] {
        stage.search(json!({ "query": query })).await.problem(400, "SearchInvalid");
    }
    stage.search(json!({ "sort": ["document.customerName"] })).await.problem(400, "SearchInvalid");
    stage.app.post("search/nothing", json!({})).await.problem(404, "ViewUnknown");
    stage.app.post("search/orders-g1", json!({})).await.problem(404, "ViewUnknown");
    stage.app.post("search/orders,other", json!({})).await.problem(404, "ViewUnknown");
    stage.app.post("search/*", json!({})).await.problem(404, "ViewUnknown");
    stage.app.post("search/orders?tenant=other", json!({})).await.problem(400, "QueryInvalid");
    stage.app.get("search/orders").await.problem(405, "MethodNotAllowed");
}

#[tokio::test]
async fn a_cursor_of_another_search_is_refused() {
    let stage = staged().await;
    let query = json!({ "term": { "document.paid": true } });
    let page = stage.search(json!({ "query": query, "limit": 2 })).await.expect(200).body;
    let cursor = page["nextCursor"].as_str().unwrap();
    stage.search(json!({ "query": query, "limit": 1, "cursor": cursor })).await.expect(200);
    for body in [
        json!({ "cursor": cursor }),
        json!({ "query": { "term": { "document.paid": false } }, "cursor": cursor }),
        json!({ "query": query, "sort": ["id"], "cursor": cursor }),
        json!({ "query": query, "cursor": "" }),
        json!({ "query": query, "cursor": &cursor[..8] }),
    ] {
        stage.search(body).await.problem(400, "CursorInvalid");
    }
    let rows = stage.rows(&[("cursor", cursor)]).await;
    rows.problem(400, "CursorInvalid");
}

#[tokio::test]
async fn an_index_that_is_gone_is_said() {
    let stage = staged().await;
    stage.search(json!({})).await.expect(200);
    stage.opensearch(::opensearch::http::Method::Delete, "{}orders-g1", None).await;
    stage.search(json!({})).await.problem(503, "ReadModelUnavailable");
}
