//! A generation's index in OpenSearch against the event store.
//!
//! Documents are read by id from the physical index, which needs no refresh; only the walk over all ids does.

use std::collections::HashMap;

use anyhow::{Context, bail};
use aqueduct_contract::{Item, ItemKey};
use aqueduct_model::SearchView;
use aqueduct_views::Generation;
use aqueduct_views::opensearch::{IndexNames, document, document_id};
use futures::stream::{self, Stream};
use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::request::JsonBody;
use serde_json::{Value, json};

use super::difference::{Kind, differing_paths};

/// One generation of a view in OpenSearch.
pub(super) struct Index {
    client: OpenSearch,
    generation: Generation,
    view: SearchView,
    index: String,
    /// `opensearch orders.g1`.
    pub(super) name: String,
}

impl Index {
    pub(super) fn new(client: OpenSearch, names: &IndexNames, generation: Generation) -> Index {
        let view = generation.definition.opensearch.clone().unwrap_or_default();
        let (index, name) = (names.index(&generation), format!("opensearch {}", generation.sink()));
        Index { client, generation, view, index, name }
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(super) async fn compare(&self, items: &[Item]) -> anyhow::Result<Vec<(ItemKey, Kind)>> {
        if items.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<String> = items.iter().map(|item| document_id(&item.key)).collect();
        let wanted: Vec<Value> = items
            .iter()
            .zip(&ids)
            .map(|(item, id)| match self.view.routing_of(item.key.tenant()) {
                Some(routing) => json!({ "_id": id, "routing": routing }),
                None => json!({ "_id": id }),
            })
            .collect();
        let mut answer =
            self.send(Method::Post, &format!("{}/_mget", self.index), json!({ "docs": wanted })).await?;
        let Value::Array(documents) = answer["docs"].take() else {
            bail!("OpenSearch answered _mget without `docs`")
        };
        let found: HashMap<&str, &Value> =
            documents.iter().filter_map(|document| Some((document["_id"].as_str()?, document))).collect();
        let differences = items.iter().zip(&ids).filter_map(|(item, id)| {
            let kind = self.difference(item, found.get(id.as_str()).copied())?;
            Some((item.key.clone(), kind))
        });
        Ok(differences.collect())
    }

    fn difference(&self, item: &Item, found: Option<&Value>) -> Option<Kind> {
        let expected = match self.expected(item) {
            Ok(expected) => expected,
            Err(error) => return Some(Kind::NotMappable { reason: error.to_string() }),
        };
        let Some(found) = found.filter(|document| document["found"] == true) else {
            return Some(Kind::Missing { expected: item.version });
        };
        // The version that guards writes, and the one that readers see: both must be right.
        let guard = found["_version"].as_i64().unwrap_or_default();
        let shown = found["_source"]["item_version"].as_i64().unwrap_or_default();
        if let Some(found) = [guard, shown].into_iter().find(|version| *version != item.version.as_i64()) {
            return Some(Kind::Version { expected: item.version, found });
        }
        let fields = differing_paths(&expected, &found["_source"], "document");
        (!fields.is_empty()).then_some(Kind::Value { fields })
    }

    fn expected(&self, item: &Item) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(document(&self.view, &item.to_raw()?)?)?)
    }

    /// The keys that the index holds, in batches, from one point in time.
    pub(super) fn keys(&self) -> impl Stream<Item = anyhow::Result<Vec<ItemKey>>> + '_ {
        stream::try_unfold(Walk::Start, move |walk| async move {
            let (pit, after) = match walk {
                Walk::At { pit, after } => (pit, Some(after)),
                Walk::Start => {
                    self.send(Method::Post, &format!("{}/_refresh", self.index), Value::Null).await?;
                    let path = format!("{}/_search/point_in_time?keep_alive=5m", self.index);
                    let opened = self.send(Method::Post, &path, Value::Null).await?;
                    (
                        opened["pit_id"].as_str().context("OpenSearch opened no point in time")?.to_owned(),
                        None,
                    )
                }
            };
            let mut search = json!({
                "size": super::BATCH,
                "_source": ["tenant", "id"],
                "query": { "match_all": {} },
                "pit": { "id": pit, "keep_alive": "5m" },
                "sort": [{ "_shard_doc": "asc" }],
            });
            if let Some(after) = after {
                search["search_after"] = after;
            }
            let found = self.send(Method::Post, "_search", search).await?;
            let hits =
                found["hits"]["hits"].as_array().context("OpenSearch answered a search without hits")?;
            let keys = hits.iter().map(|hit| self.key(hit)).collect::<anyhow::Result<Vec<_>>>()?;
            let Some(last) = hits.last() else {
                self.send(Method::Delete, "_search/point_in_time", json!({ "pit_id": [pit] })).await?;
                return Ok(None);
            };
            Ok(Some((keys, Walk::At { pit, after: last["sort"].clone() })))
        })
    }

    fn key(&self, hit: &Value) -> anyhow::Result<ItemKey> {
        let id = hit["_id"].as_str().unwrap_or_default();
        let (tenant, id) = id.split_once('|').with_context(|| format!("the document {id:?} is nobody's"))?;
        Ok(ItemKey::new(tenant.parse()?, self.generation.definition.type_name.clone(), id.parse()?)?)
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let body = (!body.is_null()).then(|| JsonBody::new(body));
        let response = self.client.send::<_, ()>(method, path, HeaderMap::new(), None, body, None).await?;
        let status = response.status_code();
        let answer: Value = response.json().await?;
        if !status.is_success() {
            bail!("OpenSearch answered {status} to {path}: {answer}");
        }
        Ok(answer)
    }
}

enum Walk {
    Start,
    At { pit: String, after: Value },
}
