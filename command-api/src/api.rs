//! What handlers work with: the model, the store, the writer.

use aqueduct_commands::{Command, Error, Moments, Origin, Writer};
use aqueduct_contract::{Attributes, CorrelationId, Event, ItemKey, Names, Tenant, Traceparent, TypeName};
use aqueduct_model::{Model, Type};
use aqueduct_store::kafka::Tail;
use aqueduct_store::{DataTable, EventStore, Letters, Sessions};
use axum::body::Bytes;
use axum::extract::FromRef;
use std::sync::Arc;

use uuid::Uuid;

use crate::problem::{Code, Problem, Result};
use crate::request::body::BodyLimit;
use crate::request::precondition::Precondition;
use crate::{Metrics, Reads, openapi};

/// Everything a request needs, shared by all of them.
pub struct Api {
    pub(crate) events: EventStore,
    pub(crate) data: DataTable,
    pub(crate) letters: Letters,
    pub(crate) names: Names,
    pub(crate) sessions: Option<Sessions>,
    pub(crate) tail: Tail,
    pub(crate) reads: Reads,
    pub(crate) metrics: Metrics,
    pub(crate) openapi: Bytes,
    pub(crate) body_limit: usize,
    model: Model,
    writer: Writer,
    moments: Moments,
}

/// The parts of an [`Api`] that come from outside.
pub struct Parts {
    /// The types served.
    pub model: Model,
    /// Makes versions.
    pub writer: Writer,
    /// Where items are read from.
    pub events: EventStore,
    /// Where lists are read from.
    pub data: DataTable,
    /// What was set aside.
    pub letters: Letters,
    /// What topics and groups are called.
    pub names: Names,
    /// What callers have written lately; none while sessions are off.
    pub sessions: Option<Sessions>,
    /// Where events are read from, as they come.
    pub tail: Tail,
    /// Where views are read from.
    pub reads: Reads,
    /// Where correlation and trace ids come from.
    pub moments: Moments,
    /// What is counted.
    pub metrics: Metrics,
    /// The largest request body, in bytes.
    pub body_limit: usize,
}

impl Api {
    /// Puts the parts together and makes the OpenAPI document.
    #[must_use]
    pub fn new(parts: Parts) -> Api {
        let Parts {
            model,
            writer,
            events,
            data,
            letters,
            names,
            sessions,
            tail,
            reads,
            moments,
            metrics,
            body_limit,
        } = parts;
        let openapi = Bytes::from(openapi::document(&model).to_string());
        Api {
            events,
            data,
            letters,
            names,
            sessions,
            tail,
            reads,
            metrics,
            openapi,
            body_limit,
            model,
            writer,
            moments,
        }
    }

    pub(crate) fn type_named(&self, name: &TypeName) -> Result<&Type> {
        self.model.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.model.types().map(|of| of.name.as_str()).collect();
            let detail = format!("the model has no type {name}; it has {}", known.join(", "));
            Problem::new(Code::TypeUnknown, detail)
        })
    }

    pub(crate) async fn write(
        &self,
        of: &Type,
        key: &ItemKey,
        command: &Command,
        precondition: &Precondition,
        origin: &Origin,
    ) -> Result<Event> {
        let written = self.writer.write(of, key, command, &precondition.expected, origin).await;
        let answer = self.answer(of, command.name(), precondition.refusal, written);
        self.noted(answer, origin).await
    }

    pub(crate) async fn create_numbered(
        &self,
        of: &Type,
        tenant: &Tenant,
        attributes: Attributes,
        origin: &Origin,
    ) -> Result<Event> {
        let written = self.writer.create_numbered(of, tenant, attributes, origin).await;
        let answer = self.answer(of, "create", Code::VersionConflict, written);
        self.noted(answer, origin).await
    }

    async fn noted(&self, written: Result<Event>, origin: &Origin) -> Result<Event> {
        if let Ok(event) = &written {
            self.note_own(&origin.caller, &event.item).await;
        }
        written
    }

    /// Counts the outcome and makes a refusal a problem.
    fn answer(
        &self,
        of: &Type,
        command: &str,
        conflict: Code,
        written: Result<Event, Error>,
    ) -> Result<Event> {
        let answer = written.map_err(|error| Problem::of_command(error, conflict));
        let outcome = answer.as_ref().map_or_else(|problem| problem.code().as_str(), |_| "Accepted");
        self.metrics.command(of.name.as_str(), command, outcome);
        answer
    }

    pub(crate) fn new_correlation_id(&self) -> CorrelationId {
        (self.moments)().uuid().into()
    }

    /// A trace that begins here. Not sampled: no span of it is recorded.
    pub(crate) fn new_trace(&self) -> Option<Traceparent> {
        let trace = Uuid::from_bytes((self.moments)().random);
        let span = Uuid::from_bytes((self.moments)().random);
        format!("00-{}-{}-00", trace.simple(), &span.simple().to_string()[..16]).parse().ok()
    }
}

impl FromRef<Arc<Api>> for BodyLimit {
    fn from_ref(api: &Arc<Api>) -> BodyLimit {
        BodyLimit(api.body_limit)
    }
}
