//! `/docs/`: Swagger UI over `/openapi.json`. Its scripts and styles are in the binary, so it works without internet.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use utoipa_swagger_ui::{Config, serve};

use crate::problem::{Code, Problem, Result};

/// `/docs`: the page's own links are relative to `/docs/`.
pub(crate) async fn redirect() -> Redirect {
    Redirect::permanent("/docs/")
}

/// `/docs/`
pub(crate) async fn index() -> Result<Response> {
    file("index.html")
}

/// What the page loads.
pub(crate) async fn asset(Path(name): Path<String>) -> Result<Response> {
    file(&name)
}

fn file(name: &str) -> Result<Response> {
    // "none": or the page asks a validator on the internet about the document.
    let config = Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true);
    match serve(name, Arc::new(config)) {
        Ok(Some(file)) => {
            Ok(([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response())
        }
        Ok(None) => Err(Problem::new(Code::RouteUnknown, "the documentation has no such file")),
        Err(error) => Err(Problem::internal(&error)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::{asset, file, index};

    async fn text(response: axum::response::Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let page = text(index().await.unwrap()).await;
        let links: Vec<&str> = page
            .split(['"', '\''])
            .filter(|part| [".js", ".css", ".png"].iter().any(|ending| part.ends_with(ending)))
            .collect();
        assert!(links.len() >= 4, "{page}");
        for link in links {
            assert!(!link.contains("//"), "{link}");
            file(link.trim_start_matches("./")).unwrap_or_else(|_| panic!("{link} is not embedded"));
        }
        let script =
            text(asset(axum::extract::Path("swagger-initializer.js".to_owned())).await.unwrap()).await;
        assert!(script.contains("\"/openapi.json\""), "{script}");
        assert!(script.contains("\"validatorUrl\": \"none\""), "{script}");
    }
}
