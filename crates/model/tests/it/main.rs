//! What a model author meets: the example, the messages, the reference, hostile files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod folders;
mod messages;
mod reference;
mod shop;
