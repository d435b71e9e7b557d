//! What a schema tells about the values it allows, before there are any: which fields they have.

use serde_json::{Map, Value};

use super::applied::applied;

/// What is known of a value: the schemas that hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Shape<'s> {
    root: &'s Value,
    schemas: Vec<&'s Map<String, Value>>,
}

/// What is known of a field.
pub(crate) enum Field<'s> {
    /// It may be there, and this is known of it; nothing if it is not declared.
    Possible(Option<Shape<'s>>),
    /// It is never there; these are.
    Never(Vec<&'s str>),
    /// The value is never an object but, for example, `a string`.
    NoObject(String),
}

impl<'s> Shape<'s> {
    /// The shape of what `schema` allows.
    pub(crate) fn of(schema: &'s Value) -> Shape<'s> {
        Shape { root: schema, schemas: applied(schema, schema) }
    }

    /// What is known of a field of it.
    pub(crate) fn field(&self, name: &str) -> Field<'s> {
        if let Some(types) = self.types()
            && !types.contains(&"object")
        {
            return Field::NoObject(types.join(" or "));
        }
        let declared = self.schemas.iter().filter_map(|schema| schema.get("properties")?.get(name));
        let schemas: Vec<_> = declared.flat_map(|schema| applied(self.root, schema)).collect();
        if !schemas.is_empty() {
            Field::Possible(Some(Shape { root: self.root, schemas }))
        } else if self.schemas.iter().any(|schema| refuses(schema, name)) {
            Field::Never(self.fields())
        } else {
            Field::Possible(None)
        }
    }

    /// What is known of the items of it, if it is an array.
    pub(crate) fn item(&self) -> Option<Shape<'s>> {
        let schemas: Vec<_> = self
            .schemas
            .iter()
            .filter(|schema| !schema.contains_key("prefixItems"))
            .filter_map(|schema| schema.get("items"))
            .flat_map(|schema| applied(self.root, schema))
            .collect();
        (!schemas.is_empty()).then_some(Shape { root: self.root, schemas })
    }

    /// The JSON types it can have, where the schema says.
    pub(crate) fn types(&self) -> Option<Vec<&'s str>> {
        self.schemas.iter().find_map(|schema| match schema.get("type")? {
            Value::String(one) => Some(vec![one.as_str()]),
            Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
            _ => None,
        })
    }

    /// The format of its strings, where the schema says.
    pub(crate) fn format(&self) -> Option<&'s str> {
        self.schemas.iter().find_map(|schema| schema.get("format")?.as_str())
    }

    /// The names of all declared fields.
    pub(crate) fn fields(&self) -> Vec<&'s str> {
        let declared = self.schemas.iter().filter_map(|schema| schema.get("properties")?.as_object());
        declared.flatten().map(|(name, _)| name.as_str()).collect()
    }
}

/// Whether an object schema lets no field of that name pass.
fn refuses(schema: &Map<String, Value>, name: &str) -> bool {
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let declared = schema.get("properties").is_some_and(|fields| fields.get(name).is_some());
    closed && !declared && !schema.contains_key("patternProperties")
}
