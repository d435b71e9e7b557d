//! Views in Postgres: a physical table a generation, a public SQL view over the live one.

pub mod ddl;
pub mod quote;
mod registry;
mod row;
mod settings;

pub use registry::Registry;
pub use row::{Row, RowMapper};
pub use settings::Settings;
