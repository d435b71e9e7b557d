//! Tests on the real servers. One binary, so that one start of the servers serves all of them.

mod local;
mod sync;
mod sync_rds;
mod sync_search;
mod views;
