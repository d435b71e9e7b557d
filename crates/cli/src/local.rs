//! The local stack: the four real servers and the fleet, on loopback, under one supervisor.
//!
//! ```text
//! pins in deploy/local ──▶ artefacts (fetched by Maven and pip, checked, cached) ──▶ servers ──▶ setup ──▶ fleet
//!                                                   java ───────────────────────────────┘
//! ```
//!
//! Tests use [`servers`] alone; `aqueduct local up` uses all of it.

pub mod artefacts;
pub mod down;
pub mod fleet;
pub mod folder;
pub mod host;
pub mod java;
pub mod logs;
pub mod metrics;
pub mod ports;
pub mod process;
pub mod servers;
pub mod settings;
pub mod shop;
pub mod stack;
pub mod status;
pub mod up;
