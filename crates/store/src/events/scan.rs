//! Reading all items, for whoever compares, rebuilds or publishes again.

use aqueduct_contract::{ItemKey, Version};
use futures::stream::{self, Stream, TryStreamExt};

use super::stored::EventRow;
use super::{EventStore, Found, Record};
use crate::row::Attributes;
use crate::{Error, Result};

impl EventStore {
    /// The latest version of every item in one of `segments` parts of the table, which are read side by side; in no order, with
    /// one page in memory. Writes during the scan may or may not show.
    ///
    /// A Scan returns the rows of a partition key next to each other, in order of their sort key. Nothing promises that in
    /// so many words, so that it is checked: each run of an item's rows must be 1, 2, 3 …; a run that was torn apart
    /// would begin with another version, and is an error.
    pub fn latest_of_segment(&self, segment: i32, segments: i32) -> impl Stream<Item = Result<Record>> + '_ {
        last_of_each_run(&self.table, self.rows_of_segment(segment, segments))
    }

    /// Every version of every item in one of `segments` parts of the table: those of an item next to each other, 1, 2, 3 …, as is
    /// checked.
    pub fn all_of_segment(&self, segment: i32, segments: i32) -> impl Stream<Item = Result<Found>> + '_ {
        let mut last: Option<(ItemKey, Version)> = None;
        self.rows_of_segment(segment, segments).and_then(move |attributes| {
            let mut row = EventRow::new(&self.table, attributes);
            let mut found = || {
                let (key, version) = (row.key()?, row.version()?);
                check_run(last.as_ref().map(|(key, version)| (key, *version)), &key, version)?;
                last = Some((key, version));
                Ok(Found { published: row.is_published(), record: row.record()? })
            };
            std::future::ready(found())
        })
    }

    fn rows_of_segment(&self, segment: i32, segments: i32) -> impl Stream<Item = Result<Attributes>> + '_ {
        let pages = stream::try_unfold(Position::Start, move |position| async move {
            let start = match position {
                Position::Start => None,
                Position::After(key) => Some(key),
                Position::End => return Ok(None),
            };
            let scan = self.client.scan().table_name(&self.table).consistent_read(true);
            let scan = scan.segment(segment).total_segments(segments).set_exclusive_start_key(start);
            let page = scan.send().await.map_err(Error::of)?;
            let next = page.last_evaluated_key.map_or(Position::End, Position::After);
            Ok::<_, Error>(Some((page.items.unwrap_or_default(), next)))
        });
        pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }
}

enum Position {
    Start,
    After(Attributes),
    End,
}

/// The row at the end of each item's run.
fn last_of_each_run<'a>(
    table: &'a str,
    rows: impl Stream<Item = Result<Attributes>> + 'a,
) -> impl Stream<Item = Result<Record>> + 'a {
    let rows = Box::pin(rows);
    stream::try_unfold((rows, None::<Last<'a>>), move |(mut rows, mut last)| async move {
        while let Some(attributes) = rows.try_next().await? {
            let row = EventRow::new(table, attributes);
            let next = Last { key: row.key()?, version: row.version()?, row };
            let finished = next.follow(last)?;
            last = Some(next);
            if let Some(mut finished) = finished {
                return Ok(Some((finished.row.record()?, (rows, last))));
            }
        }
        match last {
            Some(mut last) => Ok(Some((last.row.record()?, (rows, None)))),
            None => Ok(None),
        }
    })
}

struct Last<'a> {
    key: ItemKey,
    version: Version,
    row: EventRow<'a>,
}

impl<'a> Last<'a> {
    /// Takes the place of `last`, and gives it back if that was the end of its item's run.
    fn follow(&self, last: Option<Last<'a>>) -> Result<Option<Last<'a>>> {
        check_run(last.as_ref().map(|last| (&last.key, last.version)), &self.key, self.version)?;
        Ok(last.filter(|last| last.key != self.key))
    }
}

/// Whether a version may follow the row before it.
fn check_run(last: Option<(&ItemKey, Version)>, key: &ItemKey, version: Version) -> Result<()> {
    let expected = match last {
        Some((same, last)) if same == key => last.next(),
        _ => Version::FIRST,
    };
    if version == expected {
        return Ok(());
    }
    let reason = format!("the scan shows version {version} where {expected} was due");
    Err(Error::corrupt(format!("item {key}"), reason))
}
