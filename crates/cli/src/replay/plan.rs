//! What a replay does to one group, partition by partition.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Result, bail};
use aqueduct_service::groups::Listed;
use aqueduct_store::kafka::{Group, Position};
use aqueduct_views::Generation;
use jiff::SignedDuration;

use super::point::Point;

/// One group.
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) group: Group,
    /// What it keeps; none for the `data` table.
    generation: Option<Generation>,
    pub(super) moves: Vec<Move>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Where the group stands; `None` where it never committed, so that it reads everything anyway.
    pub(super) from: Option<i64>,
    /// Where it is to stand.
    pub(super) to: i64,
    /// Whether it has to be set there; else the partition is left as it is.
    pub(super) is_set: bool,
    /// Records that it reads again.
    pub(super) records: i64,
    /// The offset that ends the wait.
    pub(super) until: i64,
}

/// The offsets of a moment, by topic and partition.
type At = HashMap<(String, i32), i64>;

impl Plan {
    /// Asks the broker. With `only`, of this partition alone.
    pub(super) async fn make(
        listed: &Listed,
        group: Group,
        from: &Point,
        to: Option<&Point>,
        only: Option<i32>,
    ) -> Result<Plan> {
        let from_at = offsets(&group, Some(from)).await?;
        let to_at = offsets(&group, to).await?;
        let positions = group.positions().await?;
        let chosen = positions.iter().filter(|position| only.is_none_or(|only| only == position.partition));
        let mut moves: Vec<Move> =
            chosen.map(|position| Move::new(position, (from, &from_at), to.map(|to| (to, &to_at)))).collect();
        moves.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
        Ok(Plan { id: listed.group.id.clone(), group, generation: listed.generation.clone(), moves })
    }

    /// An error where it would read records again from before tombstones were removed.
    pub(super) async fn refuse_purged(&self) -> Result<()> {
        let Some(generation) = &self.generation else { return Ok(()) };
        let Some(through) = generation.purged_through else { return Ok(()) };
        // Kafka knows times to the millisecond.
        let after = self.group.offsets_at(through + SignedDuration::from_millis(1)).await?;
        let from_before = |one: &&Move| {
            let first = after.get(&(one.topic.clone(), one.partition));
            one.records > 0 && first.is_none_or(|first| one.to < *first)
        };
        if let Some(Move { topic, partition, to, .. }) = self.moves.iter().find(from_before) {
            bail!(
                "{} would begin in {topic}-{partition} at {to}, before {through}: up to then tombstones of {} were removed, and what \
                 was deleted could not be told from what is missing. Begin after that, or make the view anew with `aqueduct \
                 rebuild {}`",
                self.id,
                generation.sink(),
                generation.view()
            );
        }
        Ok(())
    }

    pub(super) fn records(&self) -> i64 {
        self.moves.iter().map(|one| one.records).sum()
    }
}

async fn offsets(group: &Group, point: Option<&Point>) -> Result<At> {
    match point {
        Some(Point::Time(time)) => Ok(group.offsets_at(*time).await?),
        _ => Ok(At::new()),
    }
}

impl Move {
    fn new(position: &Position, from: (&Point, &At), to: Option<(&Point, &At)>) -> Move {
        // A topic that was lost and made anew: as soon as it is as long as the old one was, the position would skip records.
        let of_another_topic = position.committed.is_some_and(|committed| committed > position.end);
        let stands = if of_another_topic { position.end } else { position.next() };
        let wanted = offset_of(position, from);
        let is_set = of_another_topic || position.committed.is_some() && wanted < stands;
        let target = if is_set { wanted } else { stands };
        let until = to.map_or(stands, |to| offset_of(position, to)).max(target);
        Move {
            topic: position.topic.clone(),
            partition: position.partition,
            from: position.committed,
            to: target,
            is_set,
            records: stands - target,
            until,
        }
    }

    /// Records between where it is set to and what ends the wait.
    pub(super) fn until_done(&self) -> i64 {
        if self.is_set { self.until - self.to } else { 0 }
    }
}

/// Within what the partition holds.
fn offset_of(position: &Position, (point, at): (&Point, &At)) -> i64 {
    let offset = match point {
        Point::Beginning => position.earliest,
        Point::Offset(offset) => *offset,
        // No record since then: the end.
        Point::Time(_) => {
            at.get(&(position.topic.clone(), position.partition)).copied().unwrap_or(position.end)
        }
    };
    offset.clamp(position.earliest, position.end)
}

/// A line for each partition: where it stands, where it is to stand, and how many records that is.
pub(super) fn print(plans: &[Plan], out: &mut impl Write) -> std::io::Result<()> {
    for plan in plans {
        writeln!(out, "{}", plan.id)?;
        for Move { topic, partition, from, to, is_set, records, .. } in &plan.moves {
            let place = format!("{topic}-{partition}");
            match (from, is_set) {
                (None, _) => writeln!(out, "  {place}: never committed, reads everything anyway")?,
                (Some(from), false) => writeln!(out, "  {place}: {from} stays")?,
                (Some(from), true) => writeln!(out, "  {place}: {from} → {to}, {records} to read again")?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(committed: Option<i64>, from: Point, to: Option<Point>) -> (i64, i64, i64) {
        let position = Position { topic: "t".into(), partition: 0, committed, earliest: 10, end: 100 };
        let at = At::from([(("t".to_owned(), 0), 30)]);
        let one = Move::new(&position, (&from, &at), to.as_ref().map(|to| (to, &at)));
        (one.to, one.records, one.until)
    }

    #[test]
    fn a_group_is_set_back_within_what_there_is() {
        assert_eq!(moved(Some(50), Point::Beginning, None), (10, 40, 50));
        assert_eq!(moved(Some(50), Point::Offset(3), None), (10, 40, 50));
        assert_eq!(moved(Some(50), Point::Offset(20), None), (20, 30, 50));
        assert_eq!(moved(Some(50), Point::Time(jiff::Timestamp::UNIX_EPOCH), None), (30, 20, 50));
    }

    #[test]
    fn a_group_is_never_set_forward() {
        assert_eq!(moved(Some(50), Point::Offset(60), None), (50, 0, 50));
        assert_eq!(moved(Some(50), Point::Offset(1000), None), (50, 0, 50));
        assert_eq!(moved(None, Point::Offset(60), None), (10, 0, 10), "it has read nothing yet");
    }

    #[test]
    fn a_position_of_a_topic_that_was_lost_is_set_within_the_new_one() {
        let moved = |end| {
            let position =
                Position { topic: "t".into(), partition: 0, committed: Some(50), earliest: 0, end };
            let one = Move::new(&position, (&Point::Beginning, &At::new()), None);
            (one.is_set, one.to, one.records, one.until)
        };
        assert_eq!(moved(20), (true, 0, 20, 20));
        assert_eq!(moved(0), (true, 0, 0, 0), "it would skip the first records that come");
    }

    #[test]
    fn the_end_of_the_wait_is_not_before_its_begin() {
        assert_eq!(moved(Some(50), Point::Offset(20), Some(Point::Offset(40))), (20, 30, 40));
        assert_eq!(moved(Some(50), Point::Offset(20), Some(Point::Offset(5))), (20, 30, 20));
        assert_eq!(moved(Some(50), Point::Offset(20), Some(Point::Offset(500))), (20, 30, 100));
    }
}
