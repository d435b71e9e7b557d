//! The command line that all binaries share.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Where the settings file is.
#[derive(Args, Clone, Debug)]
pub struct SettingsFile {
    /// Settings over the defaults; environment variables AQUEDUCT__SECTION__KEY come over these
    #[arg(long, value_name = "FILE", env = "AQUEDUCT_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) file: SettingsFile,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the settings in effect and where they came from, secrets left out; exit with 2 when they are not valid
    CheckConfig,
}

impl Cli {
    /// Reads the command line of the binary `name`; answers `--help`, `--version` and mistakes itself.
    pub(crate) fn read(name: &'static str) -> Cli {
        let matches = Cli::command().name(name).get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}
