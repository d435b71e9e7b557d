//! `GET /v1/{tenant}/events`: server-sent events of what changes.
//!
//! The id of an event says where its reader stands in every partition, so that a connection that was lost goes on without
//! a gap, at any instance: browsers send it as `Last-Event-ID` by themselves. An event may come twice, as from Kafka.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_contract::{Event, ItemId, Tenant, TypeName};
use aqueduct_store::kafka::{Next, Positions, TailError, TailReader};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::{Code, Problem, Result};
use crate::request::path::TenantPath;
use crate::request::query::Query;
use crate::{Api, answer, openapi};

const LAST_EVENT_ID: &str = "last-event-id";
/// Proxies close connections that say nothing for a minute.
const ALIVE: Duration = Duration::from_secs(15);
/// Events of others and of other types after which a reader is told where it stands, so that it would not have to read
/// them again.
const PASSED_OVER: u32 = 1000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    #[serde(rename = "type")]
    types: Option<String>,
    id: Option<String>,
}

/// Which events a reader is shown.
struct Wanted {
    tenant: Tenant,
    /// All types without any.
    types: Vec<TypeName>,
    id: Option<ItemId>,
}

pub(crate) async fn handle(
    State(api): State<Arc<Api>>,
    TenantPath(tenant): TenantPath,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>> {
    let wanted = Wanted::read(&api, tenant, &parameters)?;
    let from = headers.get(LAST_EVENT_ID).map(positions).transpose()?;
    let reader = api.tail.read(from).await.map_err(|error| match error {
        TailError::Gone => Problem::new(
            Code::EventsGone,
            "events since Last-Event-ID are gone: read what stands, and begin anew",
        ),
        TailError::Busy => {
            tracing::warn!("too many readers of events are catching up");
            unavailable()
        }
        TailError::Kafka(error) => {
            tracing::warn!(%error, "events cannot be read");
            unavailable()
        }
    })?;
    let messages = stream::unfold(Some((reader, wanted)), |state| async move {
        let (mut reader, wanted) = state?;
        let message = message(&mut reader, &wanted).await?;
        Some((Ok(message), Some((reader, wanted))))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The next message; none when the reader was too slow, or the process stops. It may come back with the id it had last.
async fn message(reader: &mut TailReader, wanted: &Wanted) -> Option<Message> {
    for _ in 0..PASSED_OVER {
        match reader.next().await {
            Next::Event(tailed) => {
                let shown = tailed.event.as_ref().filter(|event| wanted.wants(event));
                if let Some(event) = shown {
                    let data = answer::version(event).to_string();
                    return Some(Message::default().id(id(reader.positions())).data(data));
                }
            }
            Next::Cut | Next::Ended => return None,
        }
    }
    Some(Message::default().id(id(reader.positions())))
}

impl Wanted {
    fn read(api: &Api, tenant: Tenant, parameters: &Parameters) -> Result<Wanted> {
        let mut types = Vec::new();
        for name in parameters.types.iter().flat_map(|names| names.split(',')) {
            let invalid = |error| Problem::new(Code::QueryInvalid, format!("type: {error}"));
            let name: TypeName = name.parse().map_err(invalid)?;
            api.type_named(&name)?;
            types.push(name);
        }
        let invalid = |error| Problem::new(Code::QueryInvalid, format!("id: {error}"));
        let id = parameters.id.as_deref().map(str::parse).transpose().map_err(invalid)?;
        if id.is_some() && types.len() != 1 {
            return Err(Problem::new(Code::QueryInvalid, "id: an id is of one type; give `type`, too"));
        }
        Ok(Wanted { tenant, types, id })
    }

    fn wants(&self, event: &Event) -> bool {
        let key = &event.item.key;
        *key.tenant() == self.tenant
            && (self.types.is_empty() || self.types.contains(key.type_name()))
            && self.id.as_ref().is_none_or(|id| id == key.id())
    }
}

fn id(positions: &Positions) -> String {
    URL_SAFE_NO_PAD.encode(json!(positions).to_string())
}

fn positions(id: &HeaderValue) -> Result<Positions> {
    let json = URL_SAFE_NO_PAD.decode(id.as_bytes()).ok();
    let positions = json.and_then(|json| serde_json::from_slice(&json).ok());
    positions.ok_or_else(|| {
        Problem::new(Code::CursorInvalid, "Last-Event-ID is none that an event of this route had")
    })
}

fn unavailable() -> Problem {
    Problem::new(Code::ReadModelUnavailable, "events cannot be read at the moment")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// The operation.
pub(crate) fn operation() -> Value {
    openapi::operation_of_all(
        "events",
        "Be told what changes",
        "Server-sent events from now on, or from `Last-Event-ID`. The data of each is a version as in an item's history. The \
         versions of an item come in order; one may come twice. A reader that is too slow is cut, and goes on from the id it \
         had last.",
        &["tenant", "eventTypes", "eventItem", "lastEventId"],
        ("Events", "text/event-stream", json!({ "type": "string" })),
        &[
            Code::QueryInvalid,
            Code::CursorInvalid,
            Code::TypeUnknown,
            Code::EventsGone,
            Code::ReadModelUnavailable,
        ],
    )
}
