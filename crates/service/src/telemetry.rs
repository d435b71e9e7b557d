//! Logs go to standard output, which a server has no other use for: one JSON object a line, or text for eyes.
//!
//! Beside an event's own fields stand those of the spans around it, so that a line inside a request or a batch carries
//! its `correlation_id` without anybody passing it on.

use json_subscriber::JsonLayer;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Log, LogFormat};

/// Starts the logs of this process; once a process.
pub(crate) fn init(service: &'static str, log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(&log.level)?;
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Json => registry.with(json(service, JsonLayer::stdout())).try_init()?,
        LogFormat::Text => registry.with(tracing_subscriber::fmt::layer()).try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(location, %backtrace, "panicked: {message}");
    }));
    Ok(())
}

fn json<S, W>(service: &'static str, mut layer: JsonLayer<S, W>) -> JsonLayer<S, W>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    layer.with_timer("timestamp", SystemTime);
    layer.with_level("level");
    layer.add_static_field("service", service.into());
    layer.add_static_field("version", env!("CARGO_PKG_VERSION").into());
    layer.with_target("target");
    layer.with_flattened_event();
    layer.with_top_level_flattened_span_list();
    layer
}
