//! Reading the views of a cluster.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::{Names, Tenant};
use opensearch::OpenSearch;
use opensearch::http::Method;
use serde_json::{Value, json};

use super::request::send;
use super::{IndexNames, Registry, Settings};
use crate::live::Live;
use crate::{Error, Generation, ReadError};

/// The views of one cluster and index prefix, for readers.
#[derive(Debug)]
pub struct Reader {
    client: OpenSearch,
    registry: Registry,
    names: IndexNames,
    timeout: Duration,
    live: Live,
}

impl Reader {
    /// Connects when it is first used. A search may take as long as `timeout`.
    pub fn new(settings: &Settings, names: &Names, timeout: Duration) -> Result<Reader, Error> {
        Ok(Reader {
            client: settings.client()?,
            registry: Registry::new(settings, names)?,
            names: IndexNames::new(&settings.index_prefix),
            timeout,
            live: Live::default(),
        })
    }

    /// The generations that are kept in step, the live ones among them.
    pub async fn consumed(&self) -> Result<Arc<[Generation]>, ReadError> {
        Ok(self.live.get(|| self.registry.generations()).await?)
    }

    /// Whether searches of the public alias find this generation, asked of the cluster itself; when not, the next look at the
    /// generations is a new one.
    pub async fn is_live(&self, generation: &Generation) -> Result<bool, ReadError> {
        let public = self.names.public_alias(generation.view());
        let path = format!("{}/_alias/{public}", self.names.index(generation));
        let answer = send(&self.client, Method::Get, &path, None).await?;
        if answer.status == 404 {
            self.live.forget();
            return Ok(false);
        }
        answer.accepted()?;
        Ok(true)
    }

    /// The versions at which searches find these items of `tenant` in the index of `generation`; of a deleted one, too.
    pub async fn versions(
        &self,
        generation: &Generation,
        tenant: &Tenant,
        ids: &[&str],
    ) -> Result<Vec<(String, u64)>, ReadError> {
        let body = json!({
            "query": { "bool": { "filter": [{ "term": { "tenant": tenant } }, { "terms": { "id": ids } }] } },
            "_source": ["id", "item_version"],
            "size": ids.len(),
        });
        let found = self.send(&self.names.index(generation), body, routing(generation, tenant)).await?;
        let read = |hit: &Value| {
            let source = &hit["_source"];
            Some((source["id"].as_str()?.to_owned(), source["item_version"].as_u64()?))
        };
        Ok(found["hits"]["hits"].as_array().into_iter().flatten().filter_map(read).collect())
    }

    /// Sends a search for what `tenant` has to the public alias of a view, whose live generation this is. What it may find is for
    /// the caller to say in `body`: that it is the tenant's, and not deleted.
    pub async fn search(
        &self,
        generation: &Generation,
        tenant: &Tenant,
        body: Value,
    ) -> Result<Value, ReadError> {
        match routing(generation, tenant) {
            None => self.send(&self.names.public_alias(generation.view()), body, None).await,
            // Its own index: for a moment after a swap the alias leads to the next generation, which may not be routed.
            routing => self.send(&self.names.index(generation), body, routing).await,
        }
    }

    async fn send(&self, name: &str, body: Value, routing: Option<&str>) -> Result<Value, ReadError> {
        // A tenant is lower-case letters, digits and hyphens.
        let routing = routing.map(|tenant| format!("&routing={tenant}")).unwrap_or_default();
        let path = format!(
            "{name}/_search?allow_partial_search_results=false&cancel_after_time_interval={}ms{routing}",
            self.timeout.as_millis(),
        );
        let asked = send(&self.client, Method::Post, &path, Some(body));
        let answer = tokio::time::timeout(self.timeout, asked).await.map_err(|_| ReadError::TooSlow)??;
        let error = &answer.body["error"];
        let cause = &error["root_cause"][0];
        match answer.status {
            400 => Err(ReadError::Refused(cause["reason"].as_str().unwrap_or_default().to_owned())),
            _ if cause["type"] == "task_cancelled_exception" => Err(ReadError::TooSlow),
            _ => {
                let found = answer.accepted();
                if found.is_err() {
                    // Perhaps the view is another one by now.
                    self.live.forget();
                }
                Ok(found?)
            }
        }
    }
}

/// The shard that has what `tenant` has, if it is one.
fn routing<'t>(generation: &Generation, tenant: &'t Tenant) -> Option<&'t str> {
    generation.definition.opensearch.as_ref()?.routing_of(tenant)
}
