//! Plain paths, looked up together: one pass over the text of an item's attributes, and nothing parsed but what is found.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Expression;

/// Those of some expressions that are plain paths. Each has a place, which is its expression's.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    root: Node,
    places: usize,
}

/// Where some paths are at the same point.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Of the paths that end here.
    places: Vec<usize>,
    /// Where the others go on.
    fields: BTreeMap<String, Node>,
}

/// What is found at each place.
type Found<'i> = [Option<&'i RawValue>];

impl Paths {
    /// The plain paths of `expressions` from `self`.
    #[must_use]
    pub fn of<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> Paths {
        Paths::from(expressions.into_iter().map(Expression::path))
    }

    /// The plain paths of `expressions` from `it`, to be looked up in an element.
    #[must_use]
    pub fn of_elements<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> Paths {
        Paths::from(expressions.into_iter().map(Expression::element_path))
    }

    fn from<'e>(expressions: impl Iterator<Item = Option<&'e [String]>>) -> Paths {
        let mut paths = Paths::default();
        for path in expressions {
            if let Some(fields) = path {
                let end = fields
                    .iter()
                    .fold(&mut paths.root, |node, field| node.fields.entry(field.clone()).or_default());
                end.places.push(paths.places);
            }
            paths.places += 1;
        }
        paths
    }

    /// The value of each expression, by its place, in a text of JSON. `None` where a part of the path is absent, and
    /// where the expression is no plain path. As in any JSON here, the last of several fields of one name counts. Fails for
    /// what is not JSON.
    pub fn look_up<'i>(&self, text: &'i RawValue) -> serde_json::Result<Vec<Option<&'i RawValue>>> {
        let mut found = vec![None; self.places];
        self.root.take(text, &mut found)?;
        Ok(found)
    }
}

impl Node {
    fn take<'i>(&self, value: &'i RawValue, found: &mut Found<'i>) -> serde_json::Result<()> {
        self.note(Some(value), found);
        if self.fields.is_empty() || !value.get().starts_with('{') {
            return Ok(());
        }
        serde_json::Deserializer::from_str(value.get()).deserialize_map(Walk { node: self, found })
    }

    /// `value` stands here, and nothing below is known.
    fn note<'i>(&self, value: Option<&'i RawValue>, found: &mut Found<'i>) {
        self.places.iter().for_each(|place| found[*place] = value);
        self.fields.values().for_each(|node| node.note(None, found));
    }
}

/// Goes through one object.
struct Walk<'n, 'f, 'i> {
    node: &'n Node,
    found: &'f mut Found<'i>,
}

impl<'i> Visitor<'i> for Walk<'_, '_, 'i> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'i>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key_seed(Field(self.node))? {
            match field {
                None => drop(object.next_value::<IgnoredAny>()?),
                Some(node) => {
                    node.take(object.next_value::<&RawValue>()?, self.found).map_err(A::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

/// Where the paths go on at a field, if any does.
struct Field<'n>(&'n Node);

impl<'n, 'i> DeserializeSeed<'i> for Field<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'i>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Field<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.get(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn expression(source: &str) -> Expression {
        Expression::try_from(source.to_owned()).unwrap()
    }

    /// What a path leads to in a parsed object.
    fn walked(attributes: &Value, path: &[String]) -> Option<Value> {
        path.iter().try_fold(attributes, |value, field| value.as_object()?.get(field)).cloned()
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| Value::from(text).to_string()),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            // Names come again, some of them escaped.
            let name = prop::sample::select(vec![r#""a""#, r#""b""#, r#""\u0061""#, r#""c""#]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|items| format!("[{}]", items.join(" , "))),
                prop::collection::vec((name, inner), 0..5).prop_map(|fields| {
                    let fields = fields.iter().map(|(name, value)| format!("{name} : {value}"));
                    format!("{{ {} }}", fields.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn finds_what_a_walk_through_the_parsed_object_finds(text in any_json()) {
            let sources = ["self.a", "self.a.b", "self.b.a.b", "self", "self.a.a", "1 + 1", "self.c.c.c", "self.a"];
            let expressions = sources.map(expression);
            let raw: &RawValue = serde_json::from_str(&text).unwrap();
            let found = Paths::of(&expressions).look_up(raw).unwrap();
            let parsed: Value = serde_json::from_str(&text).unwrap();
            for (expression, found) in expressions.iter().zip(found) {
                let expected = expression.path().and_then(|path| walked(&parsed, path));
                let found = found.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
                prop_assert_eq!(found, expected, "{} of {}", expression.source(), text);
            }
        }
    }
}
