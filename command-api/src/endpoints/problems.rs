//! `GET /problems/{code}`: what a problem's `type` points to.

use axum::Json;
use axum::extract::Path;
use serde_json::{Value, json};

use crate::problem::{Code, Problem, Result};

pub(crate) async fn handle(Path(name): Path<String>) -> Result<Json<Value>> {
    let code = Code::ALL.iter().find(|code| code.as_str() == name);
    let code = code.ok_or_else(|| Problem::new(Code::RouteUnknown, "there is no such code"))?;
    Ok(Json(json!({
        "type": code.uri(),
        "code": code.as_str(),
        "status": code.status().as_u16(),
        "title": code.title(),
        "meaning": code.meaning(),
    })))
}
