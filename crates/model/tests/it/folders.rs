//! Folders that hold no model, or more than one.

use std::fs;

use aqueduct_model::Model;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use serde_json::json;

const ORDER: &str = "aqueduct: v1\ntype: ORDER\nschema: { type: object }\n";

/// What loading a folder with these files says, with the folder's own name left out.
fn said(files: &[(&str, &[u8])]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let problems = Model::load(folder.path()).err().map(|problems| problems.0).unwrap_or_default();
    let own = folder.path().display().to_string();
    problems.iter().map(|problem| problem.to_string().replace(&own, "DIR")).collect()
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let problems = Model::load("no/such/folder".as_ref()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "no/such/folder: cannot read this folder of model files: No such file or directory (os error 2)"
    );
}

#[test]
fn a_folder_without_model_files_is_said() {
    assert_eq!(said(&[]), ["DIR: no model files here: they end in .yaml or .yml"]);
    assert_eq!(said(&[("README.md", b"")]), ["DIR: no model files here: they end in .yaml or .yml"]);
}

#[test]
fn a_file_of_another_name_is_said_and_not_passed_over() {
    let files: [(&str, &[u8]); 2] = [("order.yaml", ORDER.as_bytes()), ("product.json", b"{}")];
    assert_eq!(
        said(&files),
        ["DIR: product.json is no model file: those end in .yaml or .yml, notes in .md"]
    );
}

#[test]
fn notes_folders_and_hidden_files_are_passed_over() {
    let files: [(&str, &[u8]); 4] =
        [("order.YML", ORDER.as_bytes()), ("README.md", b"#"), ("seed/a.json", b"{}"), (".hidden", b"x")];
    assert_eq!(said(&files), [""; 0]);
}

#[test]
fn a_file_that_is_not_text_is_said_with_the_place() {
    assert_eq!(said(&[("a.yaml", b"aqueduct: v1\ntype: \xffORDER\n")]), ["DIR/a.yaml:2:7: not UTF-8"]);
}

#[test]
fn a_file_that_is_too_large_is_said() {
    let large = format!("{ORDER}# {}", "x".repeat(1024 * 1024));
    assert_eq!(said(&[("a.yaml", large.as_bytes())]), ["DIR/a.yaml: the file is larger than 1048576 bytes"]);
}

#[test]
fn deep_nesting_and_many_aliases_are_refused() {
    let deep = format!("aqueduct: v1\nschema: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut bomb = String::from("a: &a0 {x: 1}\n");
    for level in 1..30 {
        bomb.push_str(&format!("k{level}: &a{level} {{l: *a{0}, r: *a{0}}}\n", level - 1));
    }
    for hostile in [deep, bomb] {
        assert_eq!(Model::parse([("a.yaml", hostile)]).unwrap_err().0.len(), 1);
    }
}

#[test]
fn a_schema_as_deep_as_a_file_can_be_is_read() {
    for levels in [10, 25, 30, 40] {
        let (open, close) = ("{type: object, properties: {a: ".repeat(levels), "}}".repeat(levels));
        let file = format!("aqueduct: v1\ntype: ORDER\nschema: {open}{{default: 1}}{close}\n");
        assert_eq!(Model::parse([("a.yaml", file)]).is_ok(), levels <= 30, "{levels}");
    }
}

#[test]
fn a_schema_that_goes_in_circles_or_deep_can_be_used() {
    let deep = |keyword: &str| format!("{}{{}}{}", format!("{{{keyword}: ").repeat(55), "}".repeat(55));
    for rest in [
        "$ref: '#'".to_owned(),
        "allOf: [{ $ref: '#' }, { $ref: '#/$defs/a' }], $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }".to_owned(),
        "properties: { a: { $ref: '#', default: {} } }".to_owned(),
        "properties: { a: { $ref: '#' } }".to_owned(),
        format!("not: {}", deep("not")),
        format!("if: {}", deep("then")),
        format!("additionalProperties: {}", deep("additionalProperties")),
        format!("allOf: {}{}", "[{ allOf: ".repeat(20) + "[{}]", "}]".repeat(20)),
    ] {
        let file = format!("aqueduct: v1\ntype: ORDER\nschema: {{ type: object, {rest} }}\n");
        let Ok(model) = Model::parse([("a.yaml", &file)]) else { continue };
        let nested = (0..15).fold(json!({}), |inner, _| json!({ "a": inner }));
        for attributes in [json!({}), nested] {
            let of = model.types().next().unwrap();
            let _ = of.schema.accept(attributes.as_object().unwrap().clone());
        }
    }
}

/// Lines of model files, in an order that nobody writes.
fn scrambled() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        proptest::sample::select(
            include_str!("../../../../deploy/examples/shop/order.yaml").lines().collect::<Vec<_>>()
        )
        .prop_map(str::to_owned),
        proptest::sample::select(vec![
            "views:",
            "  v:",
            "    postgres:",
            "      columns: {a: {type: text, from: self}}"
        ])
        .prop_map(str::to_owned),
        "[ ]{0,8}[a-z]{1,8}: [\\[\\]{}&*!|>'\"#,a-z0-9$^]{0,12}",
    ];
    proptest::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn any_bytes_are_a_model_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Model::parse([("a.yaml", bytes)]);
    }

    #[test]
    fn any_text_is_a_model_or_is_refused(text in scrambled()) {
        let _ = Model::parse([("a.yaml", text)]);
    }

    #[test]
    fn a_damaged_model_is_a_model_or_is_refused(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut file = include_bytes!("../../../../deploy/examples/shop/order.yaml").to_vec();
        let at = at.index(file.len());
        file[at] = byte;
        let _ = Model::parse([("a.yaml", file)]);
    }
}
