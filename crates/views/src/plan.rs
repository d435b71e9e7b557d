//! What a model wants of its views, beside what is live: as a reader of SQL and mappings would compare the two.
//!
//! Nothing is made from this. It shows what a rebuild would bring, before one.

use aqueduct_model::{Column, PostgresView, View};
use serde::Serialize;
use similar::TextDiff;

use crate::definition::canonical;
use crate::postgres::ddl;
use crate::{Error, Generation, State};

/// One view in one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Its name.
    pub view: String,
    /// `postgres` or `opensearch`.
    pub store: &'static str,
    /// How the model's definition stands to the live one.
    pub status: Status,
    /// The number of the live generation.
    pub live: Option<u32>,
    /// The number of one that is being built from exactly what the model says.
    pub building: Option<u32>,
    /// From the live definition to the model's, as a unified diff; empty when they are the same.
    pub diff: String,
}

/// How a model's definition of a view stands to the live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The same.
    Same,
    /// Another: a rebuild would bring it.
    Differs,
    /// Not registered yet: the next worker that starts, or `aqueduct setup`, makes it.
    New,
    /// Live, and not in the model any more: it is served until it is retired.
    Gone,
}

/// Compares what is registered in a store with what the model `wants` there, by name of the view.
pub fn plan(store: &'static str, registered: &[Generation], wanted: &[View]) -> Result<Vec<Planned>, Error> {
    let in_state = |name: &str, state| {
        registered.iter().find(|generation| generation.view() == name && generation.state == state)
    };
    let names = wanted.iter().map(|view| view.name.as_str());
    let live = registered.iter().filter(|generation| generation.state == State::Live);
    let mut names: Vec<&str> = names.chain(live.map(Generation::view)).collect();
    names.sort_unstable();
    names.dedup();
    let planned = names.into_iter().map(|name| {
        let wants = wanted.iter().find(|view| view.name == name);
        let live = in_state(name, State::Live);
        let status = match (live, wants) {
            (Some(live), Some(wants)) if live.definition == *wants => Status::Same,
            (Some(_), Some(_)) => Status::Differs,
            (None, _) => Status::New,
            (Some(_), None) => Status::Gone,
        };
        let diff = match (status, wants) {
            (Status::Differs | Status::New, Some(wants)) => diff(live, wants)?,
            _ => String::new(),
        };
        let built = in_state(name, State::Building).filter(|built| Some(&built.definition) == wants);
        Ok(Planned {
            view: name.to_owned(),
            store,
            status,
            live: live.map(|live| live.number),
            building: built.map(|built| built.number),
            diff,
        })
    });
    planned.collect()
}

fn diff(live: Option<&Generation>, wants: &View) -> Result<String, Error> {
    // Of the same number, so that it is no difference.
    let wanted = Generation::new(wants.clone(), live.map_or(1, |live| live.number), State::Building);
    let before = live.map_or(Ok(String::new()), text)?;
    let after = text(&wanted)?;
    let heading =
        live.map_or_else(|| "nothing".to_owned(), |live| format!("generation {}, live", live.number));
    let diff = TextDiff::from_lines(&before, &after);
    Ok(diff.unified_diff().context_radius(3).header(&heading, "the model").to_string())
}

/// All that a definition says, for people. Two that differ have different texts.
fn text(generation: &Generation) -> Result<String, Error> {
    let definition = &generation.definition;
    let mut lines = match &definition.postgres {
        Some(view) => sql(generation, view)?,
        None => Vec::new(),
    };
    if let Some(view) = &definition.opensearch {
        lines.push(format!("{:#}", canonical(&serde_json::json!(view))));
    }
    Ok(lines.join("\n") + "\n")
}

/// The statements that make it, and where rows come from as comments.
fn sql(generation: &Generation, view: &PostgresView) -> Result<Vec<String>, Error> {
    let name_error = |source| Error::Name { view: generation.view().to_owned(), source };
    let mut lines = Vec::new();
    for table in ddl::tables(generation) {
        let mut statements = vec![table.create(), table.create_key()];
        statements.extend(table.create_indexes().map_err(name_error)?.into_iter().map(Ok));
        statements.push(table.create_public_view());
        for statement in statements {
            lines.push(format!("{};", statement.map_err(name_error)?));
        }
    }
    lines.push(format!("-- {} shows items of type {}", generation.view(), generation.definition.type_name));
    lines.extend(view.condition.iter().map(|condition| format!("-- where {}", condition.source())));
    lines.extend(view.columns.iter().map(|column| source(generation.view(), column)));
    for child in &view.children {
        lines.push(format!("-- {} has a row for each of {}", child.name, child.each.source()));
        lines.extend(child.columns.iter().map(|column| source(&child.name, column)));
    }
    Ok(lines)
}

