//! One route a file: its request, its handler, its part of the OpenAPI document.

mod change;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod problems;
pub(crate) mod search;
pub(crate) mod update;
pub(crate) mod view;
pub(crate) mod writes;
