//! A moment on the command line: `2026-11-21T13:15:00Z`, or how long ago: `2h`, `30m`, `1d 12h`.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// Reads one, as seen from now.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    read(text, Timestamp::now())
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong =
        || format!("{text:?} is neither a moment such as 2026-11-21T13:15:00Z nor a time ago such as 2h");
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago: Span = text.parse().map_err(|_| wrong())?;
    let ago: SignedDuration = ago.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if ago.is_negative() {
        return Err(wrong());
    }
    now.checked_sub(ago).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_absolute_or_ago() {
        let now: Timestamp = "2026-11-21T13:15:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z"),
            ("2026-11-20T02:00:00+02:00", "2026-11-20T00:00:00Z"),
            ("15m", "2026-11-21T13:00:00Z"),
            ("1d 1h", "2026-11-20T12:15:00Z"),
        ] {
            assert_eq!(read(text, now).unwrap(), expected.parse().unwrap(), "{text}");
        }
        for wrong in ["", "yesterday", "12", "-2h", "2h ago or so", "2026-11-20"] {
            assert!(read(wrong, now).is_err(), "{wrong}");
        }
    }
}
