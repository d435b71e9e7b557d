//! Which rows of a view are asked for, read from query parameters.
//!
//! The conventions are those of JSON:API, which has filter, sort and sparse fields apart from each other and from paging:
//! `filter[status]=paid`, `filter[total][gte]=100`, `sort=-total,id`, `fields=id,total`. PostgREST's `status=eq.paid` would let a
//! column called `limit` or `sort` collide with a parameter, and one string in a language of its own, as Google's AIP-160
//! has it, would need a parser on both sides.

use std::collections::BTreeSet;

use aqueduct_contract::Tenant;
use aqueduct_model::ColumnType;
use aqueduct_views::postgres::select::{Filter, Operator, Select, Sort, check};

use super::cursor::Query;
use super::query::Limit;
use crate::problem::{Code, Problem, Result};

/// Conditions of one request.
const FILTERS: usize = 20;
/// Values of one `in`.
const VALUES: usize = 100;
/// Keys of an order, before the id.
const KEYS: usize = 4;
/// The key that tells all rows of a tenant apart.
const ID: &str = "id";

/// A page that is asked for, and the query that its cursors belong to.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) select: Select,
    pub(crate) query: Query,
    /// What a write returned that the rows must not be older than.
    pub(crate) token: Option<String>,
}

/// Reads `parameters` for a view with these columns.
pub(crate) fn read(
    tenant: &Tenant,
    view: &str,
    columns: &[(&str, ColumnType)],
    parameters: &[(String, String)],
) -> Result<Selection> {
    let mut seen = BTreeSet::new();
    let (mut fields, mut filters, mut sort) = (None, Vec::new(), None);
    let (mut limit, mut cursor, mut token) = (Limit::DEFAULT, None, None);
    let columns = Columns { view, columns };
    for (name, value) in parameters {
        if !seen.insert(name) {
            return Err(refused(name, "it is given more than once"));
        }
        match name.as_str() {
            "limit" => limit = value.parse().map_err(|why: String| refused(name, &why))?,
            "cursor" => cursor = Some(value),
            "token" => token = Some(value.clone()),
            "sort" => sort = Some(columns.sort(name, value)?),
            "fields" => fields = Some(columns.fields(name, value)?),
            _ => filters.push(columns.filter(name, value)?),
        }
    }
    if filters.len() > FILTERS {
        return Err(refused("filter", &format!("{} conditions; {FILTERS} at most", filters.len())));
    }
    filters.sort_by(|a, b| (&a.column, a.operator.name()).cmp(&(&b.column, b.operator.name())));
    let sort = sort.unwrap_or_else(|| columns.sort_by_id(false));
    let asked: Vec<_> = filters.iter().map(|one| (&one.column, one.operator.name(), &one.values)).collect();
    let keys: Vec<_> = sort.iter().map(|key| (&key.column, key.descending)).collect();
    let query = Query::of(&("view", tenant, view, asked, keys));
    let after: Option<Vec<Option<String>>> = cursor.map(|text| query.read(text)).transpose()?;
    if let Some(after) = &after {
        let fits = |(key, value): (&Sort, &Option<String>)| {
            value.as_ref().is_none_or(|value| check_key(key.column_type, value))
        };
        if after.len() != sort.len() || !sort.iter().zip(after).all(fits) {
            return Err(Problem::new(
                Code::CursorInvalid,
                "cursor is none that a page of this view ended with",
            ));
        }
    }
    let fields = fields.unwrap_or_else(|| columns.all());
    let select = Select {
        view: view.to_owned(),
        columns: columns.all(),
        fields,
        filters,
        sort,
        limit: limit.0,
        after,
        own: Vec::new(),
    };
    Ok(Selection { select, query, token })
}

/// A key is as a row shows it. Postgres has decimals that no filter takes; what a forged one holds, it refuses.
fn check_key(column_type: ColumnType, value: &str) -> bool {
    matches!(column_type, ColumnType::Numeric { .. }) && !value.contains('\0')
        || check(column_type, value).is_ok()
}

