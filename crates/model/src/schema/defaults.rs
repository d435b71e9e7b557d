//! Fills in defaults before a value is checked: in objects, in what their fields hold, in the items of arrays.
//!
//! A field that is absent gets the `default` of its schema, and what was filled in is filled in further. An object that
//! is absent and has no `default` stays absent, whatever its fields would have.

use serde_json::{Map, Value};

use super::applied::applied;
use super::guard::DEPTH_LIMIT;

/// As many values as are filled into one item.
const LIMIT: usize = 10_000;

/// Defaults that hold themselves.
#[derive(Debug)]
pub(crate) struct Endless;

/// Fills in what `schema` has defaults for; `root` is the document that `$ref` points into.
pub(crate) fn fill(root: &Value, schema: &Value, value: &mut Value) -> Result<(), Endless> {
    Filler { root, left: LIMIT }.fill(schema, value, 0)
}

struct Filler<'s> {
    root: &'s Value,
    left: usize,
}

impl<'s> Filler<'s> {
    fn fill(&mut self, schema: &'s Value, value: &mut Value, depth: usize) -> Result<(), Endless> {
        if depth > DEPTH_LIMIT {
            return Err(Endless);
        }
        for schema in applied(self.root, schema) {
            match value {
                Value::Object(fields) => self.object(schema, fields, depth)?,
                Value::Array(items) => self.array(schema, items, depth)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        schema: &'s Map<String, Value>,
        fields: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Endless> {
        let declared = schema.get("properties").and_then(Value::as_object);
        for (name, schema) in declared.into_iter().flatten() {
            if !fields.contains_key(name) {
                let default = applied(self.root, schema).into_iter().find_map(|schema| schema.get("default"));
                let Some(default) = default else { continue };
                self.left = self.left.checked_sub(1).ok_or(Endless)?;
                fields.insert(name.clone(), default.clone());
            }
            if let Some(value) = fields.get_mut(name) {
                self.fill(schema, value, depth + 1)?;
            }
        }
        if let Some(others) = schema.get("additionalProperties") {
            let declared = |name: &str| declared.is_some_and(|declared| declared.contains_key(name));
            for (_, value) in fields.iter_mut().filter(|(name, _)| !declared(name)) {
                self.fill(others, value, depth + 1)?;
            }
        }
        Ok(())
    }

    fn array(
        &mut self,
        schema: &'s Map<String, Value>,
        items: &mut [Value],
        depth: usize,
    ) -> Result<(), Endless> {
        let first =
            schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut items = items.iter_mut();
        for (schema, item) in first.iter().zip(items.by_ref()) {
            self.fill(schema, item, depth + 1)?;
        }
        if let Some(schema) = schema.get("items") {
            for item in items {
                self.fill(schema, item, depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::fill;

    fn filled(schema: &Value, mut value: Value) -> Value {
        fill(schema, schema, &mut value).unwrap();
        value
    }

    #[test]
    fn absent_fields_get_their_default_and_present_ones_keep_their_value() {
        let schema = json!({"properties": {
            "status": {"default": "pending"},
            "note": {"default": null},
            "plain": {},
            "lines": {"items": {"properties": {"quantity": {"default": 1}}}},
            "pair": {"prefixItems": [{}, {"properties": {"b": {"default": true}}}]},
            "address": {"properties": {"country": {"default": "GB"}}},
            "delivery": {"default": {}, "properties": {"express": {"default": false}}},
        }});
        let given = json!({"status": "shipped", "lines": [{}, {"quantity": 3}, 7], "pair": [{}, {}]});
        let expected = json!({
            "status": "shipped", "lines": [{"quantity": 1}, {"quantity": 3}, 7], "pair": [{}, {"b": true}],
            "note": null, "delivery": {"express": false},
        });
        assert_eq!(filled(&schema, given), expected);
    }

    #[test]
    fn defaults_are_found_behind_refs_and_all_of() {
        let schema = json!({
            "allOf": [{"properties": {"a": {"default": 1}}}],
            "properties": {"b": {"$ref": "#/$defs/b"}},
            "additionalProperties": {"properties": {"c": {"default": 3}}},
            "$defs": {"b": {"default": 2}},
        });
        assert_eq!(filled(&schema, json!({"x": {}})), json!({"a": 1, "b": 2, "x": {"c": 3}}));
    }

    #[test]
    fn a_branch_that_may_not_hold_fills_nothing_in() {
        let schema = json!({"anyOf": [{"properties": {"a": {"default": 1}}}]});
        assert_eq!(filled(&schema, json!({})), json!({}));
    }

    #[test]
    fn defaults_without_end_are_refused() {
        let endless = json!({"properties": {
            "left": {"$ref": "#", "default": {}}, "right": {"$ref": "#", "default": {}},
        }});
        assert!(fill(&endless, &endless, &mut json!({})).is_err());
    }
}
