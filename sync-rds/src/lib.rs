//! The worker that keeps Postgres tables
