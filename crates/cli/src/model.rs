//! `aqueduct model check`: every mistake in a folder of model files, before any process reads it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use aqueduct_model::{Model, Problem, SCHEMA};
use serde_json::json;

/// What of a model is to be done.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Task {
    /// Report every mistake in a folder of model files: exit code 0 if there is none, 1 if there are some, 2 if the
    /// folder cannot be read
    Check {
        /// Folder of model files
        dir: PathBuf,
        /// Print JSON: {"types": […], "problems": [{"file", "line", "column", "message", "suggestion"}]}
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of model files, for editors
    Schema,
}

/// Does it, and prints what came of it to standard output.
pub async fn run(args: Args) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match args.task {
        Task::Check { dir, json } => Ok(check(&dir, json, &mut out)?),
        Task::Schema => {
            out.write_all(SCHEMA.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(dir: &Path, json: bool, out: &mut impl Write) -> io::Result<ExitCode> {
    let (types, problems): (Vec<String>, Vec<Problem>) = match Model::load(dir) {
        Ok(model) => (model.types().map(|of| of.name.to_string()).collect(), Vec::new()),
        Err(problems) => (Vec::new(), problems.0),
    };
    if json {
        writeln!(out, "{:#}", json!({ "types": types, "problems": problems }))?;
    } else if problems.is_empty() {
        writeln!(out, "{}: no mistakes in {}", dir.display(), types.join(", "))?;
    } else {
        for problem in &problems {
            writeln!(out, "{problem}")?;
        }
    }
    Ok(match problems.len() {
        0 => ExitCode::SUCCESS,
        _ if !dir.is_dir() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::ExitCode;

    use super::check;

    const ORDER: &str = "aqueduct: v1\ntype: ORDER\nschema: { type: object }\n";

    fn checked(dir: &Path, json: bool) -> (ExitCode, String) {
        let mut out = Vec::new();
        let code = check(dir, json, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap().replace(&dir.display().to_string(), "DIR"))
    }

    fn folder(order: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("order.yaml"), order).unwrap();
        folder
    }

    #[test]
    fn a_sound_model_exits_with_0() {
        let folder = folder(ORDER);
        let (code, out) = checked(folder.path(), false);
        assert_eq!((code, out.as_str()), (ExitCode::SUCCESS, "DIR: no mistakes in ORDER\n"));
        let (_, out) = checked(folder.path(), true);
        assert_eq!(out, "{\n  \"types\": [\n    \"ORDER\"\n  ],\n  \"problems\": []\n}\n");
    }

    #[test]
    fn mistakes_exit_with_1_and_are_named_with_file_line_and_suggestion() {
        let folder = folder(&ORDER.replace("schema", "shema"));
        let (code, out) = checked(folder.path(), false);
        assert_eq!(code, ExitCode::FAILURE);
        assert_eq!(
            out,
            "DIR/order.yaml:1:1: the key `schema` is required\n\
             DIR/order.yaml:3:1: unknown key `shema`; did you mean `schema`?\n"
        );
        let (_, out) = checked(folder.path(), true);
        let json: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            json["problems"][1],
            serde_json::json!({
                "file": "DIR/order.yaml", "line": 3, "column": 1, "message": "unknown key `shema`", "suggestion": "schema",
            })
        );
    }

    #[test]
    fn a_folder_that_is_not_there_exits_with_2() {
        let (code, out) = checked(Path::new("no/such/folder"), false);
        assert_eq!(code, ExitCode::from(2));
        assert!(out.starts_with("DIR: cannot read this folder"), "{out}");
    }
}
