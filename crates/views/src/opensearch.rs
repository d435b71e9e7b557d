//! Views in OpenSearch: a physical index a generation, aliases for writing and for reading.

mod aws;
mod document;
mod loads;
pub mod mappings;
mod names;
mod reader;
mod registry;
mod request;
mod settings;

pub use document::{Document, document, document_id};
pub use loads::Loads;
pub use names::IndexNames;
pub use reader::Reader;
pub use registry::Registry;
pub use settings::{Auth, Gzip, Settings};
