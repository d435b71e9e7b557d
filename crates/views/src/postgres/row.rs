//! The row that an item becomes.
//!
//! Values are text, as Postgres would be given them in a literal, and cast there: a number arrives with the digits it
//! has in JSON. What cannot be cast is refused by Postgres, which names the row's fault better than a second
//! implementation of its input syntax here could.

mod children;

use std::borrow::Cow;

use aqueduct_contract::RawItem;
use aqueduct_model::{Column, ColumnType, Expression, ExpressionError, Paths, PostgresView, Scope};
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use self::children::ChildMapper;
use crate::{MappingError, condition};

/// One row, its columns as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'i> {
    /// First half of the key.
    pub tenant: &'i str,
    /// Second half of the key, not encoded.
    pub id: &'i str,
    /// What the guard compares.
    pub item_version: i64,
    /// A deleted item's row stays, with null in every column of the view: an older event must not bring it back.
    pub deleted: bool,
    /// When the first version was written.
    pub created_at: Timestamp,
    /// When this version was written.
    pub updated_at: Timestamp,
    /// The view's own columns, in its order.
    pub values: Values<'i>,
    /// For each child table of the view, in its order, the rows by position. A deleted item has none.
    pub children: Vec<Vec<Values<'i>>>,
}

/// The columns that the view gives, as text.
pub type Values<'i> = Vec<Option<Cow<'i, str>>>;

/// Maps items to rows of a view.
#[derive(Clone, Debug)]
pub struct RowMapper {
    columns: Vec<Column>,
    children: Vec<ChildMapper>,
    condition: Option<Expression>,
    /// Of the columns, then of each child table, then of the condition.
    paths: Paths,
    /// Something is more than a path.
    evaluates: bool,
}

impl RowMapper {
    /// The mapper of `view`.
    #[must_use]
    pub fn new(view: &PostgresView) -> RowMapper {
        let columns = view.columns.clone();
        let children: Vec<ChildMapper> = view.children.iter().map(ChildMapper::new).collect();
        let own = columns.iter().map(|column| &column.from);
        let condition = view.condition.clone();
        let of_children = children.iter().flat_map(ChildMapper::expressions);
        let paths = Paths::of(own.clone().chain(of_children).chain(&condition));
        let evaluates = !own.clone().chain(&condition).all(Expression::is_path)
            || children.iter().any(ChildMapper::evaluates);
        RowMapper { columns, children, condition, paths, evaluates }
    }

    /// The row of an item. Nothing is evaluated for a deleted item, and nothing but the condition for one that the view does
    /// not show: its row is that of a deleted one.
    pub fn row<'i>(&self, item: &'i RawItem<'_>) -> Result<Row<'i>, MappingError> {
        let shown = if item.deleted { None } else { self.shown(item)? };
        let deleted = shown.is_none();
        let (values, children) = shown.unwrap_or_else(|| self.nothing());
        Ok(Row {
            tenant: item.key.tenant().as_str(),
            id: item.key.id().as_str(),
            item_version: item.version.as_i64(),
            deleted,
            created_at: item.created_at,
            updated_at: item.updated_at,
            values,
            children,
        })
    }

    fn nothing<'i>(&self) -> Shown<'i> {
        (vec![None; self.columns.len()], vec![Vec::new(); self.children.len()])
    }

    /// `None` of an item that does not meet the condition.
    fn shown<'i>(&self, item: &'i RawItem<'_>) -> Result<Option<Shown<'i>>, MappingError> {
        let unreadable = |error: serde_json::Error| MappingError {
            part: "attributes".to_owned(),
            message: error.to_string(),
        };
        let found = self.paths.look_up(&item.attributes).map_err(unreadable)?;
        let parsed = self.evaluates.then(|| item.parsed()).transpose().map_err(unreadable)?;
        let scope = parsed.as_ref().map(Scope::of);
        if let Some(condition) = &self.condition {
            let given = match &scope {
                Some(scope) => condition.evaluate(scope).map_err(condition::failed)?,
                None => parsed_at(found.last().copied().flatten()).map_err(condition::failed)?,
            };
            if !condition::holds(condition, &given)? {
                return Ok(None);
            }
        }
        let (own, mut of_children) = found.split_at(self.columns.len());
        let values = self.columns.iter().zip(own).map(|(column, found)| {
            let fail = |message: String| MappingError { part: format!("column {}", column.name), message };
            match &scope {
                Some(scope) if !column.from.is_path() => made(column, column.from.evaluate(scope)),
                _ => taken(column, *found),
            }
            .map_err(fail)
        });
        let values = values.collect::<Result<_, _>>()?;
        let mut children = Vec::with_capacity(self.children.len());
        for child in &self.children {
            let (found, others) = of_children.split_at(child.expressions().count());
            of_children = others;
            children.push(child.rows(found, scope.as_ref())?);
        }
        Ok(Some((values, children)))
    }
}

