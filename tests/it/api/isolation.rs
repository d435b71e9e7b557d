//! Whatever one tenant asks of any reading route, no byte of another's data comes back.
//!
//! Two tenants have the same items by id; every text of the other's holds a marker. Requests are made at random from a seed,
//! half of them as a client would send them and half hostile, as one of the two. They never hold the marker itself, since
//! refusals repeat what was sent.

use aqueduct_contract::Item;
use futures::stream::{self, StreamExt};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::app::answer;
use super::stage::Stage;
use crate::sync::order;

/// Who asks. The other's name begins with it, and sorts behind it.
const ME: &str = "acme";
const OTHER: &str = "acme-2";
/// In every text of the other's; and in mine, so that answers are known to hold something.
const MARKER: &str = "zqxsecretzqx";
const MINE: &str = "myownword";
const ITEMS: usize = 30;
const AT_ONCE: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_requests_return_no_byte_of_another_tenant() {
    requests_of_one_tenant(1, 10_000).await;
}

/// `tests/soak --isolation` runs it: it takes many minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes many minutes"]
async fn a_hundred_thousand_requests_return_no_byte_of_another_tenant() {
    requests_of_one_tenant(2, 100_000).await;
}

async fn requests_of_one_tenant(seed: u64, count: usize) {
    let stage = &Stage::start().await;
    for (tenant, word) in [(ME, MINE), (OTHER, MARKER)] {
        fill(stage, tenant, word).await;
    }
    let cursors = stolen(stage).await;

    // The other's data is there, on every route: what finds nothing would prove nothing.
    let writes = format!("writes/{MARKER}-1");
    for path in ["ORDER/o-1", "ORDER/o-1/history", "ORDER", "views/orders", "search/orders", &writes] {
        let method = if path.starts_with("search") { Method::POST } else { Method::GET };
        let (status, bytes) = bytes_of(stage.app.request(method, &format!("/v1/{OTHER}/{path}"))).await;
        assert!(status == 200 && holds(&bytes, MARKER), "{path}: {status}");
    }

    let mut random = StdRng::seed_from_u64(seed);
    let requests: Vec<Asked> = (0..count).map(|_| ask(&mut random, &cursors)).collect();
    let answers = stream::iter(&requests).map(|asked| async move {
        let (status, bytes) = bytes_of(asked.request(stage)).await;
        assert!(!holds(&bytes, MARKER), "{asked:?}: {}", String::from_utf8_lossy(&bytes));
        assert!(status < 500, "{asked:?}: {status}: {}", String::from_utf8_lossy(&bytes));
        (asked.route, status, holds(&bytes, MINE))
    });
    let answers: Vec<_> = answers.buffer_unordered(AT_ONCE).collect().await;
    for route in ROUTES {
        let of_route = || answers.iter().filter(|(at, ..)| *at == route);
        let mine = of_route().filter(|(.., mine)| *mine).count();
        let refused = of_route().filter(|(_, status, _)| *status >= 400).count();
        assert!(mine * 20 > of_route().count(), "{route}: {mine} answers hold anything");
        assert!(refused > 0, "{route}: nothing hostile was sent");
    }
}

/// The same items for each tenant, but for the words, as all stores have them.
async fn fill(stage: &Stage, tenant: &str, word: &str) {
    let mut items: Vec<Item> = Vec::new();
    for n in 0..ITEMS {
        let attributes = json!({
            "customerName": format!("{word} {n}"),
            "total": format!("{n}.50"),
            "quantity": n,
            "paid": n % 2 == 0,
            "placedAt": format!("2026-11-21T13:15:{n:02}Z"),
            "lines": [{ "code": format!("{word}-{n}") }],
        });
        let mut item = order(&format!("o-{n}"), 1, attributes.clone());
        item.key = aqueduct_contract::ItemKey::new(
            tenant.parse().unwrap(),
            "ORDER".parse().unwrap(),
            item.key.id().as_str().parse().unwrap(),
        )
        .unwrap();
        let create = stage.app.request(Method::POST, &format!("/v1/{tenant}/ORDER"));
        let create = create.header("x-correlation-id", format!("{word}-{n}"));
        answer(create.json(&json!({ "id": format!("o-{n}"), "attributes": attributes }))).await.expect(201);
        let written = stage.app.events.latest(&item.key).await.unwrap().unwrap();
        stage.app.data.put_if_newer(&written).await.unwrap();
        items.push(written.item);
    }
    stage.apply(items).await;
}

