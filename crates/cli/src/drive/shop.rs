//! The shop of `deploy/examples/shop`, as the driver knows it: what to write, and what each view must then show.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// A type and its view.
pub(crate) struct Shown {
    pub(crate) type_name: &'static str,
    pub(crate) view: &'static str,
}

/// Every type of the shop. `CREDIT_NOTE` has no views of its own and gets the default one.
pub(crate) const SHOWN: [Shown; 4] = [
    Shown { type_name: "ORDER", view: "orders" },
    Shown { type_name: "CREDIT_NOTE", view: "credit_note" },
    Shown { type_name: "PRODUCT", view: "products" },
    Shown { type_name: "CUSTOMER", view: "customers" },
];

const STATUSES: [&str; 6] = ["pending", "confirmed", "processing", "shipped", "delivered", "cancelled"];
const CITIES: [&str; 6] = ["Leeds", "São Paulo", "Köln", "Kraków", "東京", "O'Fallon"];

/// Half of the items are orders.
pub(crate) fn any_type(rng: &mut StdRng) -> &'static str {
    match rng.random_range(0..8) {
        0..4 => "ORDER",
        4 => "CREDIT_NOTE",
        5 => "CUSTOMER",
        _ => "PRODUCT",
    }
}

/// Whether the fleet gives the id.
pub(crate) fn has_sequence(type_name: &str) -> bool {
    matches!(type_name, "ORDER" | "CREDIT_NOTE")
}

/// Valid attributes, optional ones present or not.
pub(crate) fn attributes(type_name: &str, rng: &mut StdRng) -> Map<String, Value> {
    let mut attributes = match type_name {
        "ORDER" => json!({ "status": one_of(&STATUSES, rng), "items": lines(1, rng) }),
        "CREDIT_NOTE" => json!({ "items": lines(-1, rng) }),
        "CUSTOMER" => json!({ "country": "United Kingdom", "name": name(rng) }),
        _ => json!({ "name": name(rng), "price": price(rng), "tags": tags(rng) }),
    };
    if rng.random() {
        let (field, value) = optional(type_name, rng);
        attributes[field] = value;
    }
    attributes.as_object().cloned().unwrap_or_default()
}

/// A merge patch that sets one field, or takes it away.
pub(crate) fn patch(type_name: &str, rng: &mut StdRng) -> Value {
    let (field, value) = optional(type_name, rng);
    json!({ field: if rng.random_range(0..4) == 0 { Value::Null } else { value } })
}

fn optional(type_name: &str, rng: &mut StdRng) -> (&'static str, Value) {
    let address = json!({ "street": format!("{} High Street", rng.random_range(1..200)), "city": one_of(&CITIES, rng) });
    match (type_name, rng.random_range(0..3)) {
        ("ORDER", 0) => ("shippingAddress", address),
        ("ORDER", 1) => ("placedAt", json!(format!("2026-0{}-17T09:30:00Z", rng.random_range(1..10)))),
        ("ORDER", _) => ("customerId", json!(format!("C-{}", rng.random_range(1..500)))),
        ("CREDIT_NOTE", _) => ("reason", json!(name(rng))),
        ("CUSTOMER", 0) => ("address", address),
        ("CUSTOMER", 1) => ("email", json!(format!("c{}@example.com", rng.random_range(1..500)))),
        ("CUSTOMER", _) => ("newsletter", json!(rng.random::<bool>())),
        (_, 0) => ("description", json!(name(rng))),
        (_, 1) => ("active", json!(rng.random::<bool>())),
        (_, _) => ("price", json!(price(rng))),
    }
}

fn lines(sign: i64, rng: &mut StdRng) -> Vec<Value> {
    let line = |rng: &mut StdRng| {
        json!({
            "code": format!("P-{}", rng.random_range(1..300)),
            "name": name(rng),
            "quantity": sign * rng.random_range(1..50),
            "price": price(rng),
        })
    };
    (0..rng.random_range(1..5)).map(|_| line(rng)).collect()
}

fn price(rng: &mut StdRng) -> String {
    format!("{}.{:02}", rng.random_range(0..500), rng.random_range(1..100))
}

/// Names as people have them: quotes, backslashes, other alphabets, something that looks like SQL.
fn name(rng: &mut StdRng) -> String {
    let words = [
        "Lantern",
        "\"Cupid\" hearts",
        "O'Brien",
        "Größe XL",
        "カップ",
        "back\\slash",
        "'; DROP TABLE orders; --",
    ];
    format!("{} {}", one_of(&words, rng), rng.random_range(1..1000))
}

fn tags(rng: &mut StdRng) -> Vec<String> {
    (0..rng.random_range(0..3)).map(|n| format!("tag-{n}")).collect()
}

fn one_of<'a>(choices: &[&'a str], rng: &mut StdRng) -> &'a str {
    choices.get(rng.random_range(0..choices.len())).copied().unwrap_or_default()
}

/// The columns of an item's row in its SQL view, as `to_jsonb` shows them.
pub(crate) fn columns(type_name: &str, attributes: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let field = |name: &str| attributes.get(name).cloned().unwrap_or(Value::Null);
    match type_name {
        "ORDER" => {
            let items = attributes.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
            let codes: Vec<Value> = items.iter().map(|line| line["code"].clone()).collect();
            let placed =
                attributes.get("placedAt").and_then(Value::as_str).map(|at| at.replace('Z', "+00:00"));
            vec![
                ("status", field("status")),
                ("customer_id", field("customerId")),
                ("placed_at", json!(placed)),
                ("ship_to_city", field("shippingAddress")["city"].clone()),
                ("lines", json!(items.len())),
                ("codes", json!(codes)),
                ("items", json!(items)),
            ]
        }
        "CREDIT_NOTE" => vec![("attributes", Value::Object(attributes.clone()))],
        "CUSTOMER" => vec![
            ("name", field("name")),
            ("email", field("email")),
            ("country", field("country")),
            ("city", field("address")["city"].clone()),
            ("newsletter", field("newsletter")),
        ],
        _ => {
            let price =
                attributes.get("price").and_then(Value::as_str).and_then(|price| price.parse::<f64>().ok());
            vec![("name", field("name")), ("price", json!(price)), ("active", field("active"))]
        }
    }
}

/// The `document` of an item's document in its index: all attributes, but for the chosen ones of a product.
pub(crate) fn document(type_name: &str, attributes: &Map<String, Value>) -> Value {
    let shown = |name: &String| {
        type_name != "PRODUCT" || ["name", "description", "price", "tags", "active"].contains(&name.as_str())
    };
    Value::Object(
        attributes
            .iter()
            .filter(|(name, _)| shown(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}
