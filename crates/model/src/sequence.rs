//! Ids of new items from a counter: `ORD-{no:06}` makes `ORD-000017`.
//!
//! The counter lives in the store, one for a tenant, a type and a rotation; here is only which one and what its numbers
//! become. Dates are UTC, so that a rotation is the same moment for every process.

mod format;

use aqueduct_contract::ItemId;
use jiff::Timestamp;

use crate::document::Node;
use crate::problem::Report;
use format::Format;

/// How often the counter begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    Never,
    Daily,
    Monthly,
    Yearly,
}

/// Makes ids from the numbers of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    format: Format,
    rotate: Rotation,
    start: u64,
}

/// A draw that makes no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// Counts are from 1.
    #[error("0 is not a count: the first draw of a counter is 1")]
    Zero,
    /// The counter went beyond 64 bits.
    #[error("the sequence has no more numbers")]
    Exhausted,
    /// The id is longer than a key can hold.
    #[error(transparent)]
    Id(#[from] aqueduct_contract::NameError),
}

impl Sequence {
    /// Reads the `sequence` of a model file whose form has been checked.
    pub(crate) fn read(node: &Node, report: &mut Report) -> Option<Sequence> {
        let rotate = match node.get("rotate").and_then(Node::text).unwrap_or("never") {
            "daily" => Rotation::Daily,
            "monthly" => Rotation::Monthly,
            "yearly" => Rotation::Yearly,
            _ => Rotation::Never,
        };
        let start = node.get("start").and_then(Node::whole).unwrap_or(1);
        let text = node.get("format")?;
        let format = match Format::parse(text.text()?) {
            Ok(format) => format,
            Err(mistake) => {
                report.suggest(text.place, format!("`format`: {}", mistake.message), mistake.suggestion);
                return None;
            }
        };
        if let Some(missing) = format.repeats_under(rotate) {
            let message = format!("`format`: the counter begins again, so ids repeat without {missing}");
            report.add(text.place, message);
        }
        let sequence = Sequence { format, rotate, start };
        if let Err(error) = sequence.format(1, Timestamp::UNIX_EPOCH) {
            report.add(text.place, format!("`format`: {error}"));
        }
        Some(sequence)
    }

    /// Which counter to draw from at `now`: the last part of its sort key. `all` where it never begins again, otherwise
    /// the day, month or year.
    #[must_use]
    pub fn counter(&self, now: Timestamp) -> String {
        match self.rotate {
            Rotation::Never => "all".to_owned(),
            Rotation::Daily => now.strftime("%Y-%m-%d").to_string(),
            Rotation::Monthly => now.strftime("%Y-%m").to_string(),
            Rotation::Yearly => now.strftime("%Y").to_string(),
        }
    }

    /// The id for the `count`-th draw, from 1, of the counter of `now`.
    pub fn format(&self, count: u64, now: Timestamp) -> Result<ItemId, SequenceError> {
        let before = count.checked_sub(1).ok_or(SequenceError::Zero)?;
        let number = self.start.checked_add(before).ok_or(SequenceError::Exhausted)?;
        Ok(self.format.write(number, now).parse()?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::{prop_assert, proptest};

    use super::{Sequence, SequenceError};
    use crate::document::parse;
    use crate::problem::Report;

    fn read(text: &str) -> (Option<Sequence>, Vec<String>) {
        let mut report = Report::new("t.yaml");
        let sequence = Sequence::read(&parse(text.as_bytes()).unwrap(), &mut report);
        (sequence, report.into_problems().iter().map(ToString::to_string).collect())
    }

    fn sequence(text: &str) -> Sequence {
        let (sequence, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        sequence.unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_padded_and_start_where_the_model_says() {
        let now = at("2026-11-21T13:15:00Z");
        assert_eq!(sequence("format: 'ORD-{no:06}'").format(17, now).unwrap().as_str(), "ORD-000017");
        assert_eq!(sequence("{format: 'A{no}', start: 1000}").format(1, now).unwrap().as_str(), "A1000");
        assert_eq!(sequence("format: '{no:02}'").format(12345, now).unwrap().as_str(), "12345");
        let dated = sequence("{format: '{year}/{month}/{day} {date}.{no}', rotate: daily}");
        assert_eq!(dated.format(3, now).unwrap().as_str(), "2026/11/21 20261121.3");
    }

    #[test]
    fn a_rotation_has_a_counter_of_its_own_by_utc() {
        let late = at("2026-12-31T23:30:00-05:00");
        for (rotate, counter) in
            [("never", "all"), ("daily", "2027-01-01"), ("monthly", "2027-01"), ("yearly", "2027")]
        {
            let text = format!("{{format: '{{date}}-{{no}}', rotate: {rotate}}}");
            assert_eq!(sequence(&text).counter(late), counter);
        }
    }

    #[test]
    fn a_count_that_makes_no_id_is_an_error() {
        let last = sequence("{format: '{no}', start: 9007199254740991}");
        assert_eq!(last.format(0, at("2026-01-01T00:00:00Z")), Err(SequenceError::Zero));
        assert_eq!(last.format(u64::MAX, at("2026-01-01T00:00:00Z")), Err(SequenceError::Exhausted));
    }

    #[test]
    fn formats_that_cannot_work_are_load_errors() {
        let bad = [
            "format: 'ORD'",
            "format: '{no}{no}'",
            "format: '{nr}'",
            "format: '{no:6}'",
            "format: '{no:099}'",
            "format: '{year:04}-{no}'",
            "format: '{no'",
            "format: 'no}-{no}'",
            "{format: 'A-{no}', rotate: monthly}",
            "{format: '{month}-{no}', rotate: monthly}",
            "format: \"{no}\\n\"",
        ];
        let problems: Vec<String> = bad.iter().flat_map(|text| read(text).1).collect();
        assert_eq!(problems.len(), bad.len());
        insta::assert_snapshot!(problems.join("\n"));
    }

    proptest! {
        #[test]
        fn different_counts_make_different_ids(a in 1_u64..1 << 40, b in 1_u64..1 << 40) {
            let (sequence, now) = (sequence("format: 'ORD-{no:06}'"), Timestamp::UNIX_EPOCH);
            prop_assert!((a == b) == (sequence.format(a, now) == sequence.format(b, now)));
        }
    }
}
