//! The `aqueduct` command.

use std::process::ExitCode;

use aqueduct_cli::{local, model};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "aqueduct", version, about = "Runs and looks after an Aqueduct fleet")]
struct Aqueduct {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The local stack: real servers and a fleet on this machine
    #[command(subcommand)]
    Local(Local),
    /// Model files
    Model(model::Args),
}

#[derive(Subcommand)]
enum Local {
    /// Start the stack and watch it until Ctrl-C
    Up(local::up::Up),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Aqueduct::parse().command {
        Command::Local(Local::Up(up)) => local::up::run(up).await.map(|()| ExitCode::SUCCESS),
        Command::Model(args) => model::run(args).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aqueduct: {error:#}");
            ExitCode::FAILURE
        }
    }
}
