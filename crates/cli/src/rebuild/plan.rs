//! What a load reads, noted before it begins: a load that is killed and begun again goes on by the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Context, Result, bail};
use aqueduct_store::kafka::Position;
use clap::ValueEnum;
use foldhash::quality::FixedState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::slice::Slice;
use super::unit::{Counts, Unit};

/// Where a load takes items from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The events topic, from its beginning
    Topics,
    /// The DynamoDB tables: also where Kafka's retention has passed
    Store,
}

/// What a load reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Plan {
    pub(super) source: Source,
    pub(super) begun_at: Timestamp,
    /// The partitions of the topic: what is read of each, and where the new group goes on.
    pub(super) partitions: BTreeMap<i32, Range<i64>>,
    /// Segments of the read table.
    pub(super) segments: i32,
    /// What hashes of keys begin with: nobody can choose keys that collide.
    seeds: [u64; 2],
}

/// Of a load as it is noted what is done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) units: BTreeSet<Unit>,
    pub(super) counts: Counts,
}

impl Plan {
    /// From the beginning of the topic to where it ends now.
    pub(super) fn of_topics(positions: &[Position]) -> Result<Plan> {
        if let Some(cut) = positions.iter().find(|position| position.earliest > 0) {
            let Position { topic, partition, earliest, .. } = cut;
            bail!(
                "{topic}-{partition} begins with offset {earliest}: what stood before is gone, and so may be items. Say \
                 `--from store`, which needs none of it"
            );
        }
        let partitions = positions.iter().map(|one| (one.partition, one.earliest..one.end)).collect();
        Ok(Plan::new(Source::Topics, partitions, 0))
    }

    /// The read table, then the topic from where the projector has committed: the table holds what stands before that.
    pub(super) fn of_store(positions: &[Position], segments: i32) -> Result<Plan> {
        if let Some(lost) = positions.iter().find(|position| position.lost() > 0) {
            bail!(
                "the projector has not read {} records of {}-{} that are gone, so that the read table may lack items: the topic \
                 has to be refilled, and read by the projector, first",
                lost.lost(),
                lost.topic,
                lost.partition
            );
        }
        let partitions = positions.iter().map(|one| (one.partition, one.next()..one.next())).collect();
        Ok(Plan::new(Source::Store, partitions, segments))
    }

    fn new(source: Source, partitions: BTreeMap<i32, Range<i64>>, segments: i32) -> Plan {
        let seeds = [rand::random(), rand::random()];
        Plan { source, begun_at: Timestamp::now(), partitions, segments, seeds }
    }

    /// What is to be done, a list for each place: the units of a place one after the other.
    pub(super) fn todo(&self, done: &BTreeSet<Unit>) -> Vec<Vec<Unit>> {
        let places: Vec<i32> = match self.source {
            Source::Topics => self.partitions.keys().copied().collect(),
            Source::Store => (0..self.segments).collect(),
        };
        let of_place = |place: i32| {
            let done = done.iter().filter(|unit| unit.place == place).map(|unit| unit.slice).collect();
            let left = Slice::ALL.without(&done);
            left.into_iter().map(|slice| Unit { place, slice }).collect::<Vec<_>>()
        };
        places.into_iter().map(of_place).filter(|units| !units.is_empty()).collect()
    }

    /// Events that are read, about: offsets have gaps, and of the read table nobody knows.
    pub(super) fn events(&self) -> i64 {
        self.partitions.values().map(|range| range.end - range.start).sum()
    }

    /// The same of one partition.
    pub(super) fn range(&self, partition: i32) -> Range<i64> {
        self.partitions.get(&partition).cloned().unwrap_or_default()
    }

    /// 128 bits of a key.
    pub(super) fn hasher(&self) -> impl Fn(&[u8]) -> u128 + Send + 'static {
        use std::hash::BuildHasher;
        let [high, low] = self.seeds.map(FixedState::with_seed);
        move |key| u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }
}

impl Done {
    /// Reads what was noted.
    pub(super) fn of(units: &BTreeMap<String, Value>) -> Result<Done> {
        let mut done = Done::default();
        for (unit, counts) in units {
            done.units.insert(unit.parse().map_err(anyhow::Error::msg)?);
            done.counts += serde_json::from_value(counts.clone()).context("what is noted of a unit")?;
        }
        Ok(done)
    }
}