fn source(table: &str, column: &Column) -> String {
    let default = column.default.as_ref().map(|default| format!(", or {default}")).unwrap_or_default();
    format!("-- {table}.{} = {}{default}", column.name, column.from.source())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(view: Value) -> View {
        serde_json::from_value(view).unwrap()
    }

    fn orders() -> Value {
        let column = |name: &str, column_type: &str, from: &str| json!({ "name": name, "type": column_type, "from": from, "index": false });
        json!({ "name": "orders", "type": "ORDER", "postgres": {
            "columns": [column("total", "numeric(14,2)", "self.total"), column("name", "text", "self.name")],
            "children": [{
                "name": "lines",
                "each": "self.lines",
                "columns": [column("code", "text", "it.code")],
                "indexes": [["code", "position"]],
            }],
            "indexes": [["name", "total"]],
            "search": { "columns": ["name"], "language": "english" },
            "where": "self.open",
        } })
    }

    #[test]
    fn a_view_is_the_same_another_new_or_gone() {
        let mut changed = orders();
        changed["postgres"]["columns"][0]["type"] = "bigint".into();
        changed["postgres"]["children"][0]["columns"][0]["from"] = "it.sku".into();
        let gone = view(json!({ "name": "gone", "type": "ORDER", "postgres": { "columns": [] } }));
        let registered =
            [Generation::new(view(orders()), 3, State::Live), Generation::new(gone, 1, State::Live)];
        let more = view(json!({ "name": "more", "type": "ORDER", "postgres": { "columns": [] } }));
        let planned = plan("postgres", &registered, &[view(orders())]).unwrap();
        assert_eq!((planned[1].status, planned[1].live), (Status::Same, Some(3)));
        let planned = plan("postgres", &registered, &[view(changed), more]).unwrap();
        let diffs: Vec<String> = planned
            .iter()
            .map(|one| format!("{} {:?} {:?}\n{}", one.view, one.status, one.live, one.diff))
            .collect();
        insta::assert_snapshot!(diffs.join("\n"));
    }

    #[test]
    fn every_key_of_a_definition_shows() {
        let search = json!({ "name": "orders", "type": "ORDER", "opensearch": {
            "mappings": { "properties": { "a": { "type": "text" } } },
            "document": "{'a': self.a}",
            "where": "self.open",
            "analysis": { "analyzer": { "names": { "tokenizer": "standard" } } },
            "routing": "tenant",
        } });
        for (before, paths) in [
            (
                orders(),
                vec![
                    "/postgres/columns/0/type",
                    "/postgres/columns/0/from",
                    "/postgres/columns/0/name",
                    "/postgres/columns/1/index",
                    "/postgres/columns/1/default",
                    "/postgres/children/0/name",
                    "/postgres/children/0/each",
                    "/postgres/children/0/columns/0/type",
                    "/postgres/children/0/indexes/0/1",
                    "/postgres/indexes/0/1",
                    "/postgres/search/language",
                    "/postgres/search/columns/0",
                    "/postgres/where",
                    "/type",
                ],
            ),
            (
                search,
                vec![
                    "/opensearch/mappings/properties/a/type",
                    "/opensearch/document",
                    "/opensearch/where",
                    "/opensearch/analysis/analyzer/names/tokenizer",
                    "/opensearch/routing",
                ],
            ),
        ] {
            for path in paths {
                let mut after = before.clone();
                let changed = match path.rsplit('/').next().unwrap() {
                    "index" => json!(true),
                    "type" if path == "/type" => json!("OTHER"),
                    "type" => json!("jsonb"),
                    "routing" => Value::Null,
                    "default" => json!("x"),
                    "0" | "1" => json!("item_version"),
                    "language" => json!("german"),
                    _ => json!("id"),
                };
                let (parent, key) = path.rsplit_once('/').unwrap();
                match after.pointer_mut(parent).unwrap() {
                    Value::Array(items) => items[key.parse::<usize>().unwrap()] = changed,
                    parent => parent[key] = changed,
                }
                let registered = [Generation::new(view(before.clone()), 1, State::Live)];
                let planned = plan("postgres", &registered, &[view(after)]).unwrap().remove(0);
                assert_eq!(planned.status, Status::Differs, "{path}");
                assert!(planned.diff.contains("\n+"), "{path}: {}", planned.diff);
            }
        }
    }
}
