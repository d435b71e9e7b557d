//! A generation's index in OpenSearch against the event store.
//!
//! Documents are read by id from the physical index, which needs no refresh; only the walk over all of them does. OpenSearch
//! computes no digest of a document, so that walk reads them all.

use std::collections::HashMap;

use aqueduct_contract::{Item, ItemKey, RawItem, Tenant};
use aqueduct_model::SearchView;
use aqueduct_views::Generation;
use aqueduct_views::definition::canonical;
use aqueduct_views::opensearch::{IndexNames, Registry, document, document_id};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use opensearch::http::request::JsonBody;
use serde_json::{Value, json};

use crate::buckets::{Buckets, Differing, Share, bucket_of};
use crate::difference::{Kind, differing_paths};
use crate::{BATCH, Error};

/// One generation of a view in OpenSearch.
pub(crate) struct Index {
    client: OpenSearch,
    registry: Registry,
    generation: Generation,
    view: SearchView,
    index: String,
    /// `opensearch orders.g1`.
    pub(crate) name: String,
}

impl Index {
    pub(crate) fn new(
        client: OpenSearch,
        registry: Registry,
        names: &IndexNames,
        generation: Generation,
    ) -> Index {
        let view = generation.definition.opensearch.clone().unwrap_or_default();
        let (index, name) = (names.index(&generation), Index::name_of(&generation));
        Index { client, registry, generation, view, index, name }
    }

    /// `opensearch orders.g1`.
    pub(crate) fn name_of(generation: &Generation) -> String {
        format!("opensearch {}", generation.sink())
    }

    pub(crate) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Every generation as it is registered now.
    pub(crate) async fn registered(&self) -> Result<Vec<Generation>, Error> {
        Ok(self.registry.generations().await?)
    }

    pub(crate) async fn compare(&self, items: &[Item]) -> Result<Vec<(ItemKey, Kind)>, Error> {
        if items.is_empty() {
            return Ok(vec![]);
        }
        let ids: Vec<String> = items.iter().map(|item| document_id(&item.key)).collect();
        let path = format!("{}/_mget", self.index);
        let wanted: Vec<Value> = items
            .iter()
            .zip(&ids)
            .map(|(item, id)| match self.view.routing_of(item.key.tenant()) {
                Some(routing) => json!({ "_id": id, "routing": routing }),
                None => json!({ "_id": id }),
            })
            .collect();
        let mut answer = self.send(Method::Post, &path, json!({ "docs": wanted })).await?;
        let Value::Array(documents) = answer["docs"].take() else { return Err(unexpected(&path, &answer)) };
        let found: HashMap<&str, &Value> =
            documents.iter().filter_map(|document| Some((document["_id"].as_str()?, document))).collect();
        let differences = items.iter().zip(&ids).filter_map(|(item, id)| {
            let kind = self.difference(item, found.get(id.as_str()).copied())?;
            Some((item.key.clone(), kind))
        });
        Ok(differences.collect())
    }

    fn difference(&self, item: &Item, found: Option<&Value>) -> Option<Kind> {
        let expected = match self.document(item) {
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

    fn document(&self, item: &Item) -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::to_value(document(&self.view, &item.to_raw()?)?)?)
    }

    /// The digest of the document that an item should have; `None` when it can have none.
    pub(crate) fn expected(&self, item: &RawItem<'_>) -> Option<Share> {
        let expected = serde_json::to_value(document(&self.view, item).ok()?).ok()?;
        if self.may_be_gone(&expected) {
            return Some(Share::default());
        }
        Some(share_of(&document_id(&item.key), item.version.as_i64(), &expected))
    }

    /// Whether the document of an item marks it as deleted; `false` when it can have none.
    pub(crate) fn is_tombstone(&self, item: &Item) -> bool {
        self.document(item).is_ok_and(|document| document["deleted"] == true)
    }

    /// Whether a document is a tombstone that may have been removed, so that nobody can say whether it is there.
    fn may_be_gone(&self, document: &Value) -> bool {
        let updated_at = document["updated_at"].as_str().and_then(|at| at.parse().ok());
        document["deleted"] == true && updated_at.is_some_and(|at| self.generation.may_have_purged(at))
    }

    /// Digests of all documents but for tombstones that may have been removed.
    pub(crate) async fn digests(&self, tenant: Option<&Tenant>) -> Result<Buckets, Error> {
        let mut buckets = Buckets::default();
        let mut pages = std::pin::pin!(self.walk(tenant, json!(true)));
        while let Some(hits) = pages.try_next().await? {
            for hit in hits.iter().filter(|hit| !self.may_be_gone(&hit["_source"])) {
                let key = self.key(hit)?;
                let version = hit["_version"].as_i64().unwrap_or_default();
                let share = share_of(&document_id(&key), version, &hit["_source"]);
                buckets.add(bucket_of(key.tenant(), key.id().as_str()), share);
            }
        }
        Ok(buckets)
    }

