//! Which path goes to which endpoint, and what surrounds all of them.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;

use crate::Api;
use crate::endpoints::{
    create, delete, docs, get as get_item, history, list, openapi, patch, problems, update,
};
use crate::problem::{Code, Problem};
use crate::request::context;

/// The whole API.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/{tenant}/{type}", get(list::handle).post(create::handle))
        .route(
            "/v1/{tenant}/{type}/{id}",
            get(get_item::handle).put(update::handle).patch(patch::handle).delete(delete::handle),
        )
        .route("/v1/{tenant}/{type}/{id}/history", get(history::handle))
        .route("/openapi.json", get(openapi::handle))
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::index))
        .route("/docs/{*file}", get(docs::asset))
        .route("/problems/{code}", get(problems::handle))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(api.body_limit))
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
