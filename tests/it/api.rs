//! command-api over its HTTP interface, on the real servers.

mod app;
mod bad_input;
mod events;
mod following;
mod ids;
mod isolation;
mod lists;
mod locking;
mod outages;
mod publishing;
mod reads;
mod record_limit;
mod searches;
mod sessions;
mod stage;
mod tenants;
mod tokens;
mod views;
mod waits;
mod writes;
