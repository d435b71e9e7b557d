//! One partition of one group, as `aqueduct lag` prints it.

use std::fmt::Write;

use aqueduct_service::groups::Group;
use aqueduct_store::kafka::{Member, Standing};
use jiff::Timestamp;
use serde::Serialize;

/// The names are those of `--json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) group: String,
    pub(super) worker: String,
    /// What the group writes to: `data` or `orders.g1`.
    pub(super) sink: String,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Null before the first commit.
    pub(super) committed: Option<i64>,
    pub(super) end: i64,
    pub(super) lag_records: i64,
    /// Age of the oldest record that is not committed; null when it could not be read.
    pub(super) lag_seconds: Option<f64>,
    /// Records that retention took before the group had read them.
    pub(super) lost_records: i64,
    /// Null when nobody has the partition.
    pub(super) owner: Option<Owner>,
    /// When the commit was seen to move; null when it was not watched or did not.
    pub(super) last_progress: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Owner {
    pub(super) member: String,
    pub(super) client: String,
    pub(super) host: String,
}

impl Line {
    pub(super) fn new(group: &Group, standing: Standing, members: &[Member], now: Timestamp) -> Line {
        let age = standing.age(now);
        let position = standing.position;
        let has =
            |(topic, partition): &(String, i32)| *topic == position.topic && *partition == position.partition;
        let owner = members.iter().find(|member| member.partitions.iter().any(has));
        Line {
            group: group.id.clone(),
            worker: group.worker.to_string(),
            sink: group.sink.clone(),
            committed: position.committed,
            end: position.end,
            lag_records: position.lag(),
            lag_seconds: age.map(|age| age.as_secs_f64()),
            lost_records: position.lost(),
            owner: owner.map(|member| Owner {
                member: member.id.clone(),
                client: member.client.clone(),
                host: member.host.clone(),
            }),
            last_progress: None,
            partition: position.partition,
            topic: position.topic,
        }
    }
}

/// A line for each group, and below it one for each of its partitions, or for each that lags.
pub(super) fn table(lines: &[Line], all: bool) -> String {
    let mut rows = vec![Row::head()];
    for partitions in lines.chunk_by(|one, other| one.group == other.group) {
        rows.push(Row::of_group(partitions));
        let shown = partitions.iter().filter(|line| all || line.lag_records > 0 || line.lost_records > 0);
        rows.extend(shown.map(Row::of_partition));
    }
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(&row.0) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for Row(cells) in &rows {
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = match place {
                0 => write!(text, "{cell:<width$}"),
                OWNER => write!(text, "  {cell:<width$}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

const COLUMNS: usize = 7;
const OWNER: usize = 5;

struct Row([String; COLUMNS]);

impl Row {
    fn head() -> Row {
        Row(["GROUP", "COMMITTED", "END", "LAG", "AGE", "OWNER", "MOVED"].map(str::to_owned))
    }

    fn of_group(partitions: &[Line]) -> Row {
        let mut owners: Vec<&str> =
            partitions.iter().filter_map(|line| Some(line.owner.as_ref()?.member.as_str())).collect();
        owners.sort_unstable();
        owners.dedup();
        let owners = match owners.len() {
            0 => "nobody".to_owned(),
            1 => "1 member".to_owned(),
            several => format!("{several} members"),
        };
        // One partition whose age is not known leaves open what the oldest is.
        let ages: Option<Vec<f64>> = partitions.iter().map(|line| line.lag_seconds).collect();
        Row([
            partitions.first().map(|line| line.group.clone()).unwrap_or_default(),
            String::new(),
            String::new(),
            partitions.iter().map(|line| line.lag_records).sum::<i64>().to_string(),
            age(ages.map(|ages| ages.into_iter().fold(0.0, f64::max))),
            owners,
            moved(partitions.iter().filter_map(|line| line.last_progress).max()),
        ])
    }

    fn of_partition(line: &Line) -> Row {
        let owner = |owner: &Owner| {
            // What tells the processes of a host apart.
            let tail = owner.member.rsplit('-').next().unwrap_or_default();
            format!("{} ({tail})", owner.host)
        };
        Row([
            format!("  {}-{}", line.topic, line.partition),
            line.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
            line.end.to_string(),
            line.lag_records.to_string(),
            age(line.lag_seconds),
            line.owner.as_ref().map_or_else(|| "-".to_owned(), owner),
            moved(line.last_progress),
        ])
    }
}

fn age(seconds: Option<f64>) -> String {
    match seconds {
        None => "?".to_owned(),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{seconds:.0} s"),
    }
}

fn moved(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M:%SZ").to_string())
}
