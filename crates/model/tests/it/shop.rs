//! The shop example, against the trade it is made for.

use std::io::Write;
use std::path::{Path, PathBuf};

use aqueduct_contract::{Attributes, TypeName};
use aqueduct_model::{Model, SCHEMA, Type};
use serde_json::{Value, json};

fn shop() -> Model {
    Model::load(&root().join("deploy/examples/shop")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn of<'m>(model: &'m Model, name: &str) -> &'m Type {
    model.get(&name.parse::<TypeName>().unwrap()).unwrap()
}

fn object(value: Value) -> Attributes {
    value.as_object().unwrap().clone()
}

#[test]
fn it_has_its_types_and_views() {
    let model = shop();
    let names: Vec<_> = model.types().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["CREDIT_NOTE", "CUSTOMER", "ORDER", "PRODUCT"]);
    let definitions: Vec<Value> =
        model.types().flat_map(|of| &of.views).map(aqueduct_model::View::definition).collect();
    insta::assert_json_snapshot!(definitions);
}

#[test]
fn a_refused_line_is_named_with_its_field() {
    let line = |quantity: i64, price: &str| json!({"code": "85123A", "quantity": quantity, "price": price});
    let order = json!({"items": [line(6, "2.55"), line(-1, "2.55"), line(3, "0.00")]});
    let violations = of(&shop(), "ORDER").schema.accept(object(order)).unwrap_err();
    let said: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.pointer, v.message)).collect();
    assert_eq!(said, ["/items/1/quantity: must be at least 1", "/items/2/price: must be greater than 0"]);
}

#[test]
fn the_order_of_its_readme_is_accepted() {
    let readme = std::fs::read_to_string(root().join("deploy/examples/shop/README.md")).unwrap();
    let (_, after) = readme.split_once("```json\n").unwrap();
    let (order, _) = after.split_once("```").unwrap();
    of(&shop(), "ORDER").schema.accept(serde_json::from_str(order).unwrap()).unwrap();
}

#[test]
fn an_order_begins_as_pending() {
    let order = json!({"items": [{"code": "22423", "quantity": 1, "price": "12.75"}], "shippingAddress": {"street": "a", "city": "b"}});
    let accepted = of(&shop(), "ORDER").schema.accept(object(order)).unwrap();
    assert_eq!(
        (&accepted["status"], &accepted["shippingAddress"]["country"]),
        (&json!("pending"), &json!("United Kingdom"))
    );
}

/// 2,093 real invoices: those whose number begins with `C` are credit notes, the others orders.
#[test]
fn of_the_real_invoices_exactly_the_sound_ones_are_accepted() {
    let Some(invoices) = invoices() else { return };
    let model = shop();
    let (order, credit_note) = (&of(&model, "ORDER").schema, &of(&model, "CREDIT_NOTE").schema);
    let (mut orders, mut credit_notes, mut refused) = (0, 0, 0);
    for (number, attributes) in invoices {
        let credits = number.starts_with('C');
        match if credits { credit_note } else { order }.accept(attributes) {
            Ok(_) if credits => credit_notes += 1,
            Ok(_) => orders += 1,
            Err(violations) => {
                assert!(violations.iter().all(|violation| violation.pointer.starts_with("/items/")));
                refused += 1;
            }
        }
    }
    assert_eq!((orders, credit_notes, refused), (1432, 44, 617));
}

/// `None`, said aloud, where the data is not at hand.
fn invoices() -> Option<Vec<(String, Attributes)>> {
    #[expect(clippy::disallowed_methods, reason = "where the data is, is the tester's choice and no setting")]
    let file = std::env::var("AQUEDUCT_TRIAL_DATA").map(PathBuf::from);
    let file = file.unwrap_or_else(|_| root().join("../shared/data/online-retail-sample.csv"));
    let Ok(mut rows) = csv::Reader::from_path(&file) else {
        // Not by `println!`, which the test runner keeps to itself.
        let skipped = format!("skipped: no trial data at {}\n", file.display());
        std::io::stderr().write_all(skipped.as_bytes()).unwrap();
        return None;
    };
    let mut invoices: Vec<(String, Attributes)> = Vec::new();
    for row in rows.records() {
        let row = row.unwrap();
        let [number, code, name, quantity, date, price, customer, country] =
            std::array::from_fn(|index| &row[index]);
        if invoices.last().is_none_or(|(last, _)| last != number) {
            let placed = if number.starts_with('C') { "issuedAt" } else { "placedAt" };
            let mut invoice = object(json!({ "invoiceNo": number, "country": country, "items": [] }));
            invoice.insert(placed.to_owned(), format!("{}Z", date.replace(' ', "T")).into());
            if customer != "0.0" {
                invoice.insert("customerId".to_owned(), customer.trim_end_matches(".0").into());
            }
            invoices.push((number.to_owned(), invoice));
        }
        let quantity: i64 = quantity.parse().unwrap();
        let line = json!({ "code": code, "name": name, "quantity": quantity, "price": price });
        invoices.last_mut().unwrap().1["items"].as_array_mut().unwrap().push(line);
    }
    Some(invoices)
}

#[test]
fn it_is_valid_by_the_schema_for_editors() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    // As an editor has it: without our formats and keywords.
    let validator = jsonschema::validator_for(&schema).unwrap();
    for entry in std::fs::read_dir(root().join("deploy/examples/shop")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let file: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
}
