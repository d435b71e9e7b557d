//! Mistakes in model files, each with its place and, where one is near, the name that was probably meant.

use std::fmt;

use crate::document::Place;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Problem {
    /// The file, as it was found; the folder itself when no file is to blame.
    pub file: String,
    /// Line from 1; 0 when the whole file or folder is meant.
    pub line: u32,
    /// Column from 1, in characters; 0 when the whole file or folder is meant.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, without quotes.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    /// ``shop/order.yaml:12:5: unknown key `colums`; did you mean `columns`?``
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// Every mistake of a model, ordered by file and place; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One line a mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// What is wrong with one text in a model file, whose place the caller knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) suggestion: Option<String>,
}

impl<T: Into<String>> From<T> for Mistake {
    fn from(message: T) -> Mistake {
        Mistake { message: message.into(), suggestion: None }
    }
}

/// Collects the mistakes of one file.
pub(crate) struct Report {
    file: String,
    problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn new(file: impl Into<String>) -> Report {
        Report { file: file.into(), problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.suggest(place, message, None);
    }

    pub(crate) fn suggest(&mut self, place: Place, message: impl Into<String>, suggestion: Option<String>) {
        self.problems.push(Problem {
            file: self.file.clone(),
            line: place.line,
            column: place.column,
            message: message.into(),
            suggestion,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}
