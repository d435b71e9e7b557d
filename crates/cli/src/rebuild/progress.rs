//! How far a rebuild has come: a bar on a terminal, lines where there is none, metrics for those who ask.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use prometheus::{Counter, CounterVec, Gauge, GaugeVec, Opts, Registry};

use super::pace::Pace;
use super::plan::{Done, Plan, Source};
use super::unit::Counts;

/// Between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// What a rebuild shows on `/metrics`, by the generation that it builds.
#[derive(Clone)]
pub(super) struct Metrics {
    events: GaugeVec,
    done: GaugeVec,
    read: CounterVec,
    left: GaugeVec,
    written: GaugeVec,
    letters: GaugeVec,
    behind: GaugeVec,
    lag: GaugeVec,
    share: GaugeVec,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Result<Metrics, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["read_model"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = CounterVec::new(Opts::new(name, help), &["read_model"])?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Metrics {
            events: gauge("aqueduct_rebuild_events", "events that the load reads")?,
            done: gauge(
                "aqueduct_rebuild_events_done",
                "of these, those that are read, now or before a restart",
            )?,
            read: counter("aqueduct_rebuild_events_read_total", "events that this process has read")?,
            left: gauge(
                "aqueduct_rebuild_left_seconds",
                "time that the load will take from now on, as it goes",
            )?,
            written: gauge("aqueduct_rebuild_written", "items that the load has written")?,
            letters: gauge("aqueduct_rebuild_letters", "items that the load has set aside")?,
            behind: gauge(
                "aqueduct_rebuild_lag_records",
                "records that the workers who took over what is loaded are behind",
            )?,
            lag: gauge(
                "aqueduct_rebuild_live_lag_records",
                "records that the live groups of the store are behind",
            )?,
            share: gauge(
                "aqueduct_rebuild_share",
                "share of the time that the load works: the rest is the live groups' own",
            )?,
        })
    }
}

/// Of one generation.
pub(super) struct Progress {
    pub(super) pace: Pace,
    name: String,
    bar: ProgressBar,
    events: Gauge,
    done: Gauge,
    read: Counter,
    left: Gauge,
    written: Gauge,
    letters: Gauge,
    behind: Gauge,
    lag: Gauge,
    share: Gauge,
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    read: f64,
    line: Instant,
    begun: Instant,
    at_first: f64,
}

impl Progress {
    /// Of the generation that reports call `name`: `postgres orders.g2`.
    pub(super) fn new(name: &str, pace: Pace, metrics: &Metrics) -> Progress {
        let of = |gauges: &GaugeVec| gauges.with_label_values(&[name]);
        let now = Instant::now();
        Progress {
            pace,
            name: name.to_owned(),
            bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            events: of(&metrics.events),
            done: of(&metrics.done),
            read: metrics.read.with_label_values(&[name]),
            left: of(&metrics.left),
            written: of(&metrics.written),
            letters: of(&metrics.letters),
            behind: of(&metrics.behind),
            lag: of(&metrics.lag),
            share: of(&metrics.share),
            seen: Mutex::new(Seen { at: now, read: 0.0, line: now, begun: now, at_first: 0.0 }),
        }
    }

    /// The load begins, or goes on.
    pub(super) fn begin(&self, plan: &Plan, done: &Done) {
        let template = match plan.source {
            Source::Topics => "{prefix}: {wide_bar} {percent} % of {len} events, {msg}",
            Source::Store => "{prefix}: {spinner} {pos} items, {msg}",
        };
        let style = ProgressStyle::with_template(template);
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_prefix(self.name.clone());
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        let total = plan.events() as f64;
        if plan.source == Source::Topics {
            self.bar.set_length(plan.events().unsigned_abs());
            self.events.set(total);
        }
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        let of = |unit: &super::unit::Unit| {
            let range = plan.range(unit.place);
            (range.end - range.start) as f64 * unit.slice.share()
        };
        let at_first: f64 = done.units.iter().map(of).sum();
        self.done.set(at_first);
        let mut seen = self.seen();
        let now = Instant::now();
        *seen = Seen { at: now, read: at_first, line: now, begun: now, at_first };
        self.wrote(done.counts);
    }

    /// So many events were read; fewer than none when some turn out to have been read for later.
    pub(super) fn read(&self, events: f64) {
        self.done.add(events);
        self.read.inc_by(events.max(0.0));
    }

    /// The workers who have taken over are so far behind.
    pub(super) fn behind(&self, records: i64) {
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        self.behind.set(records as f64);
    }

    pub(super) fn wrote(&self, counts: Counts) {
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        let [written, letters] = [counts.rows + counts.tombstones, counts.letters].map(|count| count as f64);
        self.written.add(written);
        self.letters.add(letters);
    }

    /// Shows where it stands. To be called about once a second.
    pub(super) fn show(&self) {
        let mut seen = self.seen();
        let (now, read) = (Instant::now(), self.done.get());
        let elapsed = now - seen.at;
        if elapsed < Duration::from_millis(200) {
            return;
        }
        let rate = (read - seen.read).max(0.0) / elapsed.as_secs_f64();
        (seen.at, seen.read) = (now, read);
        let lag = self.pace.lag();
        #[expect(clippy::cast_precision_loss, reason = "shown to people")]
        self.lag.set(lag as f64);
        let share = self.pace.share();
        self.share.set(share);
        let average = (read - seen.at_first) / (now - seen.begun).as_secs_f64().max(0.001);
        let left = (self.events.get() - read).max(0.0) / average.max(1.0);
        let is_known = self.events.get() > 0.0;
        self.left.set(if is_known { left } else { f64::NAN });
        let left = match is_known {
            true => format!("{} left", HumanDuration(Duration::from_secs_f64(left))),
            false => format!("{} so far", HumanDuration(now - seen.begun)),
        };
        let at = if share < 1.0 { format!(" at {:.0} % of the time", share * 100.0) } else { String::new() };
        let message = format!("{}/s{at}, {left}, live lag {lag}", HumanCount(whole(rate)));
        self.bar.set_position(whole(read));
        self.bar.set_message(message.clone());
        if !std::io::stderr().is_terminal() && now - seen.line >= LINE {
            seen.line = now;
            let all = match self.bar.length() {
                Some(all) => format!(" of {}", HumanCount(all)),
                None => String::new(),
            };
            eprintln!("{}: {}{all} events, {message}", self.name, HumanCount(whole(read)));
        }
    }

    /// A line for people, beside the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{}: {line}", self.name));
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it is held.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shown to people, and never negative"
)]
fn whole(number: f64) -> u64 {
    number.max(0.0).round() as u64
}
