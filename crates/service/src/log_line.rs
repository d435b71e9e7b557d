//! One JSON object a line, flat.
//!
//! Beside an event's own fields stand those of the spans around it, so that a line inside a request or a batch carries its
//! `correlation_id` without anybody passing it on. Of two fields with one name the inner one counts; `timestamp`, `level`,
//! `target`, `service` and `version` (of the program) always mean the same. Subscribers that nest spans, or write a name
//! twice, make lines that log stores cannot filter by field.

use std::fmt::{Debug, Error, Result};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Formats the events of one process.
pub(crate) struct LogLine {
    pub(crate) service: &'static str,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for LogLine {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let mut fields = Fields(Map::new());
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(of_span))) = formatted.map(|json| serde_json::from_str(json)) {
                fields.0.extend(of_span);
            }
        }
        event.record(&mut fields);

        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), format!("{:.6}", Timestamp::now()).into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("service".to_owned(), self.service.into());
        line.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        line.insert("target".to_owned(), metadata.target().into());
        for (name, value) in fields.0 {
            line.entry(name).or_insert(value);
        }
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| Error)?)
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_json_and_carries_the_fields_of_its_spans() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let layer = layer.fmt_fields(JsonFields::new()).event_format(LogLine { service: "test" });
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let _request = tracing::info_span!("request", correlation_id = "c-1", command = "none").entered();
            let _command = tracing::info_span!("command", command = tracing::field::Empty).entered();
            tracing::Span::current().record("command", "create");
            tracing::warn!(attempts = 2, version = 7, error = %"a \"quoted\"\nerror", "not stored");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).unwrap();
        assert!(line.as_object_mut().unwrap().remove("timestamp").is_some());
        let expected = serde_json::json!({
            "level": "WARN",
            "service": "test",
            "version": env!("CARGO_PKG_VERSION"),
            "target": "aqueduct_service::log_line::tests",
            "message": "not stored",
            "attempts": 2,
            "error": "a \"quoted\"\nerror",
            "correlation_id": "c-1",
            "command": "create",
        });
        assert_eq!(line, expected);
    }
}
