//! The `aqueduct` command. It exits with 0 when what was asked for is done, with 1 when it failed, and with 2 when the command
//! line, the settings or the model are wrong.

use std::process::ExitCode;

use anyhow::Result;
use aqueduct_cli::dead_letters::DeadLetters;
use aqueduct_cli::fleet::settings;
use aqueduct_cli::lag::Lag;
use aqueduct_cli::purge::Purge;
use aqueduct_cli::rebuild;
use aqueduct_cli::replay::Replay;
use aqueduct_cli::republish::Republish;
use aqueduct_cli::retire::Retire;
use aqueduct_cli::swap::{Rollback, Swap};
use aqueduct_cli::trace::Trace;
use aqueduct_cli::verify::Verify;
use aqueduct_cli::views::Views;
use aqueduct_cli::{local, model, setup};
use aqueduct_service::{SettingsFile, exit_code};
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
    /// Make the tables, topics and views that a fleet needs, where they are missing
    Setup(SettingsFile),
    /// Show how far every consumer group is behind, whether or not a worker runs
    Lag(Lag),
    /// What could not be applied: look at it, have it tried again, give up on it
    DeadLetters(DeadLetters),
    /// Remove what stands for items that were deleted long ago
    Purge(Purge),
    /// Make views anew from their events, while readers go on seeing what is there
    Rebuild(rebuild::Args),
    /// Set consumer groups back, so that they apply events again
    Replay(Replay),
    /// Fill an events topic that was lost, from the event store
    Republish(Republish),
    /// Have readers of a view see the generation that was loaded
    Swap(Swap),
    /// Have readers of a view see the generation again that they saw before
    Rollback(Rollback),
    /// Drop generations that were live before: table or index, consumer group and letters
    Retire(Retire),
    /// Follow a write: stored, published, in which read models, and what it caused
    Trace(Trace),
    /// Compare every read model with the event store, by value
    Verify(Verify),
    /// Generations of views, and the model beside them
    #[command(subcommand)]
    Views(Views),
}

#[derive(Subcommand)]
enum Local {
    /// Start the stack and watch it until Ctrl-C
    Up(local::up::Up),
    /// Stop a stack that is up
    Down(local::folder::Chosen),
    /// Show every server and process of a stack that is up
    Status(local::status::Status),
    /// Print the log files of a stack
    Logs(local::logs::Logs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Aqueduct::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("aqueduct: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Local(Local::Up(up)) => local::up::run(up).await?,
        Command::Local(Local::Down(stack)) => local::down::run(stack).await?,
        Command::Local(Local::Status(status)) => local::status::run(status).await?,
        Command::Local(Local::Logs(logs)) => local::logs::run(logs).await?,
        Command::Model(args) => return model::run(args).await,
        Command::Verify(verify) => return verify.run().await,
        Command::Views(views) => return views.run().await,
        Command::Lag(lag) => lag.run().await?,
        Command::DeadLetters(letters) => return letters.run().await,
        Command::Trace(trace) => trace.run().await?,
        Command::Rebuild(rebuild) => return rebuild.run().await,
        Command::Purge(purge) => purge.run().await?,
        Command::Replay(replay) => replay.run().await?,
        Command::Republish(republish) => republish.run().await?,
        Command::Swap(swap) => swap.run().await?,
        Command::Rollback(rollback) => rollback.run().await?,
        Command::Retire(retire) => retire.run().await?,
        Command::Setup(file) => {
            let made = setup::run(&settings(&file)?).await?;
            eprintln!("tables, topics and views stand: {} types, {} views", made.types, made.views);
        }
    }
    Ok(ExitCode::SUCCESS)
}
