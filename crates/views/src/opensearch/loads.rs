//! The index `aqueduct-loads`: a document a load.
//!
//! Each write names the sequence number of the document that it replaces, so that of two processes one writes. What a load writes
//! into its index carries the versions of items and may be repeated, so that a unit may be noted after it.

use std::sync::Arc;

use aqueduct_contract::Names;
use opensearch::OpenSearch;
use opensearch::http::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::request::{Answer, send};
use super::{IndexNames, Settings};
use crate::load::Load;
use crate::{Error, Generation};

/// The load of one generation's index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Loads {
    client: OpenSearch,
    index: String,
    replicas: u32,
    id: String,
    owner: String,
    by: String,
    /// This process writes one after the other.
    writing: Arc<Mutex<()>>,
}

/// A document and the place that it holds in the order of writes.
struct Found {
    load: Load,
    sequence: i64,
    term: i64,
}

impl Loads {
    /// The load of `generation`, for a process that people know as `by`. Nothing is claimed yet.
    pub fn new(
        settings: &Settings,
        names: &Names,
        generation: &Generation,
        by: &str,
    ) -> Result<Loads, Error> {
        Ok(Loads {
            client: settings.client()?,
            index: IndexNames::new(&settings.index_prefix).loads(names),
            replicas: settings.replicas,
            id: generation.sink(),
            owner: Uuid::new_v4().to_string(),
            by: by.to_owned(),
            writing: Arc::default(),
        })
    }

    /// Notes that a unit is done, and what is known of it; all that it wrote stands in the index by now.
    pub async fn note(&self, unit: &str, known: &Value) -> Result<(), Error> {
        self.change(|load| {
            load.units.insert(unit.to_owned(), known.clone());
        })
        .await
    }

    pub(crate) async fn look(&self) -> Result<Option<Load>, Error> {
        Ok(self.find().await?.map(|found| found.load))
    }

    pub(crate) async fn begin(&self, plan: &Value) -> Result<bool, Error> {
        let body = json!({
            "settings": { "index": { "number_of_shards": 1, "number_of_replicas": self.replicas } },
            "mappings": { "enabled": false },
        });
        let made = self.send(Method::Put, &self.index, Some(body)).await?;
        if !made.is_error("resource_already_exists_exception") {
            made.accepted()?;
        }
        let load = Load { owner: Some(self.owner.clone()), owned_by: self.by.clone(), ..Load::begun(plan) };
        let path = format!("{}/_create/{}", self.index, self.id);
        written(self.send(Method::Put, &path, Some(json!(load))).await?)
    }

    pub(crate) async fn take_from(&self, seen: &Load) -> Result<bool, Error> {
        let _writing = self.writing.lock().await;
        let Some(mut found) = self.find().await?.filter(|found| found.load.beat == seen.beat) else {
            return Ok(false);
        };
        found.load.owner = Some(self.owner.clone());
        found.load.owned_by.clone_from(&self.by);
        self.replace(found).await
    }

    pub(crate) async fn renew(&self) -> Result<(), Error> {
        self.change(|_| {}).await
    }

    pub(crate) async fn release(&self) -> Result<(), Error> {
        match self.change(|load| load.owner = None).await {
            Err(Error::ClaimLost) => Ok(()),
            done => done,
        }
    }

    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let path = format!("{}/_doc/{}", self.index, self.id);
        let answer = self.send(Method::Delete, &path, None).await?;
        if answer.status == 404 { Ok(()) } else { answer.accepted().map(drop) }
    }

    async fn change(&self, change: impl Fn(&mut Load)) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        loop {
            let Some(mut found) =
                self.find().await?.filter(|found| found.load.owner.as_ref() == Some(&self.owner))
            else {
                return Err(Error::ClaimLost);
            };
            change(&mut found.load);
            if self.replace(found).await? {
                return Ok(());
            }
        }
    }

    async fn find(&self) -> Result<Option<Found>, Error> {
        // By its id it is found as it was written last, refreshed or not.
        let path = format!("{}/_doc/{}", self.index, self.id);
        let answer = self.send(Method::Get, &path, None).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let mut body = answer.accepted()?;
        let unreadable = |error: serde_json::Error| Error::Registry(format!("the load {}: {error}", self.id));
        Ok(Some(Found {
            load: serde_json::from_value(body["_source"].take()).map_err(unreadable)?,
            sequence: serde_json::from_value(body["_seq_no"].take()).map_err(unreadable)?,
            term: serde_json::from_value(body["_primary_term"].take()).map_err(unreadable)?,
        }))
    }

    /// `false` when somebody wrote meanwhile.
    async fn replace(&self, Found { mut load, sequence, term }: Found) -> Result<bool, Error> {
        load.beat += 1;
        let path = format!("{}/_doc/{}?if_seq_no={sequence}&if_primary_term={term}", self.index, self.id);
        written(self.send(Method::Put, &path, Some(json!(load))).await?)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer, Error> {
        send(&self.client, method, path, body).await
    }
}

fn written(answer: Answer) -> Result<bool, Error> {
    if answer.status == 409 { Ok(false) } else { answer.accepted().map(|_| true) }
}
