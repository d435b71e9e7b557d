//! A batch of events into one generation's index.

mod purged;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aqueduct_contract::{Guard, RawItem};
use aqueduct_engine::{BoxError, Needs, Outcome, Reason, Record, Sink, SinkError};
use aqueduct_model::SearchView;
use aqueduct_views::opensearch::{IndexNames, Registry};
use aqueduct_views::{Error, ForeignItem, Generation, MappingError};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use opensearch::OpenSearch;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use tracing::warn;

use self::purged::PassedOver;
use crate::bulk::{self, Documents, Request};
use crate::classify::{self, Answer};

/// Writes one generation of a view.
#[derive(Clone, Debug)]
pub struct IndexSink {
    client: OpenSearch,
    registry: Registry,
    generation: Generation,
    view: SearchView,
    write_alias: String,
    /// Of a request, about. Less than the setting once OpenSearch, or a proxy before it, took less.
    bulk_bytes: Arc<AtomicUsize>,
    gzip: bool,
    guard: Guard,
}

impl IndexSink {
    /// The sink of `generation`, which `registry` has. Fails when the generation is not one of OpenSearch.
    pub fn new(registry: Registry, generation: Generation) -> Result<IndexSink, Error> {
        let view = generation.definition.opensearch.clone();
        let settings = registry.settings();
        Ok(IndexSink {
            client: registry.client().clone(),
            view: view.ok_or_else(|| Error::Registry(format!("{} has no index", generation.sink())))?,
            write_alias: IndexNames::new(&settings.index_prefix).write_alias(&generation),
            bulk_bytes: Arc::new(usize::try_from(settings.bulk_bytes.as_u64()).unwrap_or(usize::MAX).into()),
            gzip: settings.compresses()?,
            guard: Guard::Older,
            generation,
            registry,
        })
    }

    /// The same, for repairs: what is of the same version is written again.
    #[must_use]
    pub fn repairing(self) -> IndexSink {
        IndexSink { guard: Guard::OlderOrSame, ..self }
    }

    fn item<'r>(&self, record: &'r Record) -> Result<RawItem<'r>, Reason> {
        let item = record.item()?;
        let foreign = |error: ForeignItem| Reason::new(Reason::EVENT_INVALID, error.to_string());
        self.generation.check_type(&item.key).map_err(foreign)?;
        Ok(item)
    }

    /// Adds the document of an item.
    fn add(&self, item: &RawItem<'_>, documents: &mut Documents) -> Result<(), Reason> {
        documents.push(&self.view, item).map_err(|error| {
            Reason::new(MappingError::CODE, format!("view {}, {error}", self.generation.view()))
        })
    }

    /// Sends documents in as many requests as it takes; one outcome a document. When the registry was `asked` for too long ago, by
    /// a process that was slow or stopped, nothing more is sent.
    async fn send_all(&self, documents: Request, asked: Option<Instant>) -> Result<Vec<Outcome>, SinkError> {
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut requests = documents.cut(self.bulk_bytes.load(Ordering::Relaxed));
        let patience = self.registry.settings().request_timeout;
        while let Some(request) = requests.pop_front() {
            if asked.is_some_and(|asked| asked.elapsed() > patience) {
                return Err(SinkError::Saturated);
            }
            let bytes = request.body().len();
            match self.send(&request).await? {
                Some(answered) => outcomes.extend(answered),
                None if request.len() == 1 => outcomes.push(classify::too_large(bytes)),
                None => {
                    let bytes = bytes / 2;
                    self.bulk_bytes.fetch_min(bytes, Ordering::Relaxed);
                    warn!(
                        view = self.generation.view(),
                        bytes, "OpenSearch takes smaller requests than `opensearch.bulk_bytes`"
                    );
                    let (first, second) = request.split_at(request.len() / 2);
                    requests.push_front(second);
                    requests.push_front(first);
                }
            }
        }
        Ok(outcomes)
    }

    /// Sends one request; one outcome a document. `None` when it is larger than what is taken.
    async fn send(&self, request: &Request) -> Result<Option<Vec<Outcome>>, SinkError> {
        let unavailable = |error| SinkError::Unavailable(Box::new(Error::from(error)));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let path = format!("{}/_bulk", self.write_alias);
        let mut body = request.body();
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = compressed(&body).map_err(|error| SinkError::Fatal(Box::new(error)))?;
        }
        let response =
            self.client.send(Method::Post, &path, headers, Some(&bulk::QUERY), Some(body), None).await;
        let response = response.map_err(unavailable)?;
        let status = response.status_code().as_u16();
        if status == 413 {
            return Ok(None);
        }
        let text = response.text().await.map_err(unavailable)?;
        match serde_json::from_str::<Answer>(&text) {
            Ok(Answer { items }) if items.len() == request.len() => items
                .iter()
                .map(|item| classify::item(item).map_err(|blocked| SinkError::Unavailable(Box::new(blocked))))
                .collect::<Result<_, _>>()
                .map(Some),
            _ => Err(classify::request(status, &text)),
        }
    }
}

/// Fast rather than small: most of what there is to gain comes first.
fn compressed(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

impl Sink for IndexSink {
    const NEEDS: Needs = Needs::State;

    async fn apply(&self, batch: &[Record]) -> Result<Vec<Outcome>, SinkError> {
        let items: Vec<Result<RawItem<'_>, Reason>> = batch.iter().map(|record| self.item(record)).collect();
        let PassedOver { outcomes: mut passed_over, asked } = self.passed_over(&items).await?;
        let mut documents = Documents::guarded(self.guard);
        let mapped: Vec<Result<(), Outcome>> = items
            .iter()
            .enumerate()
            .map(|(place, item)| match (passed_over.remove(&place), item) {
                (Some(outcome), _) => Err(outcome),
                (None, Err(reason)) => Err(Outcome::Poison(reason.clone())),
                (None, Ok(item)) => self.add(item, &mut documents).map_err(Outcome::Poison),
            })
            .collect();
        let mut written = self.send_all(documents.finish(), asked).await?.into_iter();
        let outcomes = mapped.into_iter().map(|mapped| match mapped {
            Err(outcome) => Some(outcome),
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
