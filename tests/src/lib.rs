//! Tests of the whole fleet on the real servers
