//! A model: the types of a folder of files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aqueduct_contract::TypeName;

use crate::document::Place;
use crate::large_stack::on_large_stack;
use crate::problem::Report;
use crate::type_file::{TypeFile, type_file};
use crate::{Problem, Problems, Schema, Sequence, View};

/// The types of a fleet, by name.
#[derive(Clone, Debug)]
pub struct Model {
    types: BTreeMap<TypeName, Type>,
}

/// What one model file says.
#[derive(Clone, Debug)]
pub struct Type {
    /// Its name.
    pub name: TypeName,
    /// What its attributes must be.
    pub schema: Schema,
    /// Where the ids of new items come from; without one, a client gives the id.
    pub sequence: Option<Sequence>,
    /// Its read models. A type without `views` has one of both kinds, named by the type in lower case.
    pub views: Vec<View>,
    /// The version of its shapes, written into every event; from 1.
    pub schema_version: u32,
    /// Partitions of its events topic, fixed for the topic's life.
    pub partitions: i32,
}

impl Model {
    /// Reads every `.yaml` and `.yml` file in `dir`. Hidden files, `.md` files and folders are passed over; any other
    /// file is a problem, since it may be a type that would be missed.
    pub fn load(dir: &Path) -> Result<Model, Problems> {
        let mut folder = Report::new(dir.display().to_string());
        let files = files_of(dir, &mut folder);
        if files.is_empty() && folder.is_empty() {
            folder.add(Place::default(), "no model files here: they end in .yaml or .yml");
        }
        Model::from_files(files, folder.into_problems())
    }

    /// The same from names and contents of files, for models that are not in a folder.
    pub fn parse<N, T>(files: impl IntoIterator<Item = (N, T)>) -> Result<Model, Problems>
    where
        N: Into<String>,
        T: AsRef<[u8]>,
    {
        Model::from_files(files, Vec::new())
    }

    fn from_files<N, T>(
        files: impl IntoIterator<Item = (N, T)>,
        mut problems: Vec<Problem>,
    ) -> Result<Model, Problems>
    where
        N: Into<String>,
        T: AsRef<[u8]>,
    {
        let mut read: Vec<(String, TypeFile)> = Vec::new();
        for (name, bytes) in files {
            let name = name.into();
            let mut report = Report::new(name.clone());
            let bytes = bytes.as_ref();
            let found = match on_large_stack(|| type_file(bytes, &mut report)) {
                Ok(found) => found,
                Err(message) => {
                    report.add(Place::default(), message);
                    None
                }
            };
            problems.extend(report.into_problems());
            read.extend(found.map(|file| (name, file)));
        }
        problems.extend(collisions(&read));
        problems.sort();
        problems.dedup();
        if problems.is_empty() {
            Ok(Model { types: read.into_iter().map(|(_, file)| (file.of.name.clone(), file.of)).collect() })
        } else {
            Err(Problems(problems))
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn get(&self, name: &TypeName) -> Option<&Type> {
        self.types.get(name)
    }

    /// All types, by name.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.values()
    }
}

/// Types, views and child tables that are defined twice.
fn collisions(files: &[(String, TypeFile)]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut types: BTreeMap<&TypeName, &str> = BTreeMap::new();
    let mut named: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for (name, file) in files {
        let mut report = Report::new(name.clone());
        if let Some(other) = types.insert(&file.of.name, name) {
            report.add(file.name_place, format!("the type {} is defined in {other}, too", file.of.name));
        }
        for of in &file.names {
            let Some((other, is_child)) = named.insert(&of.name, (name, of.is_child)) else { continue };
            if of.is_child || is_child {
                let kind = if is_child { "a child table" } else { "a view" };
                report.add(of.place, format!("`{}` is the name of {kind} in {other} already", of.name));
            } else if other != name {
                // Within a file, a view that stands twice was reported as a key that does.
                report.add(of.place, format!("the view `{}` is defined in {other}, too", of.name));
            }
        }
        found.extend(report.into_problems());
    }
    found
}

/// Names and contents of the model files in `dir`, by name.
fn files_of(dir: &Path, folder: &mut Report) -> Vec<(String, Vec<u8>)> {
    let nowhere = Place::default();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            folder.add(nowhere, format!("cannot read this folder of model files: {error}"));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                folder.add(nowhere, error.to_string());
                continue;
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A ConfigMap is mounted as links into a hidden folder.
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        match path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()).as_deref() {
            Some("yaml" | "yml") => match fs::read(&path) {
                Ok(bytes) => files.push((path.display().to_string(), bytes)),
                Err(error) => folder.add(nowhere, format!("cannot read {name}: {error}")),
            },
            Some("md") => {}
            _ => folder
                .add(nowhere, format!("{name} is no model file: those end in .yaml or .yml, notes in .md")),
        }
    }
    files.sort();
    files
}