    /// The keys that the index holds in these buckets, in batches.
    pub(crate) fn keys<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        buckets: &'a Differing,
    ) -> BoxStream<'a, Result<Vec<ItemKey>, Error>> {
        let pages = self.walk(tenant, json!(false));
        let keys = pages.and_then(async move |hits| {
            let keys = hits.iter().map(|hit| self.key(hit)).collect::<Result<Vec<_>, Error>>()?;
            Ok(keys.into_iter().filter(|key| buckets.contains(key)).collect())
        });
        keys.boxed()
    }

    /// At most `limit` keys of the documents that a search finds, each as likely as any other.
    pub(crate) async fn random_keys(&self, limit: usize) -> Result<Vec<ItemKey>, Error> {
        let path = format!("{}/_search", self.index);
        let random = json!({ "function_score": { "query": { "match_all": {} }, "random_score": {} } });
        let search = json!({ "size": limit, "_source": false, "track_total_hits": false, "query": random });
        let mut found = self.send(Method::Post, &path, search).await?;
        let Value::Array(hits) = found["hits"]["hits"].take() else { return Err(unexpected(&path, &found)) };
        hits.iter().map(|hit| self.key(hit)).collect()
    }

    pub(crate) async fn remove(&self, keys: &[&ItemKey]) -> Result<(), Error> {
        if keys.is_empty() {
            return Ok(());
        }
        let path = format!("{}/_bulk", self.index);
        let mut lines = String::new();
        for key in keys {
            let mut target = json!({ "_id": document_id(key) });
            if let Some(routing) = self.view.routing_of(key.tenant()) {
                target["routing"] = json!(routing);
            }
            lines.push_str(&json!({ "delete": target }).to_string());
            lines.push('\n');
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let response =
            self.client.send::<_, ()>(Method::Post, &path, headers, None, Some(lines), None).await?;
        let answer: Value = response.json().await?;
        if answer["errors"] == false { Ok(()) } else { Err(unexpected(&path, &answer)) }
    }

    /// All documents, with or without their `_source`, in pages from one point in time.
    fn walk(
        &self,
        tenant: Option<&Tenant>,
        source: Value,
    ) -> impl Stream<Item = Result<Vec<Value>, Error>> + '_ {
        let query = match tenant {
            Some(tenant) => json!({ "term": { "tenant": tenant } }),
            None => json!({ "match_all": {} }),
        };
        let page = json!({
            "size": BATCH,
            "_source": source,
            "version": true,
            "query": query,
            "sort": [{ "_shard_doc": "asc" }],
        });
        stream::try_unfold(Walk::Start, move |walk| {
            let mut search = page.clone();
            async move {
                let (pit, after) = match walk {
                    Walk::At { pit, after } => (pit, Some(after)),
                    Walk::Start => (self.point_in_time().await?, None),
                };
                search["pit"] = json!({ "id": pit, "keep_alive": "5m" });
                if let Some(after) = after {
                    search["search_after"] = after;
                }
                let mut found = self.send(Method::Post, "_search", search).await?;
                let Value::Array(hits) = found["hits"]["hits"].take() else {
                    return Err(unexpected("_search", &found));
                };
                let Some(last) = hits.last() else {
                    self.send(Method::Delete, "_search/point_in_time", json!({ "pit_id": [pit] })).await?;
                    return Ok(None);
                };
                let after = last["sort"].clone();
                Ok(Some((hits, Walk::At { pit, after })))
            }
        })
    }

    async fn point_in_time(&self) -> Result<String, Error> {
        self.send(Method::Post, &format!("{}/_refresh", self.index), Value::Null).await?;
        let path = format!("{}/_search/point_in_time?keep_alive=5m", self.index);
        let opened = self.send(Method::Post, &path, Value::Null).await?;
        let id = opened["pit_id"].as_str().ok_or_else(|| unexpected(&path, &opened))?;
        Ok(id.to_owned())
    }

    fn key(&self, hit: &Value) -> Result<ItemKey, Error> {
        let document = hit["_id"].as_str().unwrap_or_default();
        let stranger = || Error::Stranger { read_model: self.name.clone(), key: document.to_owned() };
        let (tenant, id) = document.split_once('|').ok_or_else(stranger)?;
        let (Ok(tenant), Ok(id)) = (tenant.parse(), id.parse()) else { return Err(stranger()) };
        ItemKey::new(tenant, self.generation.definition.type_name.clone(), id).map_err(|_| stranger())
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, Error> {
        let body = (!body.is_null()).then(|| JsonBody::new(body));
        let response = self.client.send::<_, ()>(method, path, HeaderMap::new(), None, body, None).await?;
        let status = response.status_code();
        let answer: Value = response.json().await?;
        if status.is_success() { Ok(answer) } else { Err(unexpected(path, &answer)) }
    }
}

fn unexpected(path: &str, answer: &Value) -> Error {
    Error::Answer { path: path.to_owned(), answer: answer.to_string() }
}

/// Of what a document is, and of the version that guards it.
fn share_of(id: &str, version: i64, source: &Value) -> Share {
    Share::of(format!("{id}|{version}|{}", canonical(source)).as_bytes())
}

enum Walk {
    Start,
    At { pit: String, after: Value },
}
