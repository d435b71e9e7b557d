//! Which schemas hold for a value whatever it is: the schema itself, what its `$ref` names, what its `allOf` lists.
//!
//! Defaults are taken from these, and field names are known from these. What `anyOf`, `oneOf` and `if` say depends on
//! the value, so it fills nothing in and makes no name known.

use serde_json::{Map, Value};

/// The object schemas that hold for every value of `schema`; `root` is the document that `$ref` points into.
pub(crate) fn applied<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Map<String, Value>> {
    let mut found: Vec<&Map<String, Value>> = Vec::new();
    let mut waiting = vec![schema];
    while let Some(next) = waiting.pop() {
        let Value::Object(schema) = next else { continue };
        // A schema may refer to itself.
        if found.iter().any(|seen| std::ptr::eq(*seen, schema)) {
            continue;
        }
        found.push(schema);
        waiting.extend(target(root, schema));
        waiting.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
    }
    found
}

fn target<'s>(root: &'s Value, schema: &Map<String, Value>) -> Option<&'s Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}
