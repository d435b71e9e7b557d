//! `GET /v1/{tenant}/writes/{correlation-id}`: where is my write: stored, published, in which read models, and what it caused.

use std::sync::Arc;

use aqueduct_contract::{Event, format_time};
use aqueduct_store::Stored;
use aqueduct_views::Generation;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Api;
use crate::openapi;
use crate::problem::{Code, Problem, Result};
use crate::reads::standing::unknown;
use crate::reads::waiting::Store;
use crate::request::path::WritePath;
use crate::request::query::{NoParameters, Query};

/// Events of one answer.
const EVENTS: usize = 100;

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    WritePath { tenant, correlation_id }: WritePath,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<Value>> {
    let (found, more) = api.events.correlated(&tenant, &correlation_id, EVENTS).await?;
    if found.is_empty() {
        return Err(Problem::new(
            Code::WriteUnknown,
            "nothing was written with this correlation id, or so lately that it is not to be found yet",
        ));
    }
    let generations = [
        (Store::Postgres, api.reads.consumed(Store::Postgres).await.ok()),
        (Store::OpenSearch, api.reads.consumed(Store::OpenSearch).await.ok()),
    ];
    let mut events = Vec::new();
    for stored in &found {
        let mut shown = written(&api, stored);
        shown["readModels"] = read_models(&api, stored, &generations).await?.into();
        let caused = found.iter().filter(|other| other.event.causation_id == Some(stored.event.id));
        shown["caused"] = caused.map(|other| other.event.id.to_string()).collect();
        events.push(shown);
    }
    Ok(Json(json!({ "correlationId": correlation_id, "events": events, "more": more })))
}

fn written(api: &Api, stored: &Stored) -> Value {
    let Event { id, happened, item, causation_id, .. } = &stored.event;
    let published = stored.published.map(|at| {
        json!({
            "topic": api.names.events_topic(item.key.type_name()),
            "partition": at.partition,
            "offset": at.offset,
        })
    });
    json!({
        "event": { "id": id, "type": happened.name },
        "type": item.key.type_name(),
        "id": item.key.id(),
        "version": item.version,
        "causationId": causation_id,
        "writtenAt": format_time(item.updated_at),
        "writtenBy": item.updated_by,
        "published": published,
    })
}

/// How the version stands in each read model. One that cannot be asked is `unknown`: in an outage this route is needed most.
async fn read_models(
    api: &Api,
    stored: &Stored,
    generations: &[(Store, Option<Arc<[Generation]>>)],
) -> Result<Vec<Value>> {
    let item = &stored.event.item;
    let partition = stored.published.map(|at| at.partition);
    let mut found = vec![api.in_data(item, partition).await?];
    for (store, consumed) in generations {
        let Some(consumed) = consumed else {
            found.push(unknown(store.name()));
            continue;
        };
        for generation in consumed.iter().filter(|one| one.definition.type_name == *item.key.type_name()) {
            found.push(api.in_view(*store, generation, item, partition).await?);
        }
    }
    Ok(found)
}

/// The operation.
pub(crate) fn operation() -> Value {
    let event = json!({ "type": "object", "properties": {
        "event": { "type": "object", "properties": { "id": { "type": "string", "format": "uuid" }, "type": { "type": "string" } } },
        "type": { "type": "string" },
        "id": { "type": "string" },
        "version": openapi::reference("schemas", "Version"),
        "causationId": { "type": ["string", "null"], "format": "uuid" },
        "writtenAt": { "type": "string", "format": "date-time" },
        "writtenBy": { "type": "string" },
        "published": { "type": ["object", "null"], "properties": {
            "topic": { "type": "string" }, "partition": { "type": "integer" }, "offset": { "type": "integer" },
        } },
        "readModels": { "type": "array", "items": openapi::reference("schemas", "ReadModel") },
        "caused": { "type": "array", "items": { "type": "string", "format": "uuid" } },
    } });
    let answer = json!({ "type": "object", "required": ["correlationId", "events", "more"], "properties": {
        "correlationId": { "type": "string" },
        "events": { "type": "array", "items": event },
        "more": { "type": "boolean", "description": "Whether more than 100 events have this correlation id" },
    } });
    openapi::operation_of_all(
        "writes",
        "Follow a write",
        "What was written with a correlation id, oldest first: where each version was published, which read models hold it, and \
         which other events it caused. A version is to be found here a moment after it was written.",
        &["tenant", "correlationIdInPath"],
        ("What was written", "application/json", answer),
        &[Code::QueryInvalid, Code::WriteUnknown],
    )
}
