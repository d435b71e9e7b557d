//! How many a second, on the command line.

use std::str::FromStr;
use std::time::Duration;

/// `20/s` or `20`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    /// The time between two.
    pub(crate) fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let number = text.strip_suffix("/s").unwrap_or(text).parse::<f64>();
        match number {
            Ok(rate) if (0.001..=1_000_000.0).contains(&rate) => Ok(Rate(rate)),
            _ => Err(format!("{text:?} is not a rate such as 20/s")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number_a_second() {
        assert_eq!("20/s".parse::<Rate>().unwrap().period(), Duration::from_millis(50));
        assert_eq!("0.5".parse::<Rate>().unwrap().period(), Duration::from_secs(2));
        for wrong in ["", "0", "-1/s", "NaN", "inf", "20/m"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
