//! What an index knows of its documents, and the request that makes it.
//!
//! Without mappings of its own, a view's follow from the type's JSON Schema, and what the schema does not name is kept
//! but not indexed (`dynamic: false`). Letting the first document decide the type of a field would refuse the second that
//! has another, and a map keyed by data would grow the mapping to its limit. Fields accept what the schema accepts:
//! a number or date that OpenSearch cannot hold is kept and left out of the field's index, not refused.
//!
//! | schema | field |
//! | --- | --- |
//! | string | `text`, and `keyword` beneath it: `name` is searched, `name.keyword` filtered and sorted |
//! | string with `enum` or `const`, uuid | `keyword` |
//! | string, `format: decimal` | `keyword`, exact; beneath it `number`, a `double` for ranges and sorting |
//! | string, `format: date-time` or `date` | `date` |
//! | integer · number · boolean | `long` · `double` · `boolean` |
//! | object with `properties` | an object of the same |
//! | array | as its `items`: OpenSearch has no array type |
//! | anything else | kept, not indexed |

use aqueduct_model::SearchView;
use serde_json::{Map, Value, json};

use super::{IndexNames, Settings};
use crate::{Generation, State};

/// Where an index says of which view it is, complete: by this it is known as ours, and not one that happens to have the
/// name.
pub(super) const DEFINITION: &str = "aqueduct-view";

/// A longer value is not found by `keyword`. In bytes, four a character at most, this is what Lucene takes as one term:
/// without the limit a longer value would have its document refused.
const KEYWORD_LIMIT: u32 = 8191;

/// Objects within objects that are looked into. OpenSearch refuses mappings that are deeper than 20.
const DEPTH_LIMIT: usize = 15;

/// The mappings of the field `document`: what the view gives, over what follows from `schema` when the document is the
/// item's attributes, over OpenSearch's own choice when an expression makes it.
#[must_use]
pub fn of_document(view: &SearchView, schema: &Value) -> Value {
    let mut mappings = match view.document {
        None => Derivation { root: schema, references: Vec::new() }.object(schema, 0),
        Some(_) => json!({ "dynamic": true, "properties": {} }),
    };
    for (name, given) in view.mappings.iter().filter_map(Value::as_object).flatten() {
        match (name.as_str(), given.as_object(), mappings["properties"].as_object_mut()) {
            ("properties", Some(given), Some(properties)) => properties.extend(given.clone()),
            _ => mappings[name] = given.clone(),
        }
    }
    mappings
}

/// The body of the request that makes a generation's index with its aliases. One that is being built has no public one, no
/// replicas, and does not refresh, until it is loaded.
#[must_use]
pub fn create_index(generation: &Generation, names: &IndexNames, settings: &Settings) -> Value {
    let view = generation.definition.opensearch.as_ref();
    let is_built = generation.state == State::Building;
    let mut index = if is_built { unserved() } else { served(settings) };
    index["number_of_shards"] = settings.shards.into();
    if let Some(analysis) = view.and_then(|view| view.analysis.as_ref()) {
        index["analysis"] = analysis.clone();
    }
    let mut aliases = json!({ names.write_alias(generation): { "is_write_index": true } });
    if !is_built {
        aliases[names.public_alias(generation.view())] = public_alias();
    }
    let mut body = json!({
        "settings": { "index": index },
        "mappings": {
            "_meta": { DEFINITION: generation.definition },
            "dynamic": false,
            // Only where a view asks for dynamic fields. A string is a string, whatever the first one looks like.
            "date_detection": false,
            "dynamic_templates": [{ "strings": { "match_mapping_type": "string", "mapping": text() } }],
            "properties": {
                "tenant": { "type": "keyword" },
                "id": { "type": "keyword" },
                "item_version": { "type": "long" },
                "deleted": { "type": "boolean" },
                "created_at": { "type": "date" },
                "updated_at": { "type": "date" },
                "document": view.and_then(|view| view.mappings.as_ref()),
            },
        },
        "aliases": aliases,
    });
    if view.is_some_and(|view| view.routing.is_some()) {
        // A write or a read of a document that does not say its tenant would ask the wrong shard.
        body["mappings"]["_routing"] = json!({ "required": true });
    }
    body
}

