//! `aqueduct republish`: fills an events topic that was lost and made anew, from the event store.
//!
//! Each version that was published is sent again as it was: key, value, headers and time stand in the store, and the
//! same partitioner puts it into the same partition. Nothing else changes but where the store says that it stands.
//!
//! **Order.** In a partition the first appearance of every version of an item has to be in version order.
//! - A version is sent after the one before it was acknowledged. Whatever ends this, of an item it has sent 1 to k; begun again, it
//!   sends those once more, which is harmless to all who read (the same bytes, the same event id), and goes on with k + 1.
//! - A version that is not published yet is left to the publisher, with all above it.
//! - A publisher takes what is below an unpublished version for published. While this runs none may send: version 6 would
//!   stand before 1 to 5. No process can hold another back, so that whoever runs command-api has to stop it. This refuses a
//!   topic in which somebody has published since it was made, and counts: the offsets that were taken while it ran must be those
//!   that it was given itself. Otherwise it fails, and the topic has to be made anew once more.

mod sending;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aqueduct_contract::{Names, TypeName};
use aqueduct_model::Model;
use aqueduct_service::{Misconfigured, Settings, SettingsFile};
use aqueduct_store::kafka::{Group, Position};
use aqueduct_store::publisher::Republisher;
use aqueduct_store::{Error, EventStore};
use clap::ValueEnum;
use indicatif::HumanCount;

use crate::rate::Rate;
use sending::{Counts, Places, Sending};

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);

/// `aqueduct republish`
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Stop every command-api and worker first, and let `aqueduct setup` make the topic. Afterwards, before a worker runs, \
`aqueduct replay --from beginning` for each of the three: their positions are those of the topic that was lost.

Begun again after whatever ended it, it sends everything once more (--force): repeats are harmless.")]
pub struct Republish {
    #[command(flatten)]
    file: SettingsFile,
    /// Where events come from
    #[arg(long, value_enum)]
    from: Source,
    /// Only the topic of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypeName>,
    /// Events a second at most, such as 5000/s
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// Count what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Also into a topic that holds records: those of a republish that was cut off, before any command-api has run
    #[arg(long)]
    force: bool,
}

/// What there is to publish from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    /// The event store in DynamoDB
    Store,
}

impl Republish {
    /// Counts, and sends.
    pub async fn run(self) -> Result<()> {
        let Source::Store = self.from;
        let settings = crate::fleet::settings(&self.file)?;
        settings.kafka.reach().await?;
        let names = Names::new(&settings.prefix);
        let types = self.chosen(&crate::setup::load(&settings.model.dir)?)?;
        let topics: Vec<String> = types.keys().map(|name| names.events_topic(name)).collect();
        let group = Group::new(&settings.kafka, &names.data_group(), &topics);
        let before = positions(&group).await?;
        for (name, partitions) in &types {
            check(&before, &names.events_topic(name), *partitions, self.force || self.dry_run)?;
        }
        let events = EventStore::new(settings.dynamodb.connect().await, &names);
        let sending =
            Sending { events: &events, types: &types, bar: sending::spinner("reading the event store") };
        // Also finds out, before anything is sent, whether the store is whole.
        let found = sending.count().await.context("the event store")?;
        if self.dry_run {
            return print(&names, &found, "to send");
        }
        let (sent, places) = self.send(&settings, &events, &types, &found).await?;
        print(&names, &sent, "sent")?;
        refuse_others(&before, &group.positions().await?, &places)?;
        eprintln!(
            "now `aqueduct replay --from beginning` for the projector, sync-rds and sync-search, before they run: their positions \
             are those of the topic that was lost"
        );
        Ok(())
    }

    async fn send(
        &self,
        settings: &Settings,
        events: &EventStore,
        types: &BTreeMap<TypeName, i32>,
        found: &BTreeMap<TypeName, Counts>,
    ) -> Result<(BTreeMap<TypeName, Counts>, Places)> {
        let all = found.values().map(|counts| counts.versions).sum();
        let sending = Sending { events, types, bar: sending::bar(all) };
        let republisher = Republisher::new(events.clone(), &settings.kafka)?;
        sending.send(&republisher, self.rate).await.context(
            "it stopped before all was sent. What was sent stands in order: give the same command again with --force, before any \
             command-api runs",
        )
    }

