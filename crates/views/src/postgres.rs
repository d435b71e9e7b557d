//! Views in Postgres: a physical table a generation, a public SQL view over the live one.

pub mod ddl;
mod loads;
pub mod quote;
mod reader;
mod registry;
mod row;
pub mod select;
mod settings;

pub use loads::Loads;
pub use reader::Reader;
pub use registry::Registry;
pub use row::{Row, RowMapper, Values};
pub use settings::Settings;
