//! What ties a write to everything it causes.

use uuid::Uuid;

use crate::text::checked_text;

fn check_correlation_id(text: &str) -> Result<(), &'static str> {
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if valid { Ok(()) } else { Err("a correlation id is 1 to 128 visible ASCII characters") }
}

fn check_traceparent(text: &str) -> Result<(), &'static str> {
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let not_zero = |part: &str| part.bytes().any(|b| b != b'0');
    let valid = match text.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, span, flags] => {
            (trace.len(), span.len(), flags.len()) == (32, 16, 2)
                && [trace, span, flags].iter().all(|part| part.bytes().all(hex))
                && not_zero(trace)
                && not_zero(span)
        }
        _ => false,
    };
    if valid {
        Ok(())
    } else {
        Err("a traceparent is 00-<32 hex>-<16 hex>-<2 hex>, as W3C Trace Context says")
    }
}

checked_text! {
    /// Follows a request through events, headers, logs, dead letters and caused commands: 1 to 128 visible ASCII
    /// characters.
    CorrelationId, &'static str, check_correlation_id
}

impl From<Uuid> for CorrelationId {
    fn from(uuid: Uuid) -> CorrelationId {
        CorrelationId(uuid.to_string())
    }
}

checked_text! {
    /// A W3C `traceparent`: `00-{32 hex}-{16 hex}-{2 hex}`.
    Traceparent, &'static str, check_traceparent
}
