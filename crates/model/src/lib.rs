//! Model files: what the types of a fleet are, said in YAML instead of Rust.
//!
//! A model is a folder of files, one a type. [`Model::load`] turns it into [`Type`]s once, at start: the [`Schema`] that
//! a write must meet, the [`Sequence`] that names new items, the [`View`]s that read models hold. Everything that can
//! be wrong is found then, and every mistake is reported, not only the first: what loads does not fail later for a
//! misspelt name.
//!
//! ```text
//! folder ─▶ document (YAML with positions) ─▶ type_file (known keys) ─┬▶ schema      write side: accept, fill defaults
//!                                                                      ├▶ sequence    write side: ids
//!                                                                      └▶ view        read side: columns, documents
//!                                                                           └▶ expression over Scope::of(item)
//! ```
//!
//! Pure but for reading the folder: no clock, no randomness, no network.

mod document;
mod expression;
mod language;
mod large_stack;
mod model;
mod problem;
mod schema;
mod sequence;
mod spelling;
mod type_file;
mod view;

pub use expression::{Element, Expression, ExpressionError, Paths, Scope};
pub use language::SCHEMA;
pub use model::{Model, Type};
pub use problem::{Problem, Problems};
pub use schema::{Schema, Violation};
pub use sequence::{Sequence, SequenceError};
pub use view::{
    ChildTable, Column, ColumnType, ColumnTypeError, PostgresView, Routing, SearchView, TextSearch, View,
};
