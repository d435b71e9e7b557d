//! Tests on the real servers. One binary, so that one start of the servers serves all of them.

#![expect(
    clippy::expect_used,
mod api;
mod artefacts;
mod engine;
mod faults;
mod fleet;
mod layers;
mod local;
mod online_retail;
mod projector;
mod service;
mod stack;
mod sync;
mod sync_groups;
mod sync_rds;
mod sync_search;
mod verify;
mod views;
