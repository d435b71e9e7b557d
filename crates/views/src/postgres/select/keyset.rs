//! "After these keys", as ranges that do not overlap.

use super::{Arguments, OWN_COLUMNS, Sort};

/// Conditions, each beginning with ` AND `, that together are all rows behind the row with the keys `after`. None when there
/// can be none.
pub(super) fn ranges(
    sort: &[Sort],
    keys: &[String],
    after: &[Option<String>],
    arguments: &mut Arguments,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut equal = String::new();
    for ((sort, key), value) in sort.iter().zip(keys).zip(after) {
        let value = value.as_ref().map(|value| arguments.one(value, sort.column_type));
        let greater = match (&value, sort.descending) {
            (Some(value), false) => Some(format!("{key} > {value}")),
            (Some(value), true) => Some(format!("{key} < {value}")),
            (None, true) => Some(format!("{key} IS NOT NULL")),
            (None, false) => None,
        };
        let nulls = !sort.descending && value.is_some() && is_nullable(sort);
        found.extend(greater.map(|range| format!("{equal} AND {range}")));
        found.extend(nulls.then(|| format!("{equal} AND {key} IS NULL")));
        equal = match value {
            Some(value) => format!("{equal} AND {key} = {value}"),
            None => format!("{equal} AND {key} IS NULL"),
        };
    }
    // A statement needs one, and a cursor at the very end is none that a page gave.
    if found.is_empty() { vec![" AND false".to_owned()] } else { found }
}

fn is_nullable(sort: &Sort) -> bool {
    OWN_COLUMNS.iter().all(|(name, _)| *name != sort.column)
}
