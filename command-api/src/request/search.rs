//! What a search asks for, and the request to OpenSearch that it becomes.
//!
//! Nothing of a client's is passed on. Queries are read by a table of what is allowed ([`dsl`]) and written anew, and the whole
//! stands inside a `bool` whose filter is the tenant: aggregations count what that finds, so they are inside too. What would
//! look past the filter has no way in: `global`, `significant_*`, suggesters, scripts, lookups of other documents, runtime
//! fields, `min_doc_count: 0`.

mod dsl;

use aqueduct_contract::Tenant;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cursor::Query;
use super::query::Limit;
use crate::problem::{Code, Problem, Result};

/// Entries of `facets`, `highlight` and `sort`.
const ENTRIES: usize = 10;
/// Buckets of a facet.
const BUCKETS: u64 = 100;
/// Fields that every document has; the view's own are below `document`.
const OWN_FIELDS: [&str; 4] = ["id", "item_version", "created_at", "updated_at"];

/// What a hit shows.
const SHOWN: [&str; 5] = ["id", "item_version", "created_at", "updated_at", "document"];

/// The body of a search.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Which documents; all without it.
    query: Option<Value>,
    /// What to count, by name.
    #[serde(default)]
    facets: Map<String, Value>,
    /// Fields of which to show where they match.
    #[serde(default)]
    highlight: Vec<String>,
    /// Fields, `-` for from the greatest down; by relevance without it.
    sort: Option<Vec<String>>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Fields that a view's documents have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) view: &'a str,
    /// The mappings of `document`.
    pub(crate) mappings: Option<&'a Value>,
}

/// A search that is understood.
#[derive(Debug)]
pub(crate) struct Understood {
    /// What OpenSearch is sent.
    pub(crate) body: Value,
    /// Hits of a page at most.
    pub(crate) limit: usize,
    /// What its cursors belong to.
    pub(crate) query: Query,
}

impl Search {
    /// Reads it for `tenant`.
    pub(crate) fn understand(&self, tenant: &Tenant, fields: Fields<'_>) -> Result<Understood> {
        let query = self.query.as_ref().map(|query| dsl::read(query, fields)).transpose()?;
        let sort = self.order(fields)?;
        let limit = self.limit.unwrap_or(Limit::DEFAULT.0);
        if !(1..=Limit::MAX).contains(&limit) {
            return Err(refused("/limit", format!("expected a whole number from 1 to {}", Limit::MAX)));
        }
        let of = Query::of(&("search", tenant, fields.view, &query, &sort));
        let after: Option<Vec<Value>> = self.cursor.as_deref().map(|cursor| of.read(cursor)).transpose()?;
        let mut body = json!({
            "query": { "bool": {
                "must": [query.unwrap_or_else(|| json!({ "match_all": {} }))],
                "filter": [{ "term": { "tenant": tenant } }, { "term": { "deleted": false } }],
            } },
            "sort": sort,
            "track_scores": true,
            // One more than wanted tells whether there are more.
            "size": limit + 1,
            "_source": SHOWN,
        });
        if let Some(after) = after {
            let scalars = after.iter().all(|value| !value.is_object() && !value.is_array());
            if after.len() != sort.len() || !scalars {
                return Err(Problem::new(
                    Code::CursorInvalid,
                    "cursor is none that a page of this search ended with",
                ));
            }
            body["search_after"] = after.into();
        }
        if !self.facets.is_empty() {
            body["aggs"] = self.aggregations(fields)?;
        }
        if !self.highlight.is_empty() {
            at_most("/highlight", self.highlight.len())?;
            let highlighted = self.highlight.iter().enumerate().map(|(index, field)| {
                fields.check(&format!("/highlight/{index}"), field)?;
                Ok((field.clone(), json!({})))
            });
            // What is highlighted is shown on pages: the text in it is text, and only `<em>` is not.
            body["highlight"] =
                json!({ "encoder": "html", "fields": highlighted.collect::<Result<Map<_, _>>>()? });
        }
        Ok(Understood { body, limit: usize::try_from(limit).unwrap_or(usize::MAX), query: of })
    }

