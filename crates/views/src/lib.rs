//! View definitions, their registry, and the rows and documents that items map to