/// The columns of a row, and the rows of each of its child tables.
type Shown<'i> = (Values<'i>, Vec<Vec<Values<'i>>>);

/// The value of a text, null where there is none.
fn parsed_at(found: Option<&RawValue>) -> serde_json::Result<Value> {
    found.map_or(Ok(Value::Null), |found| serde_json::from_str(found.get()))
}

/// The text of a value that stands in the item.
fn taken<'v>(column: &Column, found: Option<&'v RawValue>) -> Result<Option<Cow<'v, str>>, String> {
    match found.map_or(Ok(None), |found| text(column.column_type, found))? {
        None => default(column),
        text => Ok(text),
    }
}

/// The text of a value that an expression made.
fn made<'v>(column: &Column, value: Result<Value, ExpressionError>) -> Result<Option<Cow<'v, str>>, String> {
    match owned(column, &value.map_err(|error| error.to_string())?)? {
        None => default(column),
        text => Ok(text),
    }
}

/// The text of what stands where there is nothing.
fn default<'v>(column: &Column) -> Result<Option<Cow<'v, str>>, String> {
    column.default.as_ref().map_or(Ok(None), |default| owned(column, default))
}

fn owned<'v>(column: &Column, value: &Value) -> Result<Option<Cow<'v, str>>, String> {
    let value = to_raw_value(value).map_err(|error| error.to_string())?;
    let text = text(column.column_type, &value)?;
    Ok(text.map(|text| Cow::Owned(text.into_owned())))
}

fn text(column_type: ColumnType, value: &RawValue) -> Result<Option<Cow<'_, str>>, String> {
    let json = value.get();
    let first = json.bytes().next();
    let text = match column_type {
        _ if first == Some(b'n') => return Ok(None),
        ColumnType::Jsonb => Cow::Borrowed(json),
        _ if first == Some(b'"') => string(json).map_err(|error| error.to_string())?,
        ColumnType::Bigint | ColumnType::Integer => integer(json),
        _ => Cow::Borrowed(json),
    };
    if is_moment(column_type) && !text.bytes().all(is_of_a_moment) {
        return Err(format!("{text:?} is not a date or time in ISO 8601"));
    }
    Ok(Some(text))
}

/// The characters of a JSON string.
fn string(json: &str) -> serde_json::Result<Cow<'_, str>> {
    match json.get(1..json.len() - 1) {
        Some(characters) if !characters.contains('\\') => Ok(Cow::Borrowed(characters)),
        _ => serde_json::from_str(json).map(Cow::Owned),
    }
}

/// `5.0` and `5e0` are the integer 5 in JSON Schema; Postgres would refuse both spellings in a `bigint`.
fn integer(json: &str) -> Cow<'_, str> {
    /// Up to here a double holds every integer exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if json.contains(['.', 'e', 'E'])
        && let Ok(number) = json.parse::<f64>()
        && number.fract() == 0.0
        && number.abs() <= EXACT
    {
        return format!("{number:.0}").into();
    }
    json.into()
}

fn is_moment(column_type: ColumnType) -> bool {
    matches!(column_type, ColumnType::Timestamptz | ColumnType::Date)
}

/// Postgres also reads words there, and `now` or `today` would be another moment in every delivery of the same event.
fn is_of_a_moment(byte: u8) -> bool {
    byte.is_ascii_digit() || b":.+-TtZz ".contains(&byte)
}

#[cfg(test)]
mod tests {
    use aqueduct_contract::{Item, Version};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn view(column_type: &str, from: &str) -> PostgresView {
        let columns = json!([{ "name": "c", "type": column_type, "from": from, "index": false }]);
        serde_json::from_value(json!({ "columns": columns })).unwrap()
    }

