//! The shop of `deploy/examples/shop`, which a local stack runs unless it is told another model: its files, and a request of
//! each kind.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

const FILES: [(&str, &str); 4] = [
    ("order.yaml", include_str!("../../../../deploy/examples/shop/order.yaml")),
    ("credit_note.yaml", include_str!("../../../../deploy/examples/shop/credit_note.yaml")),
    ("product.yaml", include_str!("../../../../deploy/examples/shop/product.yaml")),
    ("customer.yaml", include_str!("../../../../deploy/examples/shop/customer.yaml")),
];

/// Writes the model into a folder.
pub fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    FILES
        .iter()
        .try_for_each(|(name, text)| fs::write(folder.join(name), text))
        .context("cannot write the model")
}

/// A request that was sent, and its answer.
#[derive(Clone, Debug)]
pub struct Sent {
    /// `POST /v1/acme/ORDER`
    pub request: String,
    /// `201 Created`
    pub status: String,
    /// The item as it stands after it.
    pub item: Value,
}

/// Sends a request of each kind to the API at `url`: one order goes through its life, another is taken back.
pub async fn send_examples(url: &str) -> Result<Vec<Sent>> {
    let lines = json!([{ "code": "85123A", "name": "White hanging heart", "quantity": 6, "price": "2.55" }]);
    let more = json!([{ "code": "85123A", "quantity": 12, "price": "2.55" }, { "code": "71053", "quantity": 6, "price": "3.39" }]);
    let orders = "/v1/acme/ORDER".to_owned();
    let placed = send(url, Method::POST, &orders, Some(json!({ "attributes": { "items": lines } }))).await?;
    let order = format!("{orders}/{}", id(&placed)?);
    let mistaken =
        send(url, Method::POST, &orders, Some(json!({ "attributes": { "items": lines } }))).await?;
    let other = format!("{orders}/{}", id(&mistaken)?);
    let changed = json!({ "attributes": { "items": more, "country": "United Kingdom" }, "version": 1 });
    Ok(vec![
        placed,
        send(url, Method::PUT, &order, Some(changed)).await?,
        send(url, Method::PATCH, &order, Some(json!({ "attributes": { "status": "confirmed" } }))).await?,
        mistaken,
        send(url, Method::DELETE, &other, None).await?,
        send(url, Method::GET, &order, None).await?,
    ])
}

fn id(sent: &Sent) -> Result<&str> {
    sent.item["id"].as_str().with_context(|| format!("{}: no id in {}", sent.request, sent.item))
}

async fn send(url: &str, method: Method, path: &str, body: Option<Value>) -> Result<Sent> {
    let request = format!("{method} {path}");
    let mut builder = reqwest::Client::new().request(method, format!("{url}{path}"));
    if let Some(body) = body {
        builder = builder.json(&body);
    }
    let response = builder.send().await.with_context(|| request.clone())?;
    let status = response.status();
    let item: Value = response.json().await.with_context(|| request.clone())?;
    ensure!(status.is_success(), "{request}: {status} {item}");
    Ok(Sent { request, status: status.to_string(), item })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_of_the_shop_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples/shop");
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let models: BTreeSet<String> = names.filter(|name| name.ends_with(".yaml")).collect();
        let embedded = FILES.map(|(name, _)| name.to_owned());
        assert_eq!(models, BTreeSet::from(embedded));
    }
}
