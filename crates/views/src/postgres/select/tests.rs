use super::*;

fn sort(column: &str, column_type: ColumnType, descending: bool) -> Sort {
    Sort { column: column.to_owned(), column_type, descending }
}

fn select(after: Option<Vec<Option<String>>>) -> Select {
    let total = ColumnType::Numeric { precision: 14, scale: 2 };
    let filter = |column: &str, column_type, operator, values: &[&str]| Filter {
        column: column.to_owned(),
        column_type,
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    Select {
        view: "orders".to_owned(),
        fields: vec![("id".to_owned(), ColumnType::Text), ("total".to_owned(), total)],
        filters: vec![
            filter("status", ColumnType::Text, Operator::In, &["paid", "'; DROP TABLE orders; --"]),
            filter("lines", ColumnType::Jsonb, Operator::Contains, &[r#"[{"code": "a"}]"#]),
        ],
        sort: vec![sort("total", total, false), sort("id", ColumnType::Text, false)],
        columns: vec![
            ("id".to_owned(), ColumnType::Text),
            ("item_version".to_owned(), ColumnType::Bigint),
            ("created_at".to_owned(), ColumnType::Timestamptz),
            ("updated_at".to_owned(), ColumnType::Timestamptz),
            ("status".to_owned(), ColumnType::Text),
            ("total".to_owned(), total),
            ("lines".to_owned(), ColumnType::Jsonb),
        ],
        limit: 10,
        after,
        own: Vec::new(),
    }
}

fn statement(select: &Select) -> String {
    let (sql, arguments) = select.statement(&"acme".parse().unwrap()).unwrap();
    format!("{sql}\n{:#?}", arguments.0)
}

#[test]
fn a_page_is_one_statement_with_every_value_a_parameter() {
    insta::assert_snapshot!(statement(&select(None)));
}

#[test]
fn the_page_after_is_a_union_of_ranges() {
    insta::assert_snapshot!(statement(&select(Some(vec![Some("9.50".into()), Some("o-1".into())]))));
}

#[test]
fn after_the_last_null_of_an_ascending_key_come_only_other_nulls() {
    let (sql, _) = select(Some(vec![None, Some("o-1".into())])).statement(&"acme".parse().unwrap()).unwrap();
    assert_eq!(sql.matches("UNION ALL").count(), 0);
    assert!(sql.contains(r#"AND "total" IS NULL AND "id" > $"#), "{sql}");
}

#[test]
fn own_rows_stand_over_those_of_the_view() {
    let row = |id: &str, deleted| OwnRow {
        id: id.into(),
        deleted,
        values: ["o-1", "2", "2026-11-21T13:15:00Z", "2026-11-21T13:16:00Z", "paid", "9.50"]
            .map(|text| Some(text.into()))
            .into_iter()
            .chain([None])
            .collect(),
    };
    let own = Select { own: vec![row("o-1", false), row("o-2", true)], ..select(None) };
    insta::assert_snapshot!(statement(&own));
}

#[test]
fn hostile_names_stay_names() {
    let mut hostile = select(None);
    hostile.view = r#"o"; DROP TABLE x; --"#.to_owned();
    hostile.fields[1].0 = r#"a" FROM secrets; --"#.to_owned();
    let sql = statement(&hostile);
    assert!(sql.contains(r#"FROM "o""; DROP TABLE x; --" t WHERE"#), "{sql}");
    assert!(sql.contains(r#"t."a"" FROM secrets; --""#), "{sql}");
}

#[test]
fn values_are_checked_by_type() {
    for (column_type, good, bad) in [
        (ColumnType::Bigint, "9223372036854775807", "9223372036854775808"),
        (ColumnType::Integer, "-2147483648", "2147483648"),
        (ColumnType::Boolean, "false", "yes"),
        (ColumnType::Numeric { precision: 5, scale: 2 }, "-0012345678.901", "1e5"),
        (ColumnType::Numeric { precision: 5, scale: 2 }, "7", "NaN"),
        (ColumnType::DoublePrecision, "1e-9", "inf"),
        (ColumnType::Timestamptz, "2026-11-21T15:15:00+02:00", "now"),
        (ColumnType::Date, "2026-02-28", "2026-02-30"),
        (ColumnType::Uuid, "0190b6c8-7f3e-7b1a-9a55-0f1e2d3c4b5a", "x"),
        (ColumnType::Jsonb, "[1]", "[1"),
        (ColumnType::Text, "1' OR '1'='1", "nul\0"),
    ] {
        check(column_type, good).unwrap();
        let why = check(column_type, bad).unwrap_err();
        assert!(why.starts_with("expected "), "{why}");
    }
    assert_eq!(
        check(ColumnType::Timestamptz, "2026-11-21T15:15:00+02:00").unwrap(),
        "2026-11-21T13:15:00.000000Z"
    );
}