/// The settings of an index that is read and kept in step.
#[must_use]
pub fn served(settings: &Settings) -> Value {
    json!({ "number_of_replicas": settings.replicas, "refresh_interval": settings.refresh_interval })
}

/// Those of one that is filled as fast as it goes.
fn unserved() -> Value {
    json!({ "number_of_replicas": 0, "refresh_interval": "-1" })
}

/// What the public alias shows.
#[must_use]
pub fn public_alias() -> Value {
    json!({ "filter": { "term": { "deleted": false } } })
}

/// One walk over a schema. `references` are the `$ref`s on the way down: one that is met again is a recursive schema.
struct Derivation<'a> {
    root: &'a Value,
    references: Vec<&'a str>,
}

impl<'a> Derivation<'a> {
    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let properties = schema["properties"].as_object();
        let fields: Map<String, Value> = properties
            .into_iter()
            .flatten()
            .map(|(name, property)| (name.clone(), self.field(property, depth + 1)))
            .collect();
        json!({ "dynamic": false, "properties": fields })
    }

    fn field(&mut self, schema: &'a Value, depth: usize) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.referenced(reference, depth);
        }
        if let Some(only) = nullable(schema) {
            return self.field(only, depth);
        }
        let of_strings = schema["enum"].as_array().is_some_and(|values| values.iter().all(Value::is_string));
        if of_strings || schema["const"].is_string() {
            return keyword();
        }
        match (&types(schema)[..], schema["format"].as_str()) {
            (["string"], format) => string(format),
            (["integer"], _) => json!({ "type": "long", "ignore_malformed": true }),
            (["number"] | ["integer", "number"] | ["number", "integer"], _) => {
                json!({ "type": "double", "ignore_malformed": true })
            }
            (["boolean"], _) => json!({ "type": "boolean" }),
            (["object"], _) if schema["properties"].is_object() && depth < DEPTH_LIMIT => {
                self.object(schema, depth)
            }
            (["array"], _) if schema["items"].is_object() && schema["prefixItems"].is_null() => {
                self.field(&schema["items"], depth)
            }
            _ => kept(),
        }
    }

    fn referenced(&mut self, reference: &'a str, depth: usize) -> Value {
        let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        match target {
            Some(target) if !self.references.contains(&reference) => {
                self.references.push(reference);
                let field = self.field(target, depth);
                self.references.pop();
                field
            }
            _ => kept(),
        }
    }
}

/// The types a schema names, without null.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

/// `X` of `anyOf: [X, { type: null }]`.
fn nullable(schema: &Value) -> Option<&Value> {
    let options = schema["anyOf"].as_array().or(schema["oneOf"].as_array())?;
    let mut others = options.iter().filter(|option| option["type"] != "null");
    others.next().filter(|_| others.next().is_none())
}

fn string(format: Option<&str>) -> Value {
    match format {
        Some("decimal") => {
            let number = json!({ "type": "double", "ignore_malformed": true });
            json!({ "type": "keyword", "ignore_above": KEYWORD_LIMIT, "fields": { "number": number } })
        }
        Some("date-time" | "date") => json!({ "type": "date", "ignore_malformed": true }),
        Some("uuid") => keyword(),
        _ => text(),
    }
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": KEYWORD_LIMIT })
}

fn text() -> Value {
    json!({ "type": "text", "fields": { "keyword": keyword() } })
}

