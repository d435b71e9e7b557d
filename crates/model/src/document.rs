//! A YAML file as a tree in which every value and key knows its place, so that any later mistake can name it.
//!
//! Reading into this tree, not into structs, is what lets one run report every mistake: a struct stops at the first.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, MessageFormatter, Spanned, UserMessageFormatter};

/// More than any model needs; beyond it a file is a mistake or an attack.
const FILE_LIMIT: usize = 1024 * 1024;
const NODE_LIMIT: usize = 50_000;

/// Where something stands in its file: line and column from 1, 0 for the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) tree: Tree,
}

/// What YAML can say that JSON can say, too.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a mapping, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// Reads one document. The error is the place and message of what is not YAML.
pub(crate) fn parse(bytes: &[u8]) -> Result<Node, (Place, String)> {
    let nowhere = |message: String| (Place::default(), message);
    if bytes.len() > FILE_LIMIT {
        return Err(nowhere(format!("the file is larger than {FILE_LIMIT} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        (place_after(&before), "not UTF-8".to_owned())
    })?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: NODE_LIMIT, max_events: 4 * NODE_LIMIT },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODE_LIMIT },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error.location().map(place_of).unwrap_or_default();
        (place, UserMessageFormatter.format_message(&error).into_owned())
    })
}

fn place_of(location: serde_saphyr::Location) -> Place {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: small(location.line()), column: small(location.column()) }
}

fn place_after(text: &str) -> Place {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Place { line: small(text.matches('\n').count() + 1), column: small(last.chars().count() + 1) }
}

impl Node {
    /// The entries of a mapping; none of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.tree {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text, if it is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one from 0.
    pub(crate) fn whole(&self) -> Option<u64> {
        match &self.tree {
            Tree::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// The same as JSON. Of a key that stands twice the last counts; [`duplicates`](Node::duplicates) reports it.
    pub(crate) fn json(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone()),
            Tree::List(items) => items.iter().map(Node::json).collect(),
            Tree::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.json())).collect()
            }
        }
    }

    /// The place of what a JSON pointer names: the key if its last part is one, and where a part is missing the last
    /// that is there.
    pub(crate) fn place_at(&self, pointer: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let found = match &node.tree {
                Tree::Map(entries) => {
                    entries.iter().find(|entry| entry.key == part).map(|entry| (entry.place, &entry.value))
                }
                Tree::List(items) => {
                    part.parse().ok().and_then(|index: usize| items.get(index)).map(|item| (item.place, item))
                }
                _ => None,
            };
            match found {
                Some(next) => (place, node) = next,
                None => break,
            }
        }
        place
    }

    /// Every key that stands twice in a mapping, with the place of the second.
    pub(crate) fn duplicates(&self) -> Vec<(&str, Place)> {
        let mut found = Vec::new();
        let mut keys = HashSet::new();
        for entry in self.entries() {
            if !keys.insert(&entry.key) {
                found.push((entry.key.as_str(), entry.place));
            }
            found.extend(entry.value.duplicates());
        }
        found.extend(self.items().iter().flat_map(Node::duplicates));
        found
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Node { place: place_of(spanned.referenced), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has, too")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        let number = Number::from_f64(value);
        number
            .map(Tree::Number)
            .ok_or_else(|| E::custom("JSON has no such number; quote it if text is meant"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push(Entry { place: place_of(key.referenced), key: key.value, value });
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Place, Tree, parse};

    fn tree(text: &str) -> Node {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn values_and_keys_know_their_places() {
        let node = tree("a: 1\nb:\n  - x\n  - {c: true}\n");
        assert_eq!(node.place_at("/b"), Place { line: 2, column: 1 });
        assert_eq!(node.place_at("/b/1/c"), Place { line: 4, column: 6 });
        assert_eq!(node.place_at("/b/7"), Place { line: 2, column: 1 });
        assert_eq!(node.get("b").unwrap().items()[0].place, Place { line: 3, column: 5 });
    }

    #[test]
    fn scalars_are_what_yaml_1_2_says() {
        let node = tree("{a: yes, b: 'true', c: 1.50, d: ~, e: 18446744073709551615, f: -3}");
        assert_eq!(
            node.json().to_string(),
            r#"{"a":"yes","b":"true","c":1.5,"d":null,"e":18446744073709551615,"f":-3}"#
        );
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(matches!(tree("").tree, Tree::Null));
    }

    #[test]
    fn a_key_that_stands_twice_is_found() {
        let node = tree("a: {b: 1, b: 2}\nc: 1\nc: 2\n");
        let keys: Vec<_> = node.duplicates().iter().map(|(key, place)| (*key, place.line)).collect();
        assert_eq!(keys, [("b", 1), ("c", 3)]);
    }

    #[test]
    fn what_is_not_utf8_is_placed() {
        let error = parse(b"a: 1\nb: \xff").unwrap_err();
        assert_eq!(error, (Place { line: 2, column: 4 }, "not UTF-8".to_owned()));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", ")));
        }
        assert!(parse(bomb.as_bytes()).is_err());
    }
}
