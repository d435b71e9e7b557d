//! A point in a topic, on the command line.

use std::str::FromStr;

use jiff::Timestamp;

use crate::moment::moment;

/// Where in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// The first record there is.
    Beginning,
    /// This offset.
    Offset(i64),
    /// The first record written at this moment or after.
    Time(Timestamp),
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        if text == "beginning" {
            return Ok(Point::Beginning);
        }
        match text.parse::<i64>() {
            Ok(offset) if offset >= 0 => Ok(Point::Offset(offset)),
            Ok(_) => Err("an offset is 0 or more".to_owned()),
            Err(_) => moment(text)
                .map(Point::Time)
                .map_err(|error| format!("{error}, nor an offset, nor `beginning`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_beginning_an_offset_or_a_moment() {
        assert_eq!("beginning".parse(), Ok(Point::Beginning));
        assert_eq!("17".parse(), Ok(Point::Offset(17)));
        let moment = "2026-11-21T13:15:00Z";
        assert_eq!(moment.parse(), Ok(Point::Time(moment.parse().unwrap())));
        for wrong in ["-1", "end", "", "1.5"] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
    }
}
