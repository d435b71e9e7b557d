//! A child table of a generation against what the items of a batch map to.

use aqueduct_views::postgres::Row;
use aqueduct_views::postgres::ddl::Table;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use sqlx::{AssertSqlSafe, PgPool};

/// One child table.
pub(super) struct Children {
    /// `order_items`.
    pub(super) name: String,
    compare: String,
    columns: usize,
}

impl Children {
    pub(super) fn new(table: &Table<'_>) -> Result<Children, QuoteError> {
        let (mut arrays, mut aliases, mut differs) = (String::new(), String::new(), String::new());
        for (index, column) in table.columns.iter().enumerate() {
            arrays.push_str(&format!(", ${}::text[]", index + 6));
            aliases.push_str(&format!(", c{index}"));
            let (name, of) = (identifier(&column.name)?, column.column_type);
            differs.push_str(&format!(" OR t.{name} IS DISTINCT FROM e.c{index}::{of}"));
        }
        let compare = format!(
            // Names with a `#`, which no column of a model has.
            r##"WITH k AS (
               SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
                 WITH ORDINALITY AS k(tenant, id, "#version", "#place")
             ), t AS (
               SELECT k."#place", k."#version", t.* FROM k JOIN {} t ON t.tenant = k.tenant AND t.id = k.id
             ), e AS (
               SELECT * FROM unnest($4::bigint[], $5::int[]{arrays}) AS e(place, position{aliases})
             )
             SELECT DISTINCT coalesce(t."#place", e.place) - 1
             FROM t FULL JOIN e ON e.place = t."#place" AND e.position = t.position
             WHERE t."#place" IS NULL OR e.place IS NULL OR t.item_version <> t."#version"{differs}
             ORDER BY 1"##,
            identifier(&table.name)?
        );
        Ok(Children { name: table.public.to_owned(), compare, columns: table.columns.len() })
    }

    /// The places of the rows whose children, those of the `child`th table, are not in the table.
    pub(super) async fn differing<'r>(
        &self,
        pool: &PgPool,
        rows: impl Iterator<Item = &'r Row<'r>> + Clone,
        child: usize,
    ) -> Result<Vec<usize>, sqlx::Error> {
        let mut query = sqlx::query_scalar(AssertSqlSafe(self.compare.as_str()))
            .bind(rows.clone().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(rows.clone().map(|row| row.id).collect::<Vec<_>>())
            .bind(rows.clone().map(|row| row.item_version).collect::<Vec<_>>());
        let of_all = || {
            (1_i64..).zip(rows.clone()).flat_map(|(place, row)| {
                let numbered = (0_i32..).zip(row.children.get(child).into_iter().flatten());
                numbered.map(move |(position, values)| (place, position, values))
            })
        };
        query = query
            .bind(of_all().map(|(place, ..)| place).collect::<Vec<_>>())
            .bind(of_all().map(|(_, position, _)| position).collect::<Vec<_>>());
        for index in 0..self.columns {
            query = query.bind(of_all().map(|(.., values)| values[index].as_deref()).collect::<Vec<_>>());
        }
        let places: Vec<i64> = query.fetch_all(pool).await?;
        Ok(places.into_iter().filter_map(|place| usize::try_from(place).ok()).collect())
    }
}