fn kept() -> Value {
    json!({ "type": "object", "enabled": false })
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;
    use crate::State;

    fn search(view: Value) -> SearchView {
        serde_json::from_value(view).unwrap()
    }

    fn derived(schema: Value) -> Value {
        of_document(&search(json!({})), &schema)["properties"].take()
    }

    #[test]
    fn a_schema_becomes_fields() {
        insta::assert_json_snapshot!(of_document(
            &search(json!({})),
            &json!({
                "type": "object",
                "properties": {
                    "customerName": { "type": "string" },
                    "status": { "enum": ["pending", "shipped"] },
                    "kind": { "const": "order" },
                    "total": { "type": "string", "format": "decimal" },
                    "placedAt": { "type": "string", "format": "date-time" },
                    "day": { "type": ["string", "null"], "format": "date" },
                    "ref": { "type": "string", "format": "uuid" },
                    "quantity": { "type": "integer" },
                    "weight": { "type": ["integer", "number", "null"] },
                    "paid": { "type": "boolean" },
                    "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
                    "address": { "type": "object", "properties": { "city": { "type": "string" } } },
                    "items": { "type": "array", "items": { "$ref": "#/$defs/line" } },
                },
                "$defs": { "line": {
                    "type": "object",
                    "properties": { "code": { "type": "string" }, "price": { "type": "string", "format": "decimal" } },
                } },
            })
        ));
    }

    #[test]
    fn what_has_no_single_type_is_kept_without_an_index() {
        let fields = derived(json!({ "properties": {
            "anything": {},
            "yes": true,
            "free": { "type": "object" },
            "mixed": { "type": ["string", "object"] },
            "either": { "anyOf": [{ "type": "string" }, { "type": "object" }] },
            "pair": { "type": "array", "prefixItems": [{ "type": "string" }, { "type": "object" }] },
            "list": { "type": "array" },
            "elsewhere": { "$ref": "https://example.com/schema.json" },
        } }));
        for (name, field) in fields.as_object().unwrap() {
            assert_eq!(*field, json!({ "type": "object", "enabled": false }), "{name}");
        }
    }

    #[test]
    fn recursive_and_deep_schemas_end() {
        let tree = json!({
            "properties": { "root": { "$ref": "#/$defs/node" } },
            "$defs": { "node": { "type": "object", "properties": {
                "left": { "$ref": "#/$defs/node" },
                "right": { "$ref": "#/$defs/node" },
                "name": { "type": "string" },
            } } },
        });
        let node = &derived(tree)["root"]["properties"];
        assert_eq!(node["left"], json!({ "type": "object", "enabled": false }));
        assert_eq!(node["name"]["type"], "text");

        let mut deep = json!({ "type": "string" });
        for _ in 0..100 {
            deep = json!({ "type": "object", "properties": { "a": deep } });
        }
        let mut field = &of_document(&search(json!({})), &deep);
        let mut depth = 0;
        while field["enabled"].is_null() {
            (field, depth) = (&field["properties"]["a"], depth + 1);
        }
        assert!(depth <= DEPTH_LIMIT, "{depth}");
    }

    #[test]
    fn what_a_view_gives_comes_before_what_follows_from_the_schema() {
        let schema = json!({ "properties": { "name": { "type": "string" }, "age": { "type": "integer" } } });
        let view =
            json!({ "mappings": { "dynamic": true, "properties": { "name": { "type": "keyword" } } } });
        assert_eq!(
            of_document(&search(view), &schema),
            json!({ "dynamic": true, "properties": {
                "name": { "type": "keyword" },
                "age": { "type": "long", "ignore_malformed": true },
            } })
        );
    }

    #[test]
    fn a_document_made_by_an_expression_has_no_schema() {
        let schema = json!({ "properties": { "name": { "type": "string" } } });
        let view = json!({ "document": "{'n': self.name}" });
        assert_eq!(of_document(&search(view), &schema), json!({ "dynamic": true, "properties": {} }));
    }

    #[test]
    fn an_index_is_made_with_its_aliases() {
        let definition = json!({
            "name": "orders",
            "type": "ORDER",
            "opensearch": { "mappings": { "dynamic": false, "properties": { "status": { "type": "keyword" } } } },
        });
        let generation = Generation::new(serde_json::from_value(definition).unwrap(), 1, State::Live);
        let settings = Settings {
            auth: crate::opensearch::Auth::Basic,
            region: String::new(),
            ca_file: Default::default(),
            url: String::new(),
            index_prefix: "p-".into(),
            refresh_interval: "1s".into(),
            shards: 2,
            replicas: 0,
            request_timeout: std::time::Duration::from_secs(1),
            bulk_bytes: ByteSize::mib(1),
            gzip: crate::opensearch::Gzip::Never,
        };
        let names = IndexNames::new(&settings.index_prefix);
        insta::assert_json_snapshot!(create_index(&generation, &names, &settings));
    }
}
