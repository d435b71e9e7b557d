//! The part of OpenSearch's query language that clients may use, as a table.

use serde_json::{Map, Value, json};

use super::{Fields, refused};
use crate::problem::Result;

/// Queries within queries.
const DEPTH: usize = 8;
/// Queries in all.
const CLAUSES: usize = 100;
/// Values of one `terms`, fields of one `multi_match`.
const VALUES: usize = 100;
/// Bytes of one text.
const TEXT: usize = 2000;

/// What a parameter holds.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A text, number or boolean.
    Scalar,
    /// Several of them. An object here would be a lookup in another document.
    Scalars,
    Number,
    Boolean,
    Word(&'static [&'static str]),
    Field,
    Fields,
    Query,
    /// One query or several.
    Queries,
}

type Parameters = &'static [(&'static str, Kind)];

const OPERATOR: Kind = Kind::Word(&["and", "or", "AND", "OR"]);
const FUZZINESS: Kind = Kind::Word(&["AUTO", "0", "1", "2"]);

/// `{"match": {"document.name": "lamp"}}` or `{"match": {"document.name": {"query": "lamp", …}}}`: name, what the short form
/// stands for, parameters.
const OF_A_FIELD: [(&str, &str, Parameters); 6] = [
    (
        "match",
        "query",
        &[("query", Kind::Scalar), ("operator", OPERATOR), ("fuzziness", FUZZINESS), ("boost", Kind::Number)],
    ),
    ("match_phrase", "query", &[("query", Kind::Scalar), ("slop", Kind::Number), ("boost", Kind::Number)]),
    (
        "match_phrase_prefix",
        "query",
        &[("query", Kind::Scalar), ("slop", Kind::Number), ("boost", Kind::Number)],
    ),
    (
        "term",
        "value",
        &[("value", Kind::Scalar), ("case_insensitive", Kind::Boolean), ("boost", Kind::Number)],
    ),
    (
        "prefix",
        "value",
        &[("value", Kind::Scalar), ("case_insensitive", Kind::Boolean), ("boost", Kind::Number)],
    ),
    (
        "range",
        "",
        &[
            ("gt", Kind::Scalar),
            ("gte", Kind::Scalar),
            ("lt", Kind::Scalar),
            ("lte", Kind::Scalar),
            ("boost", Kind::Number),
        ],
    ),
];

/// Those that name their fields inside, if any.
const OTHERS: [(&str, Parameters); 6] = [
    ("match_all", &[("boost", Kind::Number)]),
    ("exists", &[("field", Kind::Field)]),
    (
        "multi_match",
        &[
            ("query", Kind::Scalar),
            ("fields", Kind::Fields),
            ("type", Kind::Word(&["best_fields", "most_fields", "cross_fields", "phrase", "phrase_prefix"])),
            ("operator", OPERATOR),
            ("fuzziness", FUZZINESS),
            ("boost", Kind::Number),
        ],
    ),
    (
        "simple_query_string",
        &[
            ("query", Kind::Scalar),
            ("fields", Kind::Fields),
            ("default_operator", OPERATOR),
            ("boost", Kind::Number),
        ],
    ),
    (
        "nested",
        &[
            ("path", Kind::Field),
            ("query", Kind::Query),
            ("score_mode", Kind::Word(&["avg", "max", "min", "sum", "none"])),
        ],
    ),
    (
        "bool",
        &[
            ("must", Kind::Queries),
            ("should", Kind::Queries),
            ("filter", Kind::Queries),
            ("must_not", Kind::Queries),
            ("minimum_should_match", Kind::Number),
            ("boost", Kind::Number),
        ],
    ),
];

/// Without `fields`, these would look into all, the tenant's name among them.
const NEED_FIELDS: [&str; 2] = ["multi_match", "simple_query_string"];

/// Reads a query and writes it anew.
pub(super) fn read(query: &Value, fields: Fields<'_>) -> Result<Value> {
    Reader { fields, clauses: 0 }.query("/query", query, 0)
}

struct Reader<'a> {
    fields: Fields<'a>,
    clauses: usize,
}

