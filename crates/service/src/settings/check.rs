//! What must hold of settings beyond their types.

use tracing_subscriber::EnvFilter;

use super::Settings;

/// Keys and what is wrong with their values.
pub(super) fn problems(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, key, message: &str| {
        if !holds {
            problems.push((key, message.to_owned()));
        }
    };
    must(
        is_prefix(&settings.prefix),
        "prefix",
        "must be 1 to 40 lower-case letters, digits and '-', and begin with a letter or a digit",
    );
    must(settings.api.body_limit.as_u64() > 0, "api.body_limit", "must be more than 0");
    must(!settings.shutdown.deadline.is_zero(), "shutdown.deadline", "must be more than 0");
    if let Err(error) = EnvFilter::builder().parse(&settings.log.level) {
        problems.push(("log.level", format!("must be a level or filter directives: {error}")));
    }
    problems
}

/// The same for what a process of the fleet needs on its own machine. Tools that only talk to servers do without.
pub(super) fn problems_here(settings: &Settings) -> Vec<(&'static str, String)> {
    let dir = &settings.model.dir;
    if dir.is_dir() { Vec::new() } else { vec![("model.dir", format!("{} is not a folder", dir.display()))] }
}

/// What topics, tables, indexes and consumer groups can all begin with.
fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}
