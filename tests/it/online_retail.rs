//! Real, dirty data through the whole fleet: invoices of an online retailer become orders and credit notes, their
//! products and customers items of their own. What the schema refuses is refused whole, with the line and the field.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_tests::{Fleet, servers};
use clap::Parser;
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Parser)]
struct Environment {
    /// The sample; see its README for where it comes from.
    #[arg(long, env = "AQUEDUCT_TRIAL_DATA", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/online-retail-sample.csv"))]
    data: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    invoice_no: String,
    stock_code: String,
    description: String,
    quantity: i64,
    invoice_date: String,
    unit_price: String,
    #[serde(rename = "CustomerID")]
    customer_id: String,
    country: String,
}

impl Line {
    fn customer(&self) -> Option<&str> {
        Some(self.customer_id.trim_end_matches(".0")).filter(|id| *id != "0")
    }
}

/// One request: type, id if the client gives it, attributes.
type Request = (&'static str, Option<String>, Value);

fn invoice(no: &str, lines: &[Line]) -> Request {
    let first = &lines[0];
    let items: Vec<Value> = lines
        .iter()
        .map(|line| json!({ "code": line.stock_code, "name": line.description, "quantity": line.quantity, "price": line.unit_price }))
        .collect();
    let credit = no.starts_with('C');
    let date = if credit { "issuedAt" } else { "placedAt" };
    let mut attributes = json!({ "invoiceNo": no, "items": items, "country": first.country });
    attributes[date] = json!(format!("{}Z", first.invoice_date.replace(' ', "T")));
    if let Some(customer) = first.customer() {
        attributes["customerId"] = json!(customer);
    }
    (if credit { "CREDIT_NOTE" } else { "ORDER" }, None, attributes)
}

fn requests(lines: Vec<Line>) -> Vec<Request> {
    let mut products: BTreeMap<String, Value> = BTreeMap::new();
    let mut customers: BTreeMap<String, Value> = BTreeMap::new();
    let mut invoices: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in lines {
        let name = if line.description.is_empty() { &line.stock_code } else { &line.description };
        products.insert(line.stock_code.clone(), json!({ "name": name }));
        if let Some(customer) = line.customer() {
            customers.insert(customer.to_owned(), json!({ "country": line.country }));
        }
        invoices.entry(line.invoice_no.clone()).or_default().push(line);
    }
    let products = products.into_iter().map(|(id, attributes)| ("PRODUCT", Some(id), attributes));
    let customers = customers.into_iter().map(|(id, attributes)| ("CUSTOMER", Some(id), attributes));
    let invoices: Vec<Request> = invoices.iter().map(|(no, lines)| invoice(no, lines)).collect();
    products.chain(customers).chain(invoices).collect()
}

/// Whether it was accepted. A refusal must name the line and the field.
async fn send(fleet: &Fleet, (type_name, id, attributes): Request) -> anyhow::Result<(&'static str, bool)> {
    let url = format!("{}/v1/retail/{type_name}", fleet.api());
    let mut body = json!({ "attributes": attributes });
    if let Some(id) = id {
        body["id"] = json!(id);
    }
    let response = reqwest::Client::new().post(url).json(&body).send().await?;
    if response.status() == StatusCode::CREATED {
        return Ok((type_name, true));
    }
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let problem: Value = response.json().await?;
    let pointers: Vec<&str> =
        problem["errors"].as_array().into_iter().flatten().filter_map(|e| e["pointer"].as_str()).collect();
    assert!(!pointers.is_empty());
    for pointer in pointers {
        let parts: Vec<&str> = pointer.rsplitn(3, '/').collect();
        assert!(
            matches!(parts[..], ["quantity" | "price", line, before] if line.parse::<usize>().is_ok() && before.ends_with("/items")),
            "{pointer} names no line and field of {body}"
        );
    }
    Ok((type_name, false))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sound_invoice_stands_in_all_stores_and_every_other_is_refused_whole() -> anyhow::Result<()> {
    let data = Environment::parse_from(["tests"]).data;
    let Ok(mut reader) = csv::Reader::from_path(&data) else {
        println!("SKIPPED: {} is not there; AQUEDUCT_TRIAL_DATA names another place", data.display());
        return Ok(());
    };
    let lines: Vec<Line> = reader.deserialize().collect::<Result<_, _>>()?;
    let fleet = Fleet::on(servers().await).await.start().await?;

    let answers: Vec<(&str, bool)> = stream::iter(requests(lines))
        .map(|request| send(&fleet, request))
        .buffer_unordered(16)
        .try_collect()
        .await?;
    let count = |wanted: &[(&str, bool)]| answers.iter().filter(|answer| wanted.contains(answer)).count();
    assert_eq!(count(&[("ORDER", true)]), 1_432);
    assert_eq!(count(&[("CREDIT_NOTE", true)]), 44);
    assert_eq!(count(&[("ORDER", false), ("CREDIT_NOTE", false)]), 617);
    assert_eq!(count(&[("PRODUCT", false), ("CUSTOMER", false)]), 0);

    fleet.agrees(Duration::from_secs(120)).await?;
    for (view, expected) in [("orders", 1_432), ("credit_note", 44)] {
        assert_eq!(fleet.rows("retail", view).await?, expected, "rows in {view}");
        assert_eq!(fleet.documents("retail", view).await?, expected, "documents in {view}");
    }
    Ok(())
}
