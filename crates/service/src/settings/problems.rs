//! What is wrong with settings, all of it at once, in the words of whoever gave them.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The setting, such as `engine.window`; the file, when it cannot be read at all.
    pub key: String,
    /// Where the value came from: a file, an environment variable, or `default`.
    pub origin: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// At least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {}): {}", self.key, self.origin, self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not valid:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Problems {
    /// `Ok` when nothing is wrong.
    pub(super) fn unless_empty(mut problems: Vec<Problem>) -> Result<(), Problems> {
        problems.sort();
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }
}
