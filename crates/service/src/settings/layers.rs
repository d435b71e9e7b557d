//! Reads the file and the environment over the defaults.
//!
//! Both become a list of single [`Given`] values, because an operator corrects single values: each is tried alone over
//! the defaults, so that every mistake is found in one go and blamed on the file or variable it stands in. Then the
//! `config` crate merges the layers. Types are strict: `config` by itself would read `lanes = "yes"` as 1.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::known::Known;
use super::{Problem, Problems, Settings, check};

const DEFAULTS: &str = include_str!("../defaults.toml");
/// The origin of a value that nobody gave.
const DEFAULT: &str = "default";

/// One value that an operator gave.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    /// The file or the environment variable it stands in.
    pub(super) origin: String,
}

/// The defaults, and what was given on top of them.
#[derive(Debug)]
pub struct Layers {
    /// In order of precedence, the last one wins.
    given: Vec<Given>,
}

impl Layers {
    /// Reads `file` and the environment of the process.
    pub fn read(file: Option<&Path>) -> Result<Layers, Problems> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Layers::of(file, std::env::vars_os().filter_map(text))
    }

    /// Reads `file` and those of `environment` that begin with `AQUEDUCT__`, and `RYW_SESSION_TTL_MINUTES`.
    pub fn of(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Layers, Problems> {
        let known = Known::new(parse(DEFAULTS).map_err(|error| fault(&error))?);
        let mut given = Vec::new();
        let mut problems = Vec::new();
        if let Some(path) = file {
            let origin = path.display().to_string();
            let table = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot be read: {error}"))
                .and_then(|text| parse(&text).map_err(|error| without_source(&error)));
            match table {
                Ok(table) => known.file(&origin, table, &mut given, &mut problems),
                Err(message) => problems.push(Problem { key: "--config".to_owned(), origin, message }),
            }
        }
        // Sorted, so that the same mistakes are always reported in the same order.
        let environment: BTreeMap<String, String> = environment.into_iter().collect();
        for (name, value) in environment {
            match known.variable(&name, value) {
                None => {}
                Some(Ok(value)) => given.push(value),
                Some(Err(problem)) => problems.push(problem),
            }
        }
        for value in &given {
            if let Err(message) = typed(std::slice::from_ref(value)) {
                let key = value.path.join(".");
                problems.push(Problem { key, origin: value.origin.clone(), message });
            }
        }
        Problems::unless_empty(problems)?;
        Ok(Layers { given })
    }

    /// The settings in effect, checked beyond their types.
    pub fn settings(&self) -> Result<Settings, Problems> {
        self.checked(check::problems)
    }

    /// The settings in effect, checked for a process of the fleet on this machine.
    pub(crate) fn settings_here(&self) -> Result<Settings, Problems> {
        self.checked(|settings| [check::problems(settings), check::problems_here(settings)].concat())
    }

    fn checked(&self, check: impl Fn(&Settings) -> Vec<(String, String)>) -> Result<Settings, Problems> {
        let settings = typed(&self.given).map_err(|message| fault(&message))?;
        let problem = |(key, message): (String, String)| {
            let origin = self.origin(&key).to_owned();
            Problem { key, origin, message }
        };
        Problems::unless_empty(check(&settings).into_iter().map(problem).collect())?;
        Ok(settings)
    }

    /// The values in effect, as they were given.
    pub(super) fn merged(&self) -> Result<serde_json::Map<String, Json>, Problems> {
        merge(&self.given).map_err(|error| fault(&error))
    }

    /// Whether an operator gave this key, such as `kafka.brokers`, or it has its default.
    #[must_use]
    pub fn is_given(&self, key: &str) -> bool {
        self.origin(key) != DEFAULT
    }

    /// Where the value of a key came from: a file, an environment variable, or `default`.
    pub(super) fn origin(&self, key: &str) -> &str {
        let last = self.given.iter().rev().find(|given| given.path.join(".") == key);
        last.map_or(DEFAULT, |given| &given.origin)
    }
}

/// The given values over the defaults; the error says what is wrong without saying where.
fn typed(given: &[Given]) -> Result<Settings, String> {
    let merged = merge(given).map_err(|error| error.to_string())?;
    serde_json::from_value(Json::Object(merged)).map_err(|error| error.to_string())
}

fn merge(given: &[Given]) -> Result<serde_json::Map<String, Json>, ConfigError> {
    let defaults = File::from_str(DEFAULTS, FileFormat::Toml);
    Config::builder().add_source(defaults).add_source(Layer(given.to_vec())).build()?.try_deserialize()
}

fn parse(toml: &str) -> Result<Map<String, Value>, ConfigError> {
    File::from_str(toml, FileFormat::Toml).collect()
}

/// The message of a syntax error without the line it quotes: a password may stand there.
fn without_source(error: &ConfigError) -> String {
    let quoted =
        |line: &&str| line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|');
    error.to_string().lines().filter(|line| !quoted(line)).collect::<Vec<_>>().join(": ")
}

/// The defaults themselves are wrong: a fault of this crate, which its tests find.
fn fault(error: &dyn std::fmt::Display) -> Problems {
    Problems(vec![Problem { key: "*".to_owned(), origin: DEFAULT.to_owned(), message: error.to_string() }])
}

/// Given values as a source of the `config` crate. Keys are taken literally, also those with dots in them.
#[derive(Clone, Debug)]
struct Layer(Vec<Given>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut root = Map::new();
        for Given { path, value, .. } in &self.0 {
            insert(&mut root, path, value.clone());
        }
        Ok(root)
    }
}

fn insert(table: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let inner =
                table.entry(key.clone()).or_insert_with(|| Value::new(None, Map::<String, Value>::new()));
            if let ValueKind::Table(inner) = &mut inner.kind {
                insert(inner, rest, value);
            }
        }
    }
}
