//! `aqueduct views`: which generations of which views there are, how that came about, and what a rebuild would bring.

mod history;
mod list;
mod plan;

use std::process::ExitCode;

use anyhow::Result;

pub use plan::planned;

/// `aqueduct views`
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Views {
    /// Show how the views of the model differ from those that are live, as DDL and mappings; change nothing
    Plan(plan::Plan),
    /// Show every generation of every view, in both stores
    List(list::List),
    /// Show when generations were begun, loaded, swapped, retired
    History(history::History),
}

impl Views {
    /// Does it.
    pub async fn run(self) -> Result<ExitCode> {
        match self {
            Views::Plan(plan) => return plan.run().await,
            Views::List(list) => list.run().await?,
            Views::History(history) => history.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Rows in columns as wide as they need to be.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
