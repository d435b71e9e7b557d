//! Tests on the real servers. One binary, so that one start of the servers serves all of them.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on stops there"
)]

mod api;
mod artefacts;
mod child_tables;
mod compose;
mod dead_letters;
mod engine;
mod faults;
mod fleet;
mod following;
mod generations;
mod lag;
mod layers;
mod licences;
mod local;
mod online_retail;
mod projector;
mod purge;
mod rebuild;
mod replay;
mod republish;
mod service;
mod stack;
mod store;
mod swaps;
mod sync;
mod sync_groups;
mod sync_rds;
mod sync_search;
mod tls;
mod up;
mod verify;
mod view_keys;
mod views;
