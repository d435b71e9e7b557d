//! Goes through the event store, segments side by side, each item's versions in order.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Result;
use aqueduct_contract::{ItemKey, TypeName, Version};
use aqueduct_store::EventStore;
use aqueduct_store::events::{Found, Published, Record};
use aqueduct_store::publisher::Republisher;
use futures::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Mutex;
use tokio::time::{Interval, interval};

use crate::rate::Rate;

/// Parts of the event store, all read at once; of each one event is on its way at a time.
const SEGMENTS: i32 = 32;

/// What was found of a type, or sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) items: u64,
    pub(super) versions: u64,
    /// Versions that are not published yet, and those above them.
    pub(super) left: u64,
}

/// How many records went to each topic and partition.
pub(super) type Places = HashMap<(String, i32), i64>;

/// One way through the event store.
pub(super) struct Sending<'a> {
    pub(super) events: &'a EventStore,
    pub(super) types: &'a BTreeMap<TypeName, i32>,
    pub(super) bar: ProgressBar,
}

impl Sending<'_> {
    /// What there is to send.
    pub(super) async fn count(&self) -> Result<BTreeMap<TypeName, Counts>> {
        let (counts, _) = self.go(async |_: &Record| Ok(None)).await?;
        Ok(counts)
    }

    /// Sends it, at most so many a second; returns how much went where.
    pub(super) async fn send(
        &self,
        republisher: &Republisher,
        rate: Option<Rate>,
    ) -> Result<(BTreeMap<TypeName, Counts>, Places)> {
        let pace: Option<Mutex<Interval>> = rate.map(|rate| Mutex::new(interval(rate.period())));
        self.go(async |record: &Record| {
            if let Some(pace) = &pace {
                pace.lock().await.tick().await;
            }
            Ok(Some(republisher.send(record).await?))
        })
        .await
    }

    async fn go(
        &self,
        send: impl AsyncFn(&Record) -> Result<Option<Published>>,
    ) -> Result<(BTreeMap<TypeName, Counts>, Places)> {
        let mut segments = stream::iter(0..SEGMENTS)
            .map(|segment| self.segment(segment, &send))
            .buffer_unordered(usize::try_from(SEGMENTS)?);
        let mut counts: BTreeMap<TypeName, Counts> =
            self.types.keys().map(|name| (name.clone(), Counts::default())).collect();
        let mut places = Places::new();
        while let Some((of_segment, taken)) = segments.try_next().await? {
            for (name, more) in of_segment {
                let all = counts.entry(name).or_default();
                all.items += more.items;
                all.versions += more.versions;
                all.left += more.left;
            }
            for (place, more) in taken {
                *places.entry(place).or_default() += more;
            }
        }
        self.bar.finish_and_clear();
        Ok((counts, places))
    }

    async fn segment(
        &self,
        segment: i32,
        send: &impl AsyncFn(&Record) -> Result<Option<Published>>,
    ) -> Result<(BTreeMap<TypeName, Counts>, Places)> {
        let mut counts: BTreeMap<TypeName, Counts> = BTreeMap::new();
        let mut places = Places::new();
        let mut left: Option<ItemKey> = None;
        let mut versions = std::pin::pin!(self.events.all_of_segment(segment, SEGMENTS));
        while let Some(Found { record, published }) = versions.try_next().await? {
            if !self.types.contains_key(record.key.type_name()) {
                continue;
            }
            let counts = counts.entry(record.key.type_name().clone()).or_default();
            if !published || left.as_ref() == Some(&record.key) {
                left = Some(record.key);
                counts.left += 1;
                continue;
            }
            if let Some(at) = send(&record).await? {
                *places.entry((self.events.topic(&record.key), at.partition)).or_default() += 1;
            }
            counts.items += u64::from(record.version == Version::FIRST);
            counts.versions += 1;
            self.bar.inc(1);
        }
        Ok((counts, places))
    }
}

/// For what has no known end.
pub(super) fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {msg}: {human_pos} events ({elapsed})");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// For so many events.
pub(super) fn bar(events: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{wide_bar} {percent} % of {human_len} events, {per_sec}, {eta} left");
    let bar = ProgressBar::new(events);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
