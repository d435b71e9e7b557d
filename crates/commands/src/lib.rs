//! Decide, put, publish: what the command API and reactions both do
