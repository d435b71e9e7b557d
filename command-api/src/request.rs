//! What a request says, read strictly: every part that is not understood is refused by name, none is passed over.

pub(crate) mod body;
pub(crate) mod context;
pub(crate) mod cursor;
pub(crate) mod freshness;
pub(crate) mod json;
pub(crate) mod path;
pub(crate) mod precondition;
pub(crate) mod query;
pub(crate) mod search;
pub(crate) mod selection;
