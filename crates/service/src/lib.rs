//! What every process has: settings, logs, metrics, health and an orderly end.
//!
//! A binary is [`main`] with its name and its wiring. `main` reads the command line and the [`Settings`], starts the
//! logs and the admin server (`/metrics`, `/livez`, `/readyz`), calls the wiring with a [`Service`], and then waits:
//! for a signal, or for the first of the tasks that the wiring spawned to end. Either way everything is told to stop and
//! gets until `shutdown.deadline`; the exit code says how it went.
//!
//! A worker gives its sinks to [`Service::consume`] or [`Service::consume_views`]; [`Groups`] lists the groups of all workers;
//! [`purge`] removes tombstones, for workers and for the command.
//!
//! Nothing outside this crate reads the environment.

mod admin;
mod cli;
mod consume;
mod following;
pub mod groups;
mod health;
mod log_line;
mod process;
pub mod purge;
pub mod settings;
mod signals;
mod tasks;
mod telemetry;

pub use admin::show_metrics;
pub use cli::SettingsFile;
pub use groups::Groups;
pub use health::Health;
pub use process::{Misconfigured, Service, exit_code, main};
pub use settings::Settings;

/// Of every process of the fleet.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
