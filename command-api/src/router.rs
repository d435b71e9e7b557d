//! Which path goes to which endpoint, and what surrounds all of them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::Api;
use crate::endpoints::{
    create, delete, docs, events, get as get_item, history, list, openapi, patch, problems, search, update,
    view, writes,
};
use crate::problem::{Code, Problem};
use crate::request::context;

/// How long a body may stand still. A client that is gone must not hold up the end of the process.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole API.
pub fn router(api: Arc<Api>) -> Router {
    let routes = Router::new()
        .route("/v1/{tenant}/{type}", get(list::handle).post(create::handle))
        .route(
            "/v1/{tenant}/{type}/{id}",
            get(get_item::handle).put(update::handle).patch(patch::handle).delete(delete::handle),
        )
        .route("/v1/{tenant}/{type}/{id}/history", get(history::handle))
        .route("/v1/{tenant}/views/{view}", get(view::handle))
        .route("/v1/{tenant}/search/{view}", post(search::handle))
        .route("/v1/{tenant}/writes/{correlation}", get(writes::handle))
        .route("/v1/{tenant}/events", get(events::handle))
        .route("/openapi.json", get(openapi::handle))
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::index))
        .route("/docs/{*file}", get(docs::asset))
        .route("/problems/{code}", get(problems::handle));
    surround(routes, api, BODY_TIMEOUT)
}

fn surround(routes: Router<Arc<Api>>, api: Arc<Api>, body_timeout: Duration) -> Router {
    routes
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(api.body_limit))
        .layer(RequestBodyTimeoutLayer::new(body_timeout))
        .layer(CatchPanicLayer::custom(panicked))
        // Outermost, so that it writes the body of every problem, whoever found it.
        .layer(from_fn_with_state(Arc::clone(&api), context::layer))
        .with_state(api)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(Code::RouteUnknown, format!("nothing answers at {}; see /docs", uri.path()))
}

async fn not_allowed(method: Method) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{method} does not apply here; Allow lists what does"))
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
    Problem::internal(&format_args!("panic: {}", message.unwrap_or("of unknown cause"))).into_response()
}

#[cfg(test)]
mod tests {
    use aqueduct_commands::{Moment, Moments, Writer};
    use aqueduct_contract::Names;
    use aqueduct_model::Model;
    use aqueduct_service::Settings;
    use aqueduct_store::kafka::Tail;
    use aqueduct_store::{DataTable, EventStore, Publisher, Sequences};
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::{Metrics, Parts, Reads};

    /// No request of these tests gets as far as a server.
    async fn unconnected() -> Arc<Api> {
        let settings = Settings::defaults().unwrap();
        let (client, names) = (settings.dynamodb.connect().await, Names::new("unused"));
        let events = EventStore::new(client.clone(), &names);
        let registry = prometheus::Registry::new();
        let (publisher, _) =
            Publisher::new(events.clone(), &settings.kafka, settings.publisher, &registry).unwrap();
        let moments: Moments = Arc::new(Moment::real);
        let sequences = Sequences::new(client.clone(), &names);
        Arc::new(Api::new(Parts {
            model: Model::parse([("note.yaml", "{aqueduct: v1, type: NOTE, schema: {type: object}}")])
                .unwrap(),
            writer: Writer::new(events.clone(), sequences, publisher, Arc::clone(&moments)),
            events,
            letters: aqueduct_store::Letters::new(client.clone(), &names),
            sessions: None,
            tail: Tail::new(&settings.kafka, &names, [], Default::default()),
            data: DataTable::new(client, &names),
            names: names.clone(),
            reads: Reads::new(&names, &settings.postgres, &settings.opensearch, settings.api.query_timeout)
                .unwrap(),
            moments,
            metrics: Metrics::new(&registry).unwrap(),
            body_limit: 1024,
        }))
    }

    async fn json(response: Response) -> Value {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn broken() {
        panic!("the secret of a handler")
    }

    #[tokio::test]
    async fn a_panic_is_answered_as_a_problem_that_says_nothing_of_the_inside() {
        let router = surround(Router::new().route("/broken", get(broken)), unconnected().await, BODY_TIMEOUT);
        let request = Request::builder().uri("/broken").header("x-correlation-id", "c-1");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["x-correlation-id"], "c-1");
        let body = json(response).await;
        assert_eq!((&body["code"], &body["correlationId"]), (&"Internal".into(), &"c-1".into()));
        assert!(!body.to_string().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_on_is_given_up() {
        let routes = Router::new().route("/{tenant}/{type}", axum::routing::post(create::handle));
        let router = surround(routes, unconnected().await, Duration::from_millis(1));
        let endless = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let request = Request::post("/acme/NOTE").header("content-type", "application/json");
        let response = router.oneshot(request.body(endless).unwrap()).await.unwrap();
        assert_eq!(json(response).await["code"], "BodyIncomplete");
    }
}