    fn item(attributes: Value) -> RawItem<'static> {
        let item = Item {
            key: "acme#ORDER|ORDER#a%7Cb".parse().unwrap(),
            version: Version::try_from(7_u64).unwrap(),
            attributes: attributes.as_object().unwrap().clone(),
            deleted: false,
            created_at: "2026-11-21T13:15:00Z".parse().unwrap(),
            created_by: "ann".into(),
            updated_at: "2026-11-21T13:16:00.25Z".parse().unwrap(),
            updated_by: "ben".into(),
        };
        item.to_raw().unwrap()
    }

    fn row<'i>(view: &PostgresView, item: &'i RawItem<'_>) -> Result<Row<'i>, MappingError> {
        RowMapper::new(view).row(item)
    }

    /// The text that a value becomes in a column of a type.
    fn mapped(column_type: &str, value: Value) -> Option<String> {
        let item = item(json!({ "v": value }));
        row(&view(column_type, "self.v"), &item).unwrap().values.remove(0).map(Cow::into_owned)
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_jsonb_column_holds_the_same_json(value in any_json()) {
            match mapped("jsonb", value.clone()) {
                Some(text) => prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value),
                None => prop_assert_eq!(value, Value::Null),
            }
        }

        #[test]
        fn integers_keep_every_digit(number in any::<i64>(), large in any::<u64>()) {
            for column_type in ["bigint", "integer", "numeric(30,2)", "text", "jsonb"] {
                prop_assert_eq!(mapped(column_type, number.into()), Some(number.to_string()));
                prop_assert_eq!(mapped(column_type, large.into()), Some(large.to_string()));
            }
        }

        #[test]
        fn an_integer_written_as_a_fraction_is_that_integer(number in -(1_i64 << 53)..=(1_i64 << 53)) {
            #[expect(clippy::cast_precision_loss, reason = "exact in this range")]
            let float = number as f64;
            prop_assert_eq!(mapped("bigint", float.into()), Some(number.to_string()));
        }

        #[test]
        fn doubles_are_read_back_the_same(number in any::<f64>().prop_filter("JSON has it", |n| n.is_finite())) {
            let text = mapped("double precision", number.into()).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap(), number);
        }

        #[test]
        fn a_decimal_in_a_string_is_untouched(text in r"-?[0-9]{1,40}(\.[0-9]{1,20})?") {
            prop_assert_eq!(mapped("numeric(30,2)", text.clone().into()), Some(text));
        }

        #[test]
        fn text_is_untouched(text in any::<String>()) {
            prop_assert_eq!(mapped("text", text.clone().into()), Some(text));
        }

        #[test]
        fn every_value_maps_or_is_refused_and_nothing_panics(value in any_json(), column in prop::sample::select(&ColumnType::ALL)) {
            let view = view(&column.to_string(), "self.v");
            let _ = row(&view, &item(json!({ "v": value })));
        }
    }

    #[test]
    fn key_version_and_times_are_the_items() {
        let item = item(json!({ "v": "x" }));
        let row = row(&view("text", "self.v"), &item).unwrap();
        assert_eq!((row.tenant, row.id, row.item_version, row.deleted), ("acme", "a|b", 7, false));
        assert_eq!((row.created_at, row.updated_at), (item.created_at, item.updated_at));
    }

    #[test]
    fn a_deleted_item_has_no_values_and_nothing_is_evaluated() {
        let fails = view("text", "self.absent + 'x'");
        let deleted = RawItem { deleted: true, ..item(json!({})) };
        assert_eq!(row(&fails, &deleted).unwrap().values, [None]);
        let error = row(&fails, &item(json!({}))).unwrap_err();
        assert!(error.to_string().starts_with("column c: "), "{error}");
    }

    #[test]
    fn what_does_not_meet_the_condition_is_as_if_deleted_and_nothing_else_is_evaluated() {
        let mapped = |condition: &str, attributes: Value| {
            let column = json!({ "name": "c", "type": "text", "from": "self.absent + 'x'", "index": false });
            let child = json!({ "name": "l", "each": "self.absent + 'x'", "columns": [column] });
            let view = json!({ "columns": [column], "children": [child], "where": condition });
            let view: PostgresView = serde_json::from_value(view).unwrap();
            let item = item(attributes);
            row(&view, &item)
                .map(|row| (row.deleted, row.values == [None], row.children == [Vec::<Values<'_>>::new()]))
                .map_err(|error| error.to_string())
        };
        for attributes in [json!({}), json!({ "on": null }), json!({ "on": false })] {
            assert_eq!(mapped("self.on", attributes.clone()), Ok((true, true, true)));
            assert_eq!(mapped("self.?on.orValue(false) == true", attributes), Ok((true, true, true)));
        }
        for (condition, on, error) in [
            ("self.on", json!(true), "column c: "),
            ("self.on == 1", json!(1), "column c: "),
            ("self.on", json!("yes"), "where: `self.on` gives \"yes\", which is neither true nor false"),
            ("self.on + 1", json!(1), "where: `self.on + 1` gives 2"),
            ("self.off == 1", json!(1), "where: "),
        ] {
            let refused = mapped(condition, json!({ "on": on })).unwrap_err();
            assert!(refused.starts_with(error), "{condition}: {refused}");
        }
    }

    #[test]
    fn a_default_stands_where_there_is_nothing_and_not_in_a_deleted_row() {
        for (column_type, from, default, expected) in [
            ("text", "self.v", json!("none"), "none"),
            ("numeric(14,2)", "self.?v", json!("0.50"), "0.50"),
            ("integer", "self.v.w", json!(-3), "-3"),
            ("jsonb", "self.v", json!([1, "x"]), r#"[1,"x"]"#),
            ("boolean", "true ? self.?v : null", json!(false), "false"),
        ] {
            let column =
                json!({ "name": "c", "type": column_type, "from": from, "index": false, "default": default });
            let view: PostgresView = serde_json::from_value(json!({ "columns": [column] })).unwrap();
            let empty = item(json!({}));
            assert_eq!(row(&view, &empty).unwrap().values, [Some(expected.into())], "{column_type}");
            let deleted = RawItem { deleted: true, ..empty };
            assert_eq!(row(&view, &deleted).unwrap().values, [None]);
        }
    }

    #[test]
    fn each_element_of_a_list_becomes_a_row_of_the_child_table() {
        let column = |name: &str, column_type: &str, from: &str| json!({ "name": name, "type": column_type, "from": from, "index": false });
        let columns = [
            column("code", "text", "it.code"),
            column("quantity", "integer", "it.quantity"),
            column("customer", "text", "self.customer"),
            column("label", "text", "it.code + ' for ' + self.customer + ' v' + string(version)"),
            column("whole", "jsonb", "it"),
        ];
        let expected = |code: &str, quantity: Option<&str>, whole: &str| {
            let label = format!("{code} for Ann v7");
            [Some(code), quantity, Some("Ann"), Some(&label), Some(whole)].map(|text| text.map(str::to_owned))
        };
        let items = json!([{ "code": "a" }, { "code": "b\"", "quantity": 5.0 }]);
        let item = item(json!({ "customer": "Ann", "items": items }));
        // Cut out of the text, and made by an expression.
        for each in ["self.items", "self.items.filter(i, true)"] {
            let view =
                json!({ "columns": [], "children": [{ "name": "lines", "each": each, "columns": columns }] });
            let view = serde_json::from_value(view).unwrap();
            let rows = [
                expected("a", None, r#"{"code":"a"}"#),
                expected("b\"", Some("5"), r#"{"code":"b\"","quantity":5.0}"#),
            ];
            assert_eq!(
                row(&view, &item).unwrap().children,
                [rows.map(|row| row.map(|text| text.map(Cow::Owned)))]
            );
            let deleted = RawItem { deleted: true, ..item.clone() };
            assert_eq!(RowMapper::new(&view).row(&deleted).unwrap().children, [Vec::<Values<'_>>::new()]);
        }
    }

    #[test]
    fn what_gives_no_list_has_no_rows_or_is_refused() {
        let rows = |each: &str, attributes: Value| {
            let columns = json!([{ "name": "c", "type": "text", "from": "it.a + '!'", "index": false }]);
            let view =
                json!({ "columns": [], "children": [{ "name": "lines", "each": each, "columns": columns }] });
            let view: PostgresView = serde_json::from_value(view).unwrap();
            let item = item(attributes);
            RowMapper::new(&view)
                .row(&item)
                .map(|row| row.children[0].len())
                .map_err(|error| error.to_string())
        };
        for nothing in [json!({}), json!({ "l": null }), json!({ "l": [] })] {
            assert_eq!(rows("self.l", nothing), Ok(0));
        }
        assert_eq!(rows("self.?l", json!({})), Ok(0));
        for each in ["self.l", "true ? self.l : []"] {
            assert_eq!(rows(each, json!({ "l": [{ "a": "x" }] })), Ok(1));
            let refused = rows(each, json!({ "l": { "a": "x" } })).unwrap_err();
            assert!(refused.starts_with("child table lines: ") && refused.contains("list"), "{refused}");
            let refused = rows(each, json!({ "l": [{ "a": "x" }, {}] })).unwrap_err();
            assert!(refused.starts_with("column lines.c of element 1: "), "{refused}");
        }
    }

    #[test]
    fn absent_and_null_are_null() {
        for column_type in ColumnType::ALL.map(String::from) {
            assert_eq!(mapped(&column_type, Value::Null), None, "{column_type}");
            let absent = item(json!({ "v": 1 }));
            assert_eq!(
                row(&view(&column_type, "self.v.w.x"), &absent).unwrap().values,
                [None],
                "{column_type}"
            );
        }
    }

    #[test]
    fn a_moment_is_the_same_at_every_delivery() {
        for moment in [
            "now",
            "today",
            "yesterday",
            "tomorrow",
            "infinity",
            "-infinity",
            "epoch",
            "12:00 today",
            "allballs",
        ] {
            for column_type in ["timestamptz", "date"] {
                let item = item(json!({ "v": moment }));
                assert!(row(&view(column_type, "self.v"), &item).is_err(), "{moment}");
            }
        }
        for moment in
            ["2026-11-21T13:15:00.123456+02:00", "2026-11-21t13:15:00z", "2026-11-21 13:15:00", "2026-11-21"]
        {
            assert_eq!(mapped("timestamptz", moment.into()).as_deref(), Some(moment));
        }
        assert_eq!(mapped("text", "now".into()).as_deref(), Some("now"));
    }
}
