//! Logs go to standard output, which a server has no other use for: one JSON object a line, or text for eyes.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::log_line::LogLine;
use crate::settings::{Log, LogFormat};

/// Starts the logs of this process; once a process.
pub(crate) fn init(service: &'static str, log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer();
    match log.format {
        LogFormat::Json => {
            registry
                .with(lines.fmt_fields(JsonFields::new()).event_format(LogLine { service }))
                .try_init()?;
        }
        LogFormat::Text => registry.with(lines).try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(location, %backtrace, "panicked: {message}");
    }));
    Ok(())
}
