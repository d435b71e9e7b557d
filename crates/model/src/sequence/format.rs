//! The text of an id with its placeholders.

use std::fmt::Write;

use jiff::Timestamp;

use super::Rotation;
use crate::problem::Mistake;
use crate::spelling::nearest;

/// As many digits as a number of 64 bits has.
const WIDTH_LIMIT: usize = 20;

const PLACEHOLDERS: [&str; 5] = ["no", "year", "month", "day", "date"];

/// A format, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Zero-padded to this width.
    Number(usize),
    Year,
    Month,
    Day,
    Date,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Format, Mistake> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
            parts.push(literal(before)?);
            parts.push(placeholder(inside)?);
            rest = after;
        }
        parts.push(literal(rest)?);
        match parts.iter().filter(|part| matches!(part, Part::Number(_))).count() {
            1 => Ok(Format(parts)),
            0 => Err("it has no {no}, so all ids would be the same".into()),
            _ => Err("it has {no} more than once".into()),
        }
    }

    /// What an id must say, too, when the counter begins again so often; `None` when it says it.
    pub(super) fn repeats_under(&self, rotate: Rotation) -> Option<&'static str> {
        let has = |part: Part| self.0.contains(&part) || self.0.contains(&Part::Date);
        let (year, month, day) = (has(Part::Year), has(Part::Month), has(Part::Day));
        match rotate {
            Rotation::Daily if !(year && month && day) => Some("{date}, or {year}, {month} and {day}"),
            Rotation::Monthly if !(year && month) => Some("{year} and {month}"),
            Rotation::Yearly if !year => Some("{year}"),
            _ => None,
        }
    }

    pub(super) fn write(&self, number: u64, now: Timestamp) -> String {
        let mut id = String::new();
        for part in &self.0 {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Text(text) => write!(id, "{text}"),
                Part::Number(width) => write!(id, "{number:0width$}"),
                Part::Year => write!(id, "{}", now.strftime("%Y")),
                Part::Month => write!(id, "{}", now.strftime("%m")),
                Part::Day => write!(id, "{}", now.strftime("%d")),
                Part::Date => write!(id, "{}", now.strftime("%Y%m%d")),
            };
        }
        id
    }
}

fn literal(text: &str) -> Result<Part, Mistake> {
    if text.contains('}') { Err("a `}` has no `{`".into()) } else { Ok(Part::Text(text.to_owned())) }
}

fn placeholder(inside: &str) -> Result<Part, Mistake> {
    match inside {
        "no" => return Ok(Part::Number(1)),
        "year" => return Ok(Part::Year),
        "month" => return Ok(Part::Month),
        "day" => return Ok(Part::Day),
        "date" => return Ok(Part::Date),
        _ => {}
    }
    let name = inside.split(':').next().unwrap_or_default();
    let Some(width) = inside.strip_prefix("no:") else {
        let known = PLACEHOLDERS.contains(&name);
        let message = if known { "only {no} has a width" } else { "unknown placeholder" };
        let suggestion = nearest(name, PLACEHOLDERS).map(|placeholder| format!("{{{placeholder}}}"));
        return Err(Mistake { message: format!("{message}: {{{inside}}}"), suggestion });
    };
    let digits = width.strip_prefix('0').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(width) if (1..=WIDTH_LIMIT).contains(&width) => Ok(Part::Number(width)),
        _ => Err(Mistake {
            message: format!("{{{inside}}}: a width is 01 to 0{WIDTH_LIMIT}"),
            suggestion: Some("{no:06}".to_owned()),
        }),
    }
}
