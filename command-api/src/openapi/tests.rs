use std::collections::BTreeSet;

use aqueduct_model::Model;
use serde_json::Value;

use super::document;

const ORDER: &str = r##"
aqueduct: v1
type: ORDER
schema:
  type: object
  required: [items]
  additionalProperties: false
  properties:
    items: { type: array, items: { $ref: "#/$defs/line" } }
    note: { type: [string, "null"], default: null }
  $defs:
    line: { type: object, properties: { code: { type: string }, price: { type: string, format: decimal } } }
id: { sequence: { format: "ORD-{no:06}", rotate: never } }
views:
  orders:
    postgres:
      columns:
        note: { type: text, from: self.note, index: true }
        total: { type: "numeric(14,2)", from: "'1'" }
        items: { type: jsonb, from: self.items }
    opensearch: {}
"##;

const CUSTOMER: &str = r"
aqueduct: v1
type: CUSTOMER
schema: { type: object, properties: { name: { type: string } } }
";

fn example() -> Value {
    let model = Model::parse([("order.yaml", ORDER), ("customer.yaml", CUSTOMER)]).unwrap();
    document(&model)
}

/// Every object of the document with its JSON pointer.
fn objects(value: &Value, pointer: String, visit: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(&pointer, fields);
            for (name, field) in fields {
                objects(field, format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), visit);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                objects(element, format!("{pointer}/{index}"), visit);
            }
        }
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().values().map(move |op| (path.as_str(), op)))
        .collect()
}

#[test]
fn the_document_is_as_reviewed() {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "snapshots" }, {
        // One type: every type looks the same.
        let mut document = document(&Model::parse([("order.yaml", ORDER)]).unwrap());
        document["info"]["version"] = "[version]".into();
        insta::assert_json_snapshot!("openapi", document);
    });
}

#[test]
fn the_document_parses_as_openapi_3_1() {
    let parsed = oas3::from_json(example().to_string()).unwrap();
    assert_eq!(parsed.operations().count(), 20);
}

#[test]
fn every_reference_leads_somewhere() {
    let document = example();
    let mut references = 0;
    objects(&document, String::new(), &mut |at, fields| {
        if let Some(Value::String(target)) = fields.get("$ref") {
            let pointer =
                target.strip_prefix('#').unwrap_or_else(|| panic!("{at} leaves the document: {target}"));
            assert!(document.pointer(pointer).is_some(), "{at} leads nowhere: {target}");
            references += 1;
        }
    });
    assert!(references > 50);
    let line = &document["components"]["schemas"]["ORDER"]["properties"]["items"]["items"]["$ref"];
    assert_eq!(line, "#/components/schemas/ORDER/$defs/line");
}

#[test]
fn operations_have_ids_of_their_own_and_declare_the_parameters_of_their_path() {
    let document = example();
    let operations = operations(&document);
    let ids: BTreeSet<&str> = operations.iter().map(|(_, op)| op["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for (path, operation) in operations {
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let declared: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| match parameter["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => parameter,
            })
            .filter(|parameter| parameter["in"] == "path")
            .inspect(|parameter| assert_eq!(parameter["required"], true))
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        assert_eq!(declared, in_path, "{path}");
        for response in operation["responses"].as_object().unwrap().values() {
            assert!(response["description"].is_string(), "{path}: a response without description");
        }
    }
}

#[test]
fn every_schema_is_json_schema_2020_12() {
    let document = example();
    objects(&document, String::new(), &mut |at, fields| {
        let named = at.strip_prefix("/components/schemas/").is_some_and(|name| !name.contains('/'));
        if named {
            let schema = Value::Object(fields.clone());
            jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
        if let Some(schema) = fields.get("schema").filter(|schema| schema.is_object()) {
            jsonschema::draft202012::meta::validate(schema).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
    });
}