struct Columns<'a> {
    view: &'a str,
    columns: &'a [(&'a str, ColumnType)],
}

impl Columns<'_> {
    fn all(&self) -> Vec<(String, ColumnType)> {
        self.columns.iter().map(|(name, column_type)| ((*name).to_owned(), *column_type)).collect()
    }

    /// The type of a column of the view.
    fn named(&self, parameter: &str, name: &str) -> Result<ColumnType> {
        if let Some((_, column_type)) = self.columns.iter().find(|(known, _)| *known == name) {
            return Ok(*column_type);
        }
        let known: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        let tenant = if name == "tenant" { "; the tenant is the path's" } else { "" };
        Err(refused(
            parameter,
            &format!("the view {} has no column {name:?}{tenant}; it has {}", self.view, known.join(", ")),
        ))
    }

    fn fields(&self, parameter: &str, value: &str) -> Result<Vec<(String, ColumnType)>> {
        let mut found: Vec<(String, ColumnType)> = Vec::new();
        for name in value.split(',') {
            let column_type = self.named(parameter, name)?;
            if found.iter().all(|(known, _)| known != name) {
                found.push((name.to_owned(), column_type));
            }
        }
        Ok(found)
    }

    fn sort(&self, parameter: &str, value: &str) -> Result<Vec<Sort>> {
        let mut keys: Vec<Sort> = Vec::new();
        for key in value.split(',') {
            let (name, descending) = key.strip_prefix('-').map_or((key, false), |name| (name, true));
            let column_type = self.named(parameter, name)?;
            if column_type == ColumnType::Jsonb {
                return Err(refused(parameter, &format!("{name} is jsonb, which has no order")));
            }
            if keys.iter().any(|key| key.column == name) {
                return Err(refused(parameter, &format!("{name} is given more than once")));
            }
            keys.push(Sort { column: name.to_owned(), column_type, descending });
        }
        if keys.len() > KEYS {
            return Err(refused(parameter, &format!("{} keys; {KEYS} at most", keys.len())));
        }
        // Behind the id nothing is left to order. The id goes the way of the key before, as the index of that column does.
        match keys.iter().position(|key| key.column == ID) {
            Some(at) => keys.truncate(at + 1),
            None => keys.extend(self.sort_by_id(keys.last().is_some_and(|key| key.descending))),
        }
        Ok(keys)
    }

    fn sort_by_id(&self, descending: bool) -> Vec<Sort> {
        vec![Sort { column: ID.to_owned(), column_type: ColumnType::Text, descending }]
    }

    fn filter(&self, parameter: &str, value: &str) -> Result<Filter> {
        let inner = parameter.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']'));
        let Some(inner) = inner else {
            let tenant = if parameter == "tenant" { " (the tenant is the path's)" } else { "" };
            return Err(refused(
                parameter,
                &format!(
                    "there is no such parameter{tenant}; there are limit, cursor, sort, fields, token, \
                     filter[column] and filter[column][operator]"
                ),
            ));
        };
        let (column, operator) = inner.split_once("][").unwrap_or((inner, Operator::Eq.name()));
        let column_type = self.named(parameter, column)?;
        let applicable = || Operator::ALL.into_iter().filter(|known| known.applies_to(column_type));
        let operator = applicable().find(|known| known.name() == operator).ok_or_else(|| {
            let names: Vec<&str> = applicable().map(Operator::name).collect();
            let why = format!(
                "no operator {operator:?} for {column}, which is {column_type}; there are {}",
                names.join(", ")
            );
            refused(parameter, &why)
        })?;
        let checked = |value: &str| check(column_type, value).map_err(|why| refused(parameter, &why));
        let values = match operator {
            Operator::In => list(value).iter().map(|value| checked(value)).collect::<Result<_>>()?,
            Operator::Null if matches!(value, "true" | "false") => vec![value.to_owned()],
            Operator::Null => return Err(refused(parameter, "expected true or false")),
            _ => vec![checked(value)?],
        };
        if values.len() > VALUES {
            return Err(refused(parameter, &format!("{} values; {VALUES} at most", values.len())));
        }
        Ok(Filter { column: column.to_owned(), column_type, operator, values })
    }
}

