//! The body of a `_bulk` request: two lines a document.
//!
//! The item's version is the document's (`version_type=external`), so OpenSearch itself refuses what is older than what it
//! holds, whatever order and however often it arrives. Never the Kafka offset: a repartitioned topic starts again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use aqueduct_contract::{Guard, RawItem, Version};
use aqueduct_model::SearchView;
use aqueduct_views::MappingError;
use aqueduct_views::opensearch::{document, document_id};
use bytes::Bytes;
use serde::Serialize;

/// The query of every request: only through an alias that exists, only the parts of the answer that are read, and no
/// `refresh`, which is the index's own business.
pub const QUERY: [(&str, &str); 2] = [
    ("require_alias", "true"),
    ("filter_path", "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by"),
];

/// Documents one behind the other, two lines each.
#[derive(Debug, Default)]
pub struct Documents {
    lines: Vec<u8>,
    /// Where each document ends.
    ends: Vec<usize>,
    guard: Guard,
}

impl Documents {
    /// None yet, of those that this guard lets through.
    #[must_use]
    pub fn guarded(guard: Guard) -> Documents {
        Documents { guard, ..Documents::default() }
    }

    /// Adds the document of `item`, or nothing of it.
    pub fn push(&mut self, view: &SearchView, item: &RawItem<'_>) -> Result<(), MappingError> {
        let document = document(view, item)?;
        let id = document_id(&item.key);
        let routing = view.routing_of(item.key.tenant());
        let version_type = match self.guard {
            Guard::Older => "external",
            Guard::OlderOrSame => "external_gte",
        };
        let target = Target { id: &id, routing, version: item.version, version_type };
        let action = Action { index: target };
        let end = self.lines.len();
        if let Err(error) = self.write(&action).and_then(|()| self.write(&document)) {
            self.lines.truncate(end);
            return Err(MappingError { part: "document".to_owned(), message: error.to_string() });
        }
        self.ends.push(self.lines.len());
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> serde_json::Result<()> {
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// All of them as one request.
    #[must_use]
    pub fn finish(self) -> Request {
        Request { documents: 0..self.ends.len(), lines: self.lines.into(), ends: self.ends.into() }
    }
}

/// Documents that go together. Those cut out of it share its bytes.
#[derive(Clone, Debug)]
pub struct Request {
    lines: Bytes,
    ends: Arc<[usize]>,
    documents: Range<usize>,
}

impl Request {
    /// Its documents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// What is sent.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.lines.slice(self.start(self.documents.start)..self.start(self.documents.end))
    }

    /// Where a document begins.
    fn start(&self, document: usize) -> usize {
        document.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Its first documents and the others.
    #[must_use]
    pub fn split_at(&self, count: usize) -> (Request, Request) {
        let at = (self.documents.start + count).min(self.documents.end);
        let part = |documents| Request { documents, ..self.clone() };
        (part(self.documents.start..at), part(at..self.documents.end))
    }

    /// Cuts it into requests of about `bytes`, in order. A document that is larger alone is a request of its own.
    #[must_use]
    pub fn cut(self, bytes: usize) -> VecDeque<Request> {
        let mut requests = VecDeque::new();
        let mut rest = self;
        while !rest.is_empty() {
            let limit = rest.start(rest.documents.start) + bytes;
            let fitting = rest.ends[rest.documents.clone()].partition_point(|end| *end <= limit);
            let (request, others) = rest.split_at(fitting.max(1));
            requests.push_back(request);
            rest = others;
        }
        requests
    }
}

#[derive(Serialize)]
struct Action<'a> {
    index: Target<'a>,
}

#[derive(Serialize)]
struct Target<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing: Option<&'a str>,
    version: Version,
    version_type: &'static str,
}

#[cfg(test)]
mod tests {
    use aqueduct_contract::{Item, ItemKey};
    use serde_json::{Value, json};

    use super::*;

    fn item(key: &str, version: u64, deleted: bool, attributes: Value) -> RawItem<'static> {
        let item = Item {
            key: key.parse::<ItemKey>().unwrap(),
            version: Version::try_from(version).unwrap(),
            attributes: attributes.as_object().unwrap().clone(),
            deleted,
            created_at: "2026-11-21T13:15:00Z".parse().unwrap(),
            created_by: "ann".into(),
            updated_at: "2026-11-21T13:16:00.25Z".parse().unwrap(),
            updated_by: "ben".into(),
        };
        item.to_raw().unwrap()
    }

    #[test]
    fn a_body_names_the_version_and_holds_the_document() {
        let view = SearchView::default();
        let reserved =
            json!({ "tenant": "other", "deleted": true, "customerName": "Ann \"A\"\n", "total": "12.50" });
        let items = [
            item("acme#ORDER|ORDER#ORD-1", 3, false, reserved),
            item("acme#ORDER|ORDER#a%7Cb✓", 1, false, json!({})),
            item("acme#ORDER|ORDER#ORD-2", 9, true, json!({ "customerName": "Ben" })),
        ];
        let mut documents = Documents::default();
        items.iter().for_each(|item| documents.push(&view, item).unwrap());
        insta::assert_snapshot!(std::str::from_utf8(&documents.finish().body()).unwrap());
    }

    #[test]
    fn requests_hold_every_document_in_order_and_stay_small() {
        let cut = |lengths: &[usize]| {
            let mut documents = Documents::default();
            for length in lengths {
                documents.lines.extend(std::iter::repeat_n(b'x', *length));
                documents.ends.push(documents.lines.len());
            }
            let requests = documents.finish().cut(10);
            requests.iter().map(|request| (request.len(), request.body().len())).collect::<Vec<_>>()
        };
        assert_eq!(cut(&[4, 4, 4, 20, 1, 1]), [(2, 8), (1, 4), (1, 20), (2, 2)]);
        assert_eq!(cut(&[10, 5, 5, 1]), [(1, 10), (2, 10), (1, 1)]);
        assert!(cut(&[]).is_empty());
    }
}
