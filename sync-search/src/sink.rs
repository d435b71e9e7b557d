//! A batch of events into one generation's index.

use aqueduct_engine::{BoxError, Needs, Outcome, Reason, Record, Sink, SinkError};
use aqueduct_model::SearchView;
use aqueduct_views::opensearch::{IndexNames, Settings};
use aqueduct_views::{Error, Generation, MappingError};
use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::{bulk, classify};

/// Writes one generation of a view.
#[derive(Clone, Debug)]
pub struct IndexSink {
    client: OpenSearch,
    generation: Generation,
    view: SearchView,
    write_alias: String,
    bulk_bytes: usize,
}

impl IndexSink {
    /// The sink of `generation`. Fails when the generation is not one of OpenSearch.
    pub fn new(client: OpenSearch, settings: &Settings, generation: Generation) -> Result<IndexSink, Error> {
        let view = generation.definition.opensearch.clone();
        Ok(IndexSink {
            client,
            view: view.ok_or_else(|| Error::Registry(format!("{} has no index", generation.sink())))?,
            write_alias: IndexNames::new(&settings.index_prefix).write_alias(&generation),
            bulk_bytes: usize::try_from(settings.bulk_bytes.as_u64()).unwrap_or(usize::MAX),
            generation,
        })
    }

    fn lines(&self, record: &Record) -> Result<String, Reason> {
        let event = record.event()?;
        let (expected, found) = (&self.generation.definition.type_name, event.item.key.type_name());
        if found != expected {
            let message = format!("an item of type {found} in the topic of {expected}");
            return Err(Reason::new(Reason::EVENT_INVALID, message));
        }
        bulk::lines(&self.view, &event.item).map_err(|error| {
            Reason::new(MappingError::CODE, format!("view {}, {error}", self.generation.view()))
        })
    }

    /// Sends one request; one outcome a document.
    async fn send(&self, documents: &[String]) -> Result<Vec<Outcome>, SinkError> {
        let unavailable = |error| SinkError::Unavailable(Box::new(Error::from(error)));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let path = format!("{}/_bulk", self.write_alias);
        let body = documents.concat();
        let response =
            self.client.send(Method::Post, &path, headers, Some(&bulk::QUERY), Some(body), None).await;
        let response = response.map_err(unavailable)?;
        let status = response.status_code().as_u16();
        let text = response.text().await.map_err(unavailable)?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        match answer.as_ref().and_then(|answer| answer["items"].as_array()) {
            Some(items) if items.len() == documents.len() => items
                .iter()
                .map(|item| classify::item(item).map_err(|blocked| SinkError::Unavailable(Box::new(blocked))))
                .collect(),
            _ => Err(classify::request(status, &text)),
        }
    }
}

impl Sink for IndexSink {
    const NEEDS: Needs = Needs::State;

    async fn apply(&self, batch: &[Record]) -> Result<Vec<Outcome>, SinkError> {
        let mut documents = Vec::with_capacity(batch.len());
        let mapped: Vec<Result<(), Reason>> =
            batch.iter().map(|record| self.lines(record).map(|lines| documents.push(lines))).collect();
        let mut written = Vec::with_capacity(documents.len());
        for request in bulk::requests(&documents, self.bulk_bytes) {
            written.extend(self.send(request).await?);
        }
        let mut written = written.into_iter();
        let outcomes = mapped.into_iter().map(|mapped| match mapped {
            Err(reason) => Some(Outcome::Poison(reason)),
            Ok(()) => written.next(),
        });
        // `send` gives one outcome a document, so none is missing.
        outcomes.collect::<Option<_>>().ok_or_else(|| SinkError::Fatal("an outcome is missing".into()))
    }

    async fn ready(&self) -> Result<(), BoxError> {
        let path = format!("_alias/{}", self.write_alias);
        let asked = self.client.send::<(), ()>(Method::Head, &path, HeaderMap::new(), None, None, None);
        let response = asked.await.map_err(Error::from)?;
        match response.status_code().as_u16() {
            200 => Ok(()),
            status => Err(format!("the alias {} answers {status}", self.write_alias).into()),
        }
    }
}