impl Reader<'_> {
    fn query(&mut self, at: &str, query: &Value, depth: usize) -> Result<Value> {
        self.clauses += 1;
        if depth >= DEPTH || self.clauses > CLAUSES {
            return Err(refused(
                at,
                format!("queries within queries {DEPTH} deep at most, {CLAUSES} in all"),
            ));
        }
        let (name, body) =
            only_member(at, query, "a query such as {\"match\": {\"document.name\": \"lamp\"}}")?;
        let at = format!("{at}/{name}");
        if name == "terms" {
            let (field, values) = only_member(&at, body, "a field and its values")?;
            self.fields.check(&at, field)?;
            return Ok(
                json!({ name: { field: self.value(&format!("{at}/{field}"), Kind::Scalars, values, depth)? } }),
            );
        }
        if let Some((_, short, parameters)) = OF_A_FIELD.iter().find(|(known, ..)| *known == name) {
            let (field, body) = only_member(&at, body, "a field")?;
            self.fields.check(&at, field)?;
            let at = format!("{at}/{field}");
            let long =
                if body.is_object() || short.is_empty() { body.clone() } else { json!({ *short: body }) };
            return Ok(json!({ name: { field: self.parameters(&at, parameters, &long, depth)? } }));
        }
        let Some((_, parameters)) = OTHERS.iter().find(|(known, _)| *known == name) else {
            let known = OF_A_FIELD.iter().map(|(name, ..)| *name).chain(OTHERS.iter().map(|(name, _)| *name));
            let known = known.chain(["terms"]).collect::<Vec<_>>().join(", ");
            return Err(refused(&at, format!("there is no such query here; there are {known}")));
        };
        let read = self.parameters(&at, parameters, body, depth)?;
        if NEED_FIELDS.contains(&name) && read["fields"].is_null() {
            return Err(refused(&at, "expected `fields`"));
        }
        Ok(json!({ name: read }))
    }

    fn parameters(&mut self, at: &str, known: Parameters, body: &Value, depth: usize) -> Result<Value> {
        let given = body.as_object().ok_or_else(|| refused(at, "expected an object"))?;
        let mut read = Map::new();
        for (name, value) in given {
            let at = format!("{at}/{name}");
            let Some((name, kind)) = known.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                return Err(refused(
                    &at,
                    format!("there is no such parameter here; there are {}", known.join(", ")),
                ));
            };
            read.insert((*name).to_owned(), self.value(&at, *kind, value, depth)?);
        }
        Ok(Value::Object(read))
    }

    fn value(&mut self, at: &str, kind: Kind, value: &Value, depth: usize) -> Result<Value> {
        let expected = |what: &str| Err(refused(at, format!("expected {what}")));
        match (kind, value) {
            (Kind::Scalar, Value::String(text)) if text.len() > TEXT => {
                expected(&format!("a text of at most {TEXT} bytes"))
            }
            (Kind::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_))
            | (Kind::Number, Value::Number(_))
            | (Kind::Boolean, Value::Bool(_)) => Ok(value.clone()),
            (Kind::Word(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(value.clone()),
            // OpenSearch takes a fuzziness of 1 as the word and as the number.
            (Kind::Word(words), Value::Number(number)) if words.contains(&number.to_string().as_str()) => {
                Ok(value.clone())
            }
            (Kind::Scalars, Value::Array(values)) if values.len() <= VALUES => {
                values.iter().map(|value| self.value(at, Kind::Scalar, value, depth)).collect()
            }
            (Kind::Fields, Value::Array(names)) if (1..=VALUES).contains(&names.len()) => {
                names.iter().map(|name| self.value(at, Kind::Field, name, depth)).collect()
            }
            (Kind::Field, Value::String(field)) => {
                // `document.name^2` counts twice.
                let name = match field.split_once('^') {
                    Some((name, boost)) if boost.parse::<u32>().is_ok() => name,
                    _ => field,
                };
                self.fields.check(at, name)?;
                Ok(value.clone())
            }
            (Kind::Query, query) => self.query(at, query, depth + 1),
            (Kind::Queries, Value::Array(queries)) => {
                let read = queries.iter().enumerate();
                read.map(|(index, query)| self.query(&format!("{at}/{index}"), query, depth + 1)).collect()
            }
            (Kind::Queries, query) => self.query(at, query, depth + 1),
            (Kind::Scalar, _) => expected("a text, a number or a boolean"),
            (Kind::Scalars, _) => {
                expected(&format!("an array of at most {VALUES} texts, numbers or booleans"))
            }
            (Kind::Number, _) => expected("a number"),
            (Kind::Boolean, _) => expected("true or false"),
            (Kind::Word(words), _) => expected(&format!("one of {}", words.join(", "))),
            (Kind::Field, _) => expected("a field"),
            (Kind::Fields, _) => expected(&format!("an array of 1 to {VALUES} fields")),
        }
    }
}

