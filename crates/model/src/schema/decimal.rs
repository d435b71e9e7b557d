//! Exact decimals: JSON strings such as `"12.50"`, which no binary float ever touches.
//!
//! `minimum` and its kin compare JSON numbers and pass over strings, so a decimal's limits have keywords of their own,
//! named as in ajv-formats: `formatMinimum`, `formatMaximum`, `formatExclusiveMinimum`, `formatExclusiveMaximum`.

use std::cmp::Ordering;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError, ValidationOptions};
use serde_json::{Map, Value};

/// As many digits as any store of ours keeps exactly; more is a mistake.
const LENGTH_LIMIT: usize = 100;

/// Whether text is a decimal: an optional `-`, digits, and optionally a point with digits after it. No exponent, no
/// `+`, no leading zeros, so that a number has few spellings.
pub(crate) fn is_decimal(text: &str) -> bool {
    Decimal::parse(text).is_some()
}

struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Decimal<'a>> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let valid = text.len() <= LENGTH_LIMIT
            && digits(whole)
            && digits(fraction)
            && (whole.len() == 1 || !whole.starts_with('0'));
        valid.then(|| Decimal {
            negative: text.starts_with('-'),
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
        })
    }

    fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let negative = |decimal: &Decimal<'_>| decimal.negative && !decimal.is_zero();
        let magnitude = self
            .whole
            .len()
            .cmp(&other.whole.len())
            .then_with(|| self.whole.cmp(other.whole))
            .then_with(|| self.fraction.cmp(other.fraction));
        match (negative(self), negative(other)) {
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// A limit of a decimal. What is not a decimal is passed over: `format` reports it.
struct Limit {
    limit: String,
    allowed: fn(Ordering) -> bool,
    words: &'static str,
}

impl Keyword<'_> for Limit {
    fn validate<'i>(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            Ok(())
        } else {
            Err(ValidationError::custom(format!("must be {} {}", self.words, self.limit)))
        }
    }

    fn is_valid(&self, instance: &Value) -> bool {
        match (instance.as_str().and_then(Decimal::parse), Decimal::parse(&self.limit)) {
            (Some(value), Some(limit)) => (self.allowed)(value.compare(&limit)),
            _ => true,
        }
    }
}

/// Adds the format `decimal` and its limits.
pub(crate) fn register(options: ValidationOptions<'static>) -> ValidationOptions<'static> {
    options
        .with_format("decimal", is_decimal)
        .with_keyword("formatMinimum", limit(Ordering::is_ge, "at least"))
        .with_keyword("formatMaximum", limit(Ordering::is_le, "at most"))
        .with_keyword("formatExclusiveMinimum", limit(Ordering::is_gt, "greater than"))
        .with_keyword("formatExclusiveMaximum", limit(Ordering::is_lt, "less than"))
}

type Built<'a> = Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>>;

fn limit(
    allowed: fn(Ordering) -> bool,
    words: &'static str,
) -> impl for<'a> Fn(&'a Map<String, Value>, &'a Value, Location) -> Built<'a> + Send + Sync + 'static {
    move |_, value, _| match value.as_str().filter(|text| is_decimal(text)) {
        Some(limit) => Ok(Box::new(Limit { limit: limit.to_owned(), allowed, words })),
        None => Err(ValidationError::schema("the limit must be a decimal in quotes, such as \"0.01\"")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{Decimal, is_decimal};

    #[test]
    fn one_spelling_of_digits_is_a_decimal() {
        for good in ["0", "-0", "1", "12.50", "-3.0", "0.001", "98765432109876543210.12"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", ".5", "5.", "+1", "01", "-00.1", "1e3", "1,5", " 1", "1.2.3", "٣", "NaN", "0x1"]
        {
            assert!(!is_decimal(bad), "{bad}");
        }
        assert!(!is_decimal(&"9".repeat(101)));
    }

    fn spell(scaled: i64, places: u32) -> String {
        let base = 10_i64.pow(places);
        let sign = if scaled < 0 { "-" } else { "" };
        let (whole, fraction) = (scaled.abs() / base, scaled.abs() % base);
        if places == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{fraction:0width$}", width = places as usize)
        }
    }

    proptest! {
        #[test]
        fn comparison_is_that_of_the_numbers(
            a in -100_000_i64..100_000, b in -100_000_i64..100_000, p in 0_u32..4, q in 0_u32..4,
        ) {
            let (left, right) = (spell(a, p), spell(b, q));
            let exact = (a * 10_i64.pow(4 - p)).cmp(&(b * 10_i64.pow(4 - q)));
            let compared = Decimal::parse(&left).unwrap().compare(&Decimal::parse(&right).unwrap());
            prop_assert_eq!(compared, exact, "{} {}", left, right);
        }
    }
}