/// Cursors and tokens that the other tenant was given.
async fn stolen(stage: &Stage) -> Vec<String> {
    let at = |method, path: &str| stage.app.request(method, &format!("/v1/{OTHER}/{path}"));
    let rows = answer(at(Method::GET, "views/orders?limit=2")).await.body;
    let sorted = answer(at(Method::GET, "views/orders?limit=2&sort=-total")).await.body;
    let hits = answer(at(Method::POST, "search/orders").json(&json!({ "limit": 2 }))).await.body;
    let item = answer(at(Method::GET, "ORDER/o-1")).await.body;
    let given = [&rows["nextCursor"], &sorted["nextCursor"], &hits["nextCursor"], &item["token"]];
    given.into_iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

async fn bytes_of(request: RequestBuilder) -> (u16, Vec<u8>) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let mut bytes = format!("{:?}", response.headers()).into_bytes();
    bytes.extend(response.bytes().await.unwrap());
    (status, bytes)
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

/// One request of mine.
#[derive(Debug)]
struct Asked {
    route: &'static str,
    method: Method,
    path: String,
    parameters: Vec<(String, String)>,
    body: Option<Value>,
}

impl Asked {
    fn request(&self, stage: &Stage) -> RequestBuilder {
        let request = stage.app.request(self.method.clone(), &format!("/v1/{ME}/{}", self.path));
        let request = request.query(&self.parameters);
        match &self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

const ROUTES: [&str; 6] = ["item", "history", "list", "view", "search", "writes"];

fn ask(random: &mut StdRng, stolen: &[String]) -> Asked {
    let route = *ROUTES.choose(random).unwrap();
    let hostile = random.random_bool(0.5);
    let id =
        if hostile { pick(random, &IDS).to_owned() } else { format!("o-{}", random.random_range(0..ITEMS)) };
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
    let (path, body) = match route {
        "item" => {
            if random.random_bool(0.3) {
                add("version", random.random_range(0..3).to_string());
            }
            (format!("ORDER/{id}"), None)
        }
        "history" => {
            add("limit", random.random_range(1..5).to_string());
            (format!("ORDER/{id}/history"), None)
        }
        "list" => {
            add("limit", random.random_range(1..50).to_string());
            if hostile {
                add("startFromSk", pick(random, &SORT_KEYS).to_owned());
            }
            ("ORDER".to_owned(), None)
        }
        "view" => {
            add("limit", random.random_range(1..50).to_string());
            for _ in 0..random.random_range(0..3) {
                let column = pick(random, if hostile { &HOSTILE_COLUMNS } else { &COLUMNS });
                let operator = pick(random, &OPERATORS);
                add(&format!("filter[{column}]{operator}"), value(random, hostile));
            }
            if random.random_bool(0.5) {
                add("sort", pick(random, if hostile { &HOSTILE_COLUMNS } else { &SORTS }).to_owned());
            }
            ("views/orders".to_owned(), None)
        }
        "writes" => {
            let correlation = if hostile { id } else { format!("{MINE}-{}", random.random_range(0..ITEMS)) };
            (format!("writes/{correlation}"), None)
        }
        _ => ("search/orders".to_owned(), Some(search(random, hostile, stolen))),
    };
    if hostile && random.random_bool(0.3) {
        parameters.push(pick_pair(random, stolen));
    }
    let method = if body.is_some() { Method::POST } else { Method::GET };
    Asked { route, method, path, parameters, body }
}

fn pick<'a>(random: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.choose(random).unwrap()
}

fn pick_pair(random: &mut StdRng, stolen: &[String]) -> (String, String) {
    let name = pick(
        random,
        &["tenant", "cursor", "token", "pk", "filter[tenant]", "startFromSk", "as_of", "routing"],
    );
    let value = match name {
        "cursor" | "token" => stolen.choose(random).unwrap().clone(),
        "pk" => format!("{OTHER}#ORDER"),
        "as_of" => "2030-01-01T00:00:00Z".to_owned(),
        _ => OTHER.to_owned(),
    };
    (name.to_owned(), value)
}

fn value(random: &mut StdRng, hostile: bool) -> String {
    if hostile {
        return pick(random, &VALUES).to_owned();
    }
    match random.random_range(0..4) {
        0 => random.random_range(0..ITEMS).to_string(),
        1 => format!("{MINE} {}", random.random_range(0..ITEMS)),
        2 => "true".to_owned(),
        _ => format!("2026-11-21T13:15:{:02}Z", random.random_range(0..60)),
    }
}

fn search(random: &mut StdRng, hostile: bool, stolen: &[String]) -> Value {
    let mut body = json!({ "query": query(random, hostile, 0), "limit": random.random_range(1..40) });
    if random.random_bool(0.4) {
        let field = pick(random, if hostile { &HOSTILE_FIELDS } else { &FIELDS });
        body["facets"] = match (hostile, random.random_range(0..4)) {
            (true, 0) => json!({ "a": { "global": {}, "aggs": { "b": { "terms": { "field": field } } } } }),
            (true, 1) => json!({ "a": { "significant_terms": { "field": field } } }),
            (true, 2) => json!({ "a": { "terms": { "field": field, "min_doc_count": 0 } } }),
            _ => json!({ "a": { "terms": { "field": field, "size": 100 } } }),
        };
    }
    if random.random_bool(0.3) {
        body["highlight"] = json!([pick(random, if hostile { &HOSTILE_FIELDS } else { &FIELDS })]);
    }
    if random.random_bool(0.3) {
        body["sort"] = json!([pick(random, if hostile { &HOSTILE_FIELDS } else { &SORTED_FIELDS })]);
    }
    if hostile && random.random_bool(0.3) {
        let (name, given) = pick_body(random, stolen);
        body[name] = given;
    }
    body
}

fn pick_body(random: &mut StdRng, stolen: &[String]) -> (&'static str, Value) {
    match random.random_range(0..8) {
        0 => ("tenant", OTHER.into()),
        1 => ("suggest", json!({ "s": { "text": "zqx", "term": { "field": "document.customerName" } } })),
        2 => {
            ("runtime_mappings", json!({ "t": { "type": "keyword", "script": "emit(doc['tenant'].value)" } }))
        }
        3 => ("script_fields", json!({ "t": { "script": "doc['tenant'].value" } })),
        4 => ("post_filter", json!({ "term": { "tenant": OTHER } })),
        5 => ("collapse", json!({ "field": "tenant", "inner_hits": { "name": "x" } })),
        6 => ("rescore", json!({ "query": {} })),
        _ => ("cursor", stolen.choose(random).unwrap().clone().into()),
    }
}

fn query(random: &mut StdRng, hostile: bool, depth: usize) -> Value {
    let field = pick(random, if hostile { &HOSTILE_FIELDS } else { &FIELDS });
    let text = if hostile { pick(random, &VALUES).to_owned() } else { MINE.to_owned() };
    if hostile && random.random_bool(0.3) {
        return match random.random_range(0..6) {
            0 => json!({ "ids": { "values": [format!("{OTHER}|o-1")] } }),
            1 => {
                json!({ "terms": { "id": { "index": "orders", "id": format!("{OTHER}|o-1"), "path": "id" } } })
            }
            2 => {
                json!({ "more_like_this": { "fields": [field], "like": [{ "_id": format!("{OTHER}|o-1") }] } })
            }
            3 => json!({ "script": { "script": "return true" } }),
            4 => json!({ "query_string": { "query": format!("tenant:{OTHER}") } }),
            _ => json!({ "term": { "tenant": OTHER } }),
        };
    }
    match random.random_range(0..9) {
        0 => json!({ "match_all": {} }),
        1 => json!({ "match": { field: { "query": text, "fuzziness": "AUTO" } } }),
        2 => json!({ "match_phrase_prefix": { field: text } }),
        3 => json!({ "prefix": { field: pick(random, &["z", "zq", "m", "o-", "a"]) } }),
        4 => json!({ "exists": { "field": field } }),
        5 => json!({ "range": { field: { "gte": text } } }),
        6 => json!({ "simple_query_string": { "query": text, "fields": [field] } }),
        _ if depth < 4 => {
            let clause = pick(random, &["must", "should", "filter", "must_not"]);
            json!({ "bool": { clause: [query(random, hostile, depth + 1), query(random, hostile, depth + 1)] } })
        }
        _ => json!({ "terms": { field: [text] } }),
    }
}

/// Without a plain `..`, which a client resolves before it sends.
const IDS: [&str; 9] = [
    "o-1",
    "..%2F..%2Facme-2%2FORDER%2Fo-1",
    "o-1%00",
    "ORDER%23o-1",
    "acme-2%23ORDER%7CORDER%23o-1",
    "acme-2%7Co-1",
    "o-1%7C",
    "%25",
    "o-1%23",
];
const SORT_KEYS: [&str; 6] =
    ["ORDER#o-1", "acme-2#ORDER|ORDER#o-1", "ORDER#", "", "ORDER#\u{10ffff}", "acme-2#ORDER"];
const COLUMNS: [&str; 7] = ["id", "customer_name", "total", "quantity", "paid", "placed_at", "item_version"];
const HOSTILE_COLUMNS: [&str; 9] = [
    "tenant",
    "deleted",
    "customer_name",
    "id",
    "-id",
    "orders__g1.tenant",
    "id\" OR 1=1 --",
    "id) UNION SELECT * FROM orders__g1 --",
    "*",
];
const OPERATORS: [&str; 8] = ["", "[ne]", "[gt]", "[lte]", "[in]", "[prefix]", "[null]", "[contains]"];
const SORTS: [&str; 6] = ["id", "-id", "-total", "customer_name,-id", "paid,-placed_at", "-updated_at"];
const VALUES: [&str; 13] = [
    "acme-2",
    "' OR '1'='1",
    "') UNION SELECT customer_name FROM orders__g1 --",
    "\\' OR 1=1 --",
    "%",
    "z",
    "zqx*",
    "a\0b",
    "$1",
    "o-1,o-2' OR 'a'='a",
    "{\"tenant\": \"acme-2\"}",
    "+tenant:acme-2 | *",
    "\u{202e}\u{feff}",
];
const FIELDS: [&str; 6] = [
    "document.customerName",
    "document.customerName.keyword",
    "document.lines.code.keyword",
    "document.total",
    "document.paid",
    "id",
];
const SORTED_FIELDS: [&str; 4] = ["id", "-document.quantity", "document.customerName.keyword", "-_score"];
const HOSTILE_FIELDS: [&str; 11] = [
    "tenant",
    "deleted",
    "_id",
    "_index",
    "_routing",
    "_source",
    "*",
    "document.*",
    "document.customerName",
    "id",
    "-document.total",
];
