//! What must hold of settings beyond their types.

use std::path::Path;

use aqueduct_views::tombstones::LEAST_AGE;
use axum::http::Uri;
use tracing_subscriber::EnvFilter;

use super::Settings;

const PREFIX: &str = "must be 1 to 40 lower-case letters, digits and '-', and begin with a letter or a digit";

/// Of every process, not of command-api alone: one file serves them all, and `check-config` of any of them speaks for it.
const EXPOSED: &str = "can be reached from other machines, and command-api has no authentication: anyone could read and write \
                       every tenant. Listen on 127.0.0.1 or [::1], and let a proxy on the same host authenticate clients";

/// Keys and what is wrong with their values.
pub(super) fn problems(settings: &Settings) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, key: &str, message: &str| {
        if !holds {
            problems.push((key.to_owned(), message.to_owned()));
        }
    };
    let above_zero = "must be more than 0";
    must(is_prefix(&settings.prefix), "prefix", PREFIX);
    must(
        settings.kafka.names_brokers(),
        "kafka.brokers",
        "must be host:port,host:port, without a scheme or a user",
    );
    let dynamodb = &settings.dynamodb;
    must(
        dynamodb.endpoint.is_empty() || is_endpoint(&dynamodb.endpoint),
        "dynamodb.endpoint",
        "must be http:// or https://, a host and a port, such as http://127.0.0.1:8000, or empty for AWS",
    );
    must(!dynamodb.region.is_empty(), "dynamodb.region", "must name a region");
    let publisher = &settings.publisher;
    must(!publisher.takeover_after.is_zero(), "publisher.takeover_after", above_zero);
    must(!publisher.sweep_interval.is_zero(), "publisher.sweep_interval", above_zero);
    must(publisher.in_flight > 0, "publisher.in_flight", above_zero);
    must(publisher.queue_bytes > 0, "publisher.queue_bytes", above_zero);
    must(
        publisher.drain_timeout < settings.shutdown.deadline,
        "publisher.drain_timeout",
        "must be less than shutdown.deadline",
    );
    let postgres = &settings.postgres;
    must(postgres.max_connections > 0, "postgres.max_connections", above_zero);
    must(!postgres.connect_timeout.is_zero(), "postgres.connect_timeout", above_zero);
    must(!postgres.statement_timeout.is_zero(), "postgres.statement_timeout", above_zero);
    let opensearch = &settings.opensearch;
    must(!opensearch.region.is_empty(), "opensearch.region", "must name a region");
    must(
        opensearch.index_prefix.is_empty() || is_prefix(&opensearch.index_prefix),
        "opensearch.index_prefix",
        PREFIX,
    );
    must(opensearch.shards > 0, "opensearch.shards", above_zero);
    must(!opensearch.request_timeout.is_zero(), "opensearch.request_timeout", above_zero);
    must(opensearch.bulk_bytes.as_u64() > 0, "opensearch.bulk_bytes", above_zero);
    let views = &settings.views;
    must(!views.poll_interval.is_zero(), "views.poll_interval", above_zero);
    must(
        views.purge_tombstones_after.is_none_or(|after| after >= LEAST_AGE),
        "views.purge_tombstones_after",
        "must be `never` or at least 1 day: a younger event may come again from a producer, or from a worker that was frozen",
    );
    must(!views.purge_interval.is_zero(), "views.purge_interval", above_zero);
    must((1..=1000).contains(&settings.verify.items), "verify.items", "must be from 1 to 1000");
    let engine = &settings.engine;
    must(engine.batch_records > 0, "engine.batch_records", above_zero);
    must(engine.batch_bytes > 0, "engine.batch_bytes", above_zero);
    must(engine.lanes.projector > 0, "engine.lanes.projector", above_zero);
    must(engine.lanes.sync_rds > 0, "engine.lanes.sync_rds", above_zero);
    must(engine.lanes.sync_search > 0, "engine.lanes.sync_search", above_zero);
    must(engine.window > 0, "engine.window", above_zero);
    must(engine.window_bytes > 0, "engine.window_bytes", above_zero);
    must(!engine.commit_interval.is_zero(), "engine.commit_interval", above_zero);
    must(!engine.lag_interval.is_zero(), "engine.lag_interval", above_zero);
    must(!engine.retry_backoff_min.is_zero(), "engine.retry_backoff_min", above_zero);
    must(
        engine.retry_backoff_min <= engine.retry_backoff_max,
        "engine.retry_backoff_min",
        "must not be more than engine.retry_backoff_max",
    );
    must(engine.unknown_attempts > 0, "engine.unknown_attempts", above_zero);
    must(!engine.stall_timeout.is_zero(), "engine.stall_timeout", above_zero);
    must(
        engine.drain_timeout < settings.shutdown.deadline,
        "engine.drain_timeout",
        "must be less than shutdown.deadline",
    );
    must(settings.api.listen.ip().is_loopback(), "api.listen", EXPOSED);
    must(settings.api.body_limit.as_u64() > 0, "api.body_limit", above_zero);
    must(!settings.api.query_timeout.is_zero(), "api.query_timeout", above_zero);
    must(!settings.api.lag_interval.is_zero(), "api.lag_interval", above_zero);
    must(!settings.shutdown.deadline.is_zero(), "shutdown.deadline", above_zero);
    for (key, url, checked) in [
        ("postgres.url", &postgres.url, postgres.check_url()),
        ("opensearch.url", &opensearch.url, opensearch.check_url()),
    ] {
        let whole = if is_cut_short(url) { Err(CUT_SHORT.to_owned()) } else { Ok(()) };
        problems.extend(checked.and(whole).err().map(|message| (key.to_owned(), message)));
    }
    if let Err(error) = EnvFilter::builder().parse(&settings.log.level) {
        problems.push(("log.level".to_owned(), format!("must be a level or filter directives: {error}")));
    }
    for (property, message) in settings.kafka.refused_properties() {
        problems.push((format!("kafka.properties.{property}"), message));
    }
    problems
}

/// The same for what a process of the fleet needs on its own machine. Tools that only talk to servers do without.
pub(super) fn problems_here(settings: &Settings) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut must = |holds: bool, key: &str, path: &Path, what: &str| {
        if !holds {
            problems.push((key.to_owned(), format!("{} is not {what}", path.display())));
        }
    };
    let dir = &settings.model.dir;
    must(dir.is_dir(), "model.dir", dir, "a folder");
    let ca_file = &settings.opensearch.ca_file;
    must(ca_file.as_os_str().is_empty() || ca_file.is_file(), "opensearch.ca_file", ca_file, "a file");
    if let Some(file) = settings.postgres.root_certificates() {
        // The driver would say that there is no such file, and not which.
        must(file.is_file(), "postgres.url", &file, "a file, which `sslrootcert` has to be");
    }
    problems
}

/// What topics, tables, indexes and consumer groups can all begin with.
fn is_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Read as the AWS SDK reads it, which would find fault with it only at the first request.
fn is_endpoint(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        let host = uri.host().unwrap_or_default();
        let written = uri.port_u16().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        matches!(uri.scheme_str(), Some("http" | "https"))
            && !host.is_empty()
            && uri.authority().is_some_and(|authority| *authority == written.as_str())
    })
}

const CUT_SHORT: &str = "has an @ behind the host: write a / of the user or the password as %2F, an @ as %40";

/// Whether an `@` stands behind the first `/`, which then ended the host in the middle of a password. Such a URL is
/// valid, and leads to a server that nobody meant.
fn is_cut_short(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let place = place.split_once('?').map_or(place, |(place, _)| place);
    place.split_once('/').is_some_and(|(_, path)| path.contains('@'))
}