fn only_member<'a>(at: &str, object: &'a Value, what: &str) -> Result<(&'a str, &'a Value)> {
    let mut members = object.as_object().into_iter().flatten();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(refused(at, format!("expected an object with one member: {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn mappings() -> Value {
        json!({ "dynamic": false, "properties": {
            "name": { "type": "text", "fields": { "keyword": { "type": "keyword" } } },
            "lines": { "properties": { "code": { "type": "keyword" } } },
        } })
    }

    fn read_query(query: &Value) -> Result<Value> {
        read(query, Fields { view: "orders", mappings: Some(&mappings()) })
    }

    #[test]
    fn what_is_allowed_is_written_anew() {
        for (given, written) in [
            (
                json!({ "match": { "document.name": "x" } }),
                json!({ "match": { "document.name": { "query": "x" } } }),
            ),
            (json!({ "term": { "id": 1 } }), json!({ "term": { "id": { "value": 1 } } })),
        ] {
            assert_eq!(read_query(&given).unwrap(), written);
        }
        for same in [
            json!({ "match_all": {} }),
            json!({ "match": { "document.name": { "query": "x", "operator": "and", "fuzziness": "AUTO" } } }),
            json!({ "terms": { "document.name.keyword": ["a", 1, true] } }),
            json!({ "range": { "created_at": { "gte": "2026-01-01", "lt": "now" } } }),
            json!({ "exists": { "field": "document.lines.code" } }),
            json!({ "multi_match": { "query": "x", "fields": ["document.name^3", "id"], "type": "phrase" } }),
            json!({ "nested": { "path": "document.lines", "query": { "match_all": {} } } }),
            json!({ "bool": { "must": [{ "match_all": {} }], "filter": { "exists": { "field": "id" } } } }),
        ] {
            assert_eq!(read_query(&same).unwrap(), same);
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for query in [
            json!({ "script": { "script": "true" } }),
            json!({ "script_score": { "query": { "match_all": {} }, "script": {} } }),
            json!({ "function_score": {} }),
            json!({ "more_like_this": { "like": [{ "_id": "other|o1" }] } }),
            json!({ "percolate": {} }),
            json!({ "ids": { "values": ["other|o1"] } }),
            json!({ "query_string": { "query": "tenant:other" } }),
            json!({ "wrapper": { "query": "e30=" } }),
            json!({ "has_child": {} }),
            json!({ "geo_shape": {} }),
            json!({ "terms": { "id": { "index": "orders", "id": "other|o1", "path": "id" } } }),
            json!({ "terms": { "id": ["a"], "boost": 1 } }),
            json!({ "terms": { "tenant": ["other"] } }),
            json!({ "term": { "tenant": "other" } }),
            json!({ "term": { "_id": "other|o1" } }),
            json!({ "term": { "_index": "orders-g1" } }),
            json!({ "term": { "deleted": true } }),
            json!({ "term": { "document.*": "x" } }),
            json!({ "term": { "document.": "x" } }),
            json!({ "term": { "document.colour": "x" } }),
            json!({ "term": { "document.name": ["x"] } }),
            json!({ "match": { "document.name": { "query": "x", "analyzer": "whitespace" } } }),
            json!({ "multi_match": { "query": "x" } }),
            json!({ "multi_match": { "query": "x", "fields": [] } }),
            json!({ "multi_match": { "query": "x", "fields": ["*"] } }),
            json!({ "simple_query_string": { "query": "x" } }),
            json!({ "nested": { "path": "document.lines", "query": { "match_all": {} }, "inner_hits": {} } }),
            json!({ "bool": { "must": [{ "term": { "tenant": "other" } }] } }),
            json!({ "match_all": {}, "match_none": {} }),
            json!({}),
            json!([]),
            json!("x"),
        ] {
            assert_eq!(read_query(&query).unwrap_err().code(), Code::SearchInvalid, "{query}");
        }
    }

    #[test]
    fn depth_and_clauses_are_bounded() {
        let all = json!({ "match_all": {} });
        let nested = |levels| (0..levels).fold(all.clone(), |inner, _| json!({ "bool": { "must": inner } }));
        assert!(read_query(&nested(7)).is_ok());
        assert!(read_query(&nested(8)).is_err());
        let wide = |count| json!({ "bool": { "should": vec![all.clone(); count] } });
        assert!(read_query(&wide(99)).is_ok());
        assert!(read_query(&wide(100)).is_err());
        assert!(read_query(&json!({ "terms": { "id": vec!["a"; 101] } })).is_err());
        assert!(read_query(&json!({ "match": { "document.name": "x".repeat(2001) } })).is_err());
    }
}
