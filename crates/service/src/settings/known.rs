//! What can be set: the keys of the defaults. Anything else is a mistake, and the nearest known name is probably meant.

use config::{Map, Value, ValueKind};

use super::Problem;
use super::layers::Given;

const VARIABLE_PREFIX: &str = "AQUEDUCT__";

/// A variable that applications know by this name, and the setting that it is.
const SESSIONS: (&str, &str) = ("RYW_SESSION_TTL_MINUTES", "AQUEDUCT__API__RYW_SESSION_TTL_MINUTES");

/// A table whose keys are not ours to know: they go to librdkafka as they are. Their names have dots where the name of an
/// environment variable has underscores.
const OPEN: &str = "kafka.properties";

/// The table of the defaults.
pub(super) struct Known(Map<String, Value>);

impl Known {
    pub(super) fn new(defaults: Map<String, Value>) -> Known {
        Known(defaults)
    }

    /// Sorts the table of a file into values that can be set and problems.
    pub(super) fn file(
        &self,
        origin: &str,
        table: Map<String, Value>,
        given: &mut Vec<Given>,
        problems: &mut Vec<Problem>,
    ) {
        self.table(&mut Vec::new(), table, origin, given, problems);
    }

    fn table(
        &self,
        path: &mut Vec<String>,
        table: Map<String, Value>,
        origin: &str,
        given: &mut Vec<Given>,
        problems: &mut Vec<Problem>,
    ) {
        for (key, value) in table {
            path.push(key);
            let name = path.join(".");
            let wrong = |message| Problem { key: name.clone(), origin: origin.to_owned(), message };
            match (self.get(path).map(|known| &known.kind), value.kind) {
                (None, _) => problems.push(wrong(self.unknown(&name))),
                (Some(ValueKind::Table(_)), ValueKind::Table(properties)) if name == OPEN => {
                    open(path, "", properties, origin, given);
                }
                (Some(ValueKind::Table(_)), ValueKind::Table(inner)) => {
                    self.table(path, inner, origin, given, problems);
                }
                (Some(ValueKind::Table(known)), _) => problems.push(wrong(section(known))),
                (Some(_), ValueKind::Table(_)) => {
                    problems.push(wrong("is a value, not a section".to_owned()));
                }
                (Some(_), kind) => {
                    let value = Value::new(None, kind);
                    given.push(Given { path: path.clone(), value, origin: origin.to_owned() });
                }
            }
            path.pop();
        }
    }

    /// The setting that an environment variable gives; `None` when its name is not of ours.
    pub(super) fn variable(&self, name: &str, text: String) -> Option<Result<Given, Problem>> {
        let meant = if name == SESSIONS.0 { SESSIONS.1 } else { name };
        let mut path: Vec<String> =
            meant.strip_prefix(VARIABLE_PREFIX)?.split("__").map(str::to_ascii_lowercase).collect();
        if let [section, open, property @ ..] = &path[..]
            && format!("{section}.{open}") == OPEN
            && !property.is_empty()
        {
            let property = property.join("_").replace('_', ".");
            path = vec![section.clone(), open.clone(), property];
            return Some(Ok(Given { path, value: Value::new(None, text), origin: name.to_owned() }));
        }
        let key = path.join(".");
        let wrong = |message| Problem { key: key.clone(), origin: name.to_owned(), message };
        let kind = match self.get(&path).map(|known| &known.kind) {
            None => return Some(Err(wrong(self.unknown(&key)))),
            Some(ValueKind::Table(known)) => return Some(Err(wrong(section(known)))),
            // Text that is no number or boolean stays text: the error then names what it should have been.
            Some(ValueKind::I64(_)) => text.parse::<i64>().map_or(text.into(), ValueKind::from),
            Some(ValueKind::Float(_)) => text.parse::<f64>().map_or(text.into(), ValueKind::from),
            Some(ValueKind::Boolean(_)) => text.parse::<bool>().map_or(text.into(), ValueKind::from),
            Some(_) => text.into(),
        };
        Some(Ok(Given { path, value: Value::new(None, kind), origin: name.to_owned() }))
    }

    fn get(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(first)?, |value, key| match &value.kind {
            ValueKind::Table(table) => table.get(key),
            _ => None,
        })
    }

    fn unknown(&self, name: &str) -> String {
        let mut names = Vec::new();
        names_in("", &self.0, &mut names);
        let nearest =
            names.iter().min_by_key(|known| (strsim::damerau_levenshtein(name, known), known.as_str()));
        let nearest = nearest.map(|known| format!("; did you mean {known}?")).unwrap_or_default();
        format!("is not a setting{nearest}")
    }
}

/// Properties: `a.b = "c"` in TOML is a table in a table, and librdkafka's names have dots.
fn open(path: &[String], above: &str, table: Map<String, Value>, origin: &str, given: &mut Vec<Given>) {
    for (key, value) in table {
        let name = format!("{above}{key}");
        if let ValueKind::Table(inner) = value.kind {
            open(path, &format!("{name}."), inner, origin, given);
        } else {
            let mut path = path.to_vec();
            path.push(name);
            // librdkafka takes text and reads the numbers and booleans itself.
            let value = value.clone().into_string().map_or(value, |text| Value::new(None, text));
            given.push(Given { path, value, origin: origin.to_owned() });
        }
    }
}

/// What is wrong with a value where settings are.
fn section(known: &Map<String, Value>) -> String {
    let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
    names.sort_unstable();
    let has = if names.is_empty() { "" } else { ": it has " };
    format!("is a section, not a value{has}{}", names.join(", "))
}

fn names_in(above: &str, table: &Map<String, Value>, names: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{above}{key}");
        if let ValueKind::Table(inner) = &value.kind {
            names_in(&format!("{name}."), inner, names);
        }
        names.push(name);
    }
}
