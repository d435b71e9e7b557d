//! Events from before tombstones were removed.
//!
//! OpenSearch has no transaction in which the registry could be read, so it is asked first, and only about events that are old
//! enough for it to matter: see [`aqueduct_views::tombstones`]. What then is from before `purged_through` is looked up by its id, which
//! sees what no search finds yet. Where nothing stands, it is passed over; where a later version stands, it is stale
//! and not sent; where an earlier one stands, it is written under the guard like any other.

use std::collections::HashMap;
use std::time::Instant;

use aqueduct_contract::{Guard, RawItem};
use aqueduct_engine::{Outcome, Reason, SinkError};
use aqueduct_views::Error;
use aqueduct_views::opensearch::document_id;
use aqueduct_views::tombstones::{ASKED_FROM, PURGED, refusal};
use jiff::Timestamp;
use opensearch::http::Method;
use opensearch::http::headers::HeaderMap;
use opensearch::http::request::JsonBody;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::warn;

use super::IndexSink;
use crate::classify;

/// What the registry says about a batch.
#[derive(Default)]
pub(super) struct PassedOver {
    /// What is not to be written, by its place in the batch, and what becomes of it.
    pub(super) outcomes: HashMap<usize, Outcome>,
    /// When the registry was asked, if it was: what is written long after that may not be written any more.
    pub(super) asked: Option<Instant>,
}

#[derive(Deserialize)]
struct Answer {
    docs: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    found: bool,
    #[serde(default, rename = "_version")]
    version: i64,
    #[serde(default)]
    error: Value,
}

impl IndexSink {
    /// What is not to be written of a batch.
    pub(super) async fn passed_over(
        &self,
        items: &[Result<RawItem<'_>, Reason>],
    ) -> Result<PassedOver, SinkError> {
        let mut passed_over = PassedOver::default();
        let unavailable = |error| SinkError::Unavailable(Box::new(error));
        let asked_from = Timestamp::now() - ASKED_FROM;
        let is_old = |item: &RawItem<'_>| item.updated_at <= asked_from;
        // A repair writes what the event store says is the latest version.
        if self.guard == Guard::OlderOrSame || !items.iter().flatten().any(is_old) {
            return Ok(passed_over);
        }
        passed_over.asked = Some(Instant::now());
        let Some(through) = self.registry.purged_through(&self.generation).await.map_err(unavailable)? else {
            return Ok(passed_over);
        };
        let numbered = items.iter().enumerate();
        let old: Vec<(usize, &RawItem<'_>)> = numbered
            .filter_map(|(place, item)| Some((place, item.as_ref().ok()?)))
            .filter(|(_, item)| item.updated_at <= through)
            .collect();
        if old.is_empty() {
            return Ok(passed_over);
        }
        let mut refused = 0;
        for ((place, item), found) in old.iter().zip(self.look_up(&old).await?) {
            if !found.found {
                let reason = Reason::new(PURGED, refusal(&self.generation, through));
                passed_over.outcomes.insert(*place, Outcome::Ignored(reason));
                refused += 1;
            } else if found.version >= item.version.as_i64() {
                passed_over.outcomes.insert(*place, Outcome::Stale);
            }
        }
        if refused > 0 {
            warn!(events = refused, "passed over: {}", refusal(&self.generation, through));
        }
        Ok(passed_over)
    }

    /// What stands of these items, in their order.
    async fn look_up(&self, items: &[(usize, &RawItem<'_>)]) -> Result<Vec<Found>, SinkError> {
        let unavailable = |error| SinkError::Unavailable(Box::new(Error::from(error)));
        let wanted = items.iter().map(|(_, item)| {
            let id = document_id(&item.key);
            match self.view.routing_of(item.key.tenant()) {
                Some(routing) => json!({ "_id": id, "routing": routing, "_source": false }),
                None => json!({ "_id": id, "_source": false }),
            }
        });
        let body = JsonBody::new(json!({ "docs": wanted.collect::<Vec<_>>() }));
        let path = format!("{}/_mget", self.write_alias);
        let response =
            self.client.send::<_, ()>(Method::Post, &path, HeaderMap::new(), None, Some(body), None).await;
        let response = response.map_err(unavailable)?;
        let status = response.status_code().as_u16();
        let text = response.text().await.map_err(unavailable)?;
        match serde_json::from_str::<Answer>(&text) {
            Ok(Answer { docs })
                if docs.len() == items.len() && docs.iter().all(|found| found.error.is_null()) =>
            {
                Ok(docs)
            }
            _ => Err(classify::request(status, &text)),
        }
    }
}