    /// The types that are meant, with the partitions of their topics.
    fn chosen(&self, model: &Model) -> Result<BTreeMap<TypeName, i32>> {
        let all: BTreeMap<TypeName, i32> = model.types().map(|of| (of.name.clone(), of.partitions)).collect();
        if self.types.is_empty() {
            return Ok(all);
        }
        let of = |name: &TypeName| {
            let partitions = all.get(name).copied();
            let unknown = || Misconfigured(format!("the model has no type {name}"));
            Ok((name.clone(), partitions.ok_or_else(unknown)?))
        };
        self.types.iter().map(of).collect()
    }
}

/// Where the partitions begin and end. A topic just made has no leaders for a moment.
async fn positions(group: &Group) -> Result<Vec<Position>> {
    let begun = Instant::now();
    loop {
        match group.positions().await {
            Err(Error::Unavailable(_)) if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
            asked => return Ok(asked?),
        }
    }
}

/// Whether a topic is as `aqueduct setup` makes it, and empty.
fn check(positions: &[Position], topic: &str, partitions: i32, may_hold: bool) -> Result<()> {
    let of_topic = || positions.iter().filter(|position| position.topic == topic);
    if of_topic().count() != usize::try_from(partitions)? {
        bail!(
            "{topic} has {} partitions, and the model says {partitions}: its items would be in others than before. Delete the topic, \
             and let `aqueduct setup` make it",
            of_topic().count()
        );
    }
    let records: i64 = of_topic().map(|position| position.end - position.earliest).sum();
    if records > 0 && !may_hold {
        bail!(
            "{topic} holds about {records} records, and what is sent now would stand behind them. If a command-api has published \
             since it was made, stop every command-api, delete the topic, and begin again with `aqueduct setup`. If they are \
             those of a republish that was cut off, say --force"
        );
    }
    Ok(())
}

/// What was taken of the partitions must be what was given to us.
fn refuse_others(before: &[Position], after: &[Position], places: &Places) -> Result<()> {
    let taken = after.iter().map(|now| {
        let was = before.iter().find(|was| (&was.topic, was.partition) == (&now.topic, now.partition));
        let own = places.get(&(now.topic.clone(), now.partition)).copied().unwrap_or_default();
        now.end - was.map_or(0, |was| was.end) - own
    });
    let others: i64 = taken.sum();
    if others != 0 {
        bail!(
            "{others} records come from somebody else who has published meanwhile, and may stand before earlier versions of their \
             items: stop every command-api, delete the topic, and begin again with `aqueduct setup`"
        );
    }
    Ok(())
}

fn print(names: &Names, counts: &BTreeMap<TypeName, Counts>, what: &str) -> Result<()> {
    let mut out = std::io::stdout();
    for (name, Counts { items, versions, left }) in counts {
        let (items, versions) = (HumanCount(*items), HumanCount(*versions));
        write!(out, "{}: {versions} events of {items} items {what}", names.events_topic(name))?;
        match left {
            0 => writeln!(out)?,
            left => writeln!(out, ", {} are left to the publisher", HumanCount(*left))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(partition: i32, earliest: i64, end: i64) -> Position {
        Position { topic: "t".into(), partition, committed: None, earliest, end }
    }

    #[test]
    fn a_topic_that_holds_anything_or_has_other_partitions_is_refused() {
        let empty = [position(0, 0, 0), position(1, 7, 7)];
        check(&empty, "t", 2, false).unwrap();
        assert!(check(&empty, "t", 3, true).unwrap_err().to_string().contains("has 2 partitions"));
        let holds = [position(0, 0, 0), position(1, 7, 9)];
        assert!(check(&holds, "t", 2, false).unwrap_err().to_string().contains("about 2 records"));
        check(&holds, "t", 2, true).unwrap();
    }

    #[test]
    fn a_record_of_somebody_else_is_noticed() {
        let before = [position(0, 0, 0), position(1, 5, 5)];
        let places = Places::from([(("t".to_owned(), 1), 3)]);
        refuse_others(&before, &[position(0, 0, 0), position(1, 5, 8)], &places).unwrap();
        let refused = refuse_others(&before, &[position(0, 0, 1), position(1, 5, 8)], &places).unwrap_err();
        assert!(refused.to_string().starts_with("1 records come from somebody else"), "{refused}");
    }
}