    /// Ends with the id, so that no two documents are equal.
    fn order(&self, fields: Fields<'_>) -> Result<Vec<Value>> {
        let by_relevance = vec!["-_score".to_owned()];
        let keys = self.sort.as_ref().unwrap_or(&by_relevance);
        at_most("/sort", keys.len())?;
        let mut order = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            let (field, direction) =
                key.strip_prefix('-').map_or((key.as_str(), "asc"), |field| (field, "desc"));
            if field != "_score" {
                fields.check(&format!("/sort/{index}"), field)?;
            }
            order.push(json!({ field: { "order": direction } }));
        }
        if keys.iter().all(|key| key.trim_start_matches('-') != "id") {
            order.push(json!({ "id": { "order": "asc" } }));
        }
        Ok(order)
    }

    fn aggregations(&self, fields: Fields<'_>) -> Result<Value> {
        at_most("/facets", self.facets.len())?;
        let read = |(name, facet): (&String, &Value)| {
            let at = format!("/facets/{name}");
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
                return Err(refused(&at, "a facet is named by 1 to 64 letters, digits, _ and -"));
            }
            Ok((name.clone(), aggregation(&at, facet, fields)?))
        };
        Ok(Value::Object(self.facets.iter().map(read).collect::<Result<_>>()?))
    }
}

/// `{"terms": {"field": …, "size": …}}` or `{"range": {"field": …, "ranges": [{"from": …, "to": …}]}}`.
fn aggregation(at: &str, facet: &Value, fields: Fields<'_>) -> Result<Value> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "lowercase")]
    enum Facet {
        Terms(Terms),
        Range(Ranges),
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Terms {
        field: String,
        size: Option<u64>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ranges {
        field: String,
        ranges: Vec<Range>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Range {
        from: Option<Value>,
        to: Option<Value>,
    }
    let facet = Facet::deserialize(facet).map_err(|error| refused(at, error.to_string()))?;
    match facet {
        Facet::Terms(Terms { field, size }) => {
            fields.check(at, &field)?;
            let size = size.unwrap_or(10);
            if !(1..=BUCKETS).contains(&size) {
                return Err(refused(at, format!("size: expected 1 to {BUCKETS}")));
            }
            Ok(json!({ "terms": { "field": field, "size": size } }))
        }
        Facet::Range(Ranges { field, ranges }) => {
            fields.check(at, &field)?;
            at_most(at, ranges.len())?;
            let bounds: Vec<&Value> =
                ranges.iter().flat_map(|range| [&range.from, &range.to]).flatten().collect();
            let dates = bounds.iter().all(|bound| bound.is_string());
            if ranges.is_empty()
                || bounds.is_empty()
                || !(dates || bounds.iter().all(|bound| bound.is_number()))
            {
                return Err(refused(at, "ranges: expected from and to, all numbers or all dates"));
            }
            let ranges: Vec<Value> = ranges
                .iter()
                .map(|range| {
                    let bounds = [("from", &range.from), ("to", &range.to)].into_iter();
                    let given = bounds.filter_map(|(name, bound)| Some((name.to_owned(), bound.clone()?)));
                    Value::Object(given.collect())
                })
                .collect();
            let kind = if dates { "date_range" } else { "range" };
            Ok(json!({ kind: { "field": field, "ranges": ranges } }))
        }
    }
}

impl Fields<'_> {
    /// Whether readers may name this field.
    fn check(&self, at: &str, field: &str) -> Result<()> {
        let own = OWN_FIELDS.contains(&field);
        let path = field.strip_prefix("document.").filter(|path| !path.is_empty() && !path.contains('*'));
        if own || path.is_some_and(|path| self.has(path)) {
            return Ok(());
        }
        let shown: String = field.chars().take(80).collect();
        let tenant = if field == "tenant" { "; the tenant is the path's" } else { "" };
        Err(refused(
            at,
            format!(
                "the view {} has no field {shown:?}{tenant}; there are {}, and those of its mappings below `document.`",
                self.view,
                OWN_FIELDS.join(", ")
            ),
        ))
    }

    /// Where OpenSearch maps what it meets, any field may be there.
    fn has(&self, path: &str) -> bool {
        let Some(mut at) = self.mappings else { return true };
        if at["dynamic"] != false {
            return true;
        }
        path.split('.').all(|name| {
            let below =
                [&at["properties"][name], &at["fields"][name]].into_iter().find(|field| field.is_object());
            at = below.unwrap_or(&Value::Null);
            below.is_some()
        })
    }
}

fn at_most(at: &str, count: usize) -> Result<()> {
    if count <= ENTRIES { Ok(()) } else { Err(refused(at, format!("{count} entries; {ENTRIES} at most"))) }
}

/// A part of a search that is not understood, or not allowed.
fn refused(at: &str, why: impl Into<String>) -> Problem {
    let shown: String = at.chars().take(200).collect();
    Problem::new(Code::SearchInvalid, why).with("pointer", shown)
}