/// What stands between commas; `\,` is a comma of a value, `\\` a backslash.
fn list(value: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        let kept = match character {
            ',' => {
                values.push(String::new());
                continue;
            }
            '\\' => characters.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(last) = values.last_mut() {
            last.push(kept);
        }
    }
    values
}

/// A parameter that is not understood.
pub(crate) fn refused(parameter: &str, why: &str) -> Problem {
    let shown: String = parameter.chars().take(80).collect();
    Problem::new(Code::QueryInvalid, format!("{shown}: {why}")).with("parameter", shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(&str, ColumnType); 4] = [
        ("id", ColumnType::Text),
        ("status", ColumnType::Text),
        ("total", ColumnType::Numeric { precision: 14, scale: 2 }),
        ("lines", ColumnType::Jsonb),
    ];

    fn read_as(tenant: &str, view: &str, parameters: &[(&str, &str)]) -> Result<Selection> {
        let owned: Vec<_> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(&tenant.parse().unwrap(), view, &COLUMNS, &owned)
    }

    fn order(parameters: &[(&str, &str)]) -> Vec<(String, bool)> {
        let select = read_as("acme", "orders", parameters).unwrap().select;
        select.sort.into_iter().map(|key| (key.column, key.descending)).collect()
    }

    #[test]
    fn an_order_ends_with_the_id() {
        let key = |name: &str, descending| (name.to_owned(), descending);
        assert_eq!(order(&[]), [key("id", false)]);
        assert_eq!(order(&[("sort", "-total")]), [key("total", true), key("id", true)]);
        assert_eq!(order(&[("sort", "-total,id,status")]), [key("total", true), key("id", false)]);
    }

    #[test]
    fn a_list_is_what_stands_between_commas() {
        assert_eq!(list("a,b"), ["a", "b"]);
        assert_eq!(list(r"a\,b,c\\,"), ["a,b", r"c\", ""]);
        assert_eq!(list(""), [""]);
    }

    #[test]
    fn a_cursor_is_of_its_query_alone() {
        let asked = [("filter[status]", "paid"), ("sort", "total")];
        let cursor = read_as("acme", "orders", &asked).unwrap().query.cursor(&["9.50", "o-1"]);
        let with = |tenant, view, mut parameters: Vec<(&'static str, &'static str)>| {
            let cursor: &'static str = cursor.clone().leak();
            parameters.push(("cursor", cursor));
            read_as(tenant, view, &parameters).map(|read| read.select.after).map_err(|problem| problem.code())
        };
        let keys = Some(vec![Some("9.50".to_owned()), Some("o-1".to_owned())]);
        assert_eq!(with("acme", "orders", asked.to_vec()), Ok(keys.clone()));
        let larger = [&asked[..], &[("limit", "7"), ("fields", "id")]].concat();
        assert_eq!(
            with("acme", "orders", larger),
            Ok(keys),
            "a page may have another size and show other fields"
        );
        for (tenant, view, parameters) in [
            ("other", "orders", asked.to_vec()),
            ("acme", "invoices", asked.to_vec()),
            ("acme", "orders", vec![("filter[status]", "open"), ("sort", "total")]),
            ("acme", "orders", vec![("filter[status][ne]", "paid"), ("sort", "total")]),
            ("acme", "orders", vec![("filter[status]", "paid"), ("sort", "-total")]),
            ("acme", "orders", vec![]),
        ] {
            assert_eq!(with(tenant, view, parameters), Err(Code::CursorInvalid));
        }
    }
}
