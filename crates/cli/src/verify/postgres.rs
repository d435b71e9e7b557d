//! A generation's table in Postgres against the event store.
//!
//! Expected rows go to Postgres as text and are cast there exactly as sync-rds casts them; Postgres compares. So `1.5`
//! in a `numeric(14,2)` equals the `1.50` that stands, and only keys and verdicts travel back.
//!
//! Child tables are compared each by itself, for all items whose own version is right.

mod children;

use aqueduct_contract::{Item, ItemKey, RawItem, format_time};
use aqueduct_model::PostgresView;
use aqueduct_views::Generation;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Row, RowMapper, ddl};
use futures::stream::{self, Stream};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use self::children::Children;
use super::difference::Kind;

/// One generation of a view in Postgres.
pub(super) struct Table {
    pool: PgPool,
    generation: Generation,
    mapper: RowMapper,
    /// `postgres orders.g1`.
    pub(super) name: String,
    compare: String,
    children: Vec<Children>,
    page: String,
}

impl Table {
    pub(super) fn new(pool: PgPool, generation: Generation) -> Result<Table, QuoteError> {
        let view = generation.definition.postgres.clone().unwrap_or_default();
        let table = identifier(&ddl::table_name(&generation))?;
        let name = format!("postgres {}", generation.sink());
        let compare = comparison(&table, &view)?;
        let tables = ddl::tables(&generation);
        let children = tables.iter().skip(1).map(Children::new).collect::<Result<_, _>>()?;
        let page = page(&tables)?;
        let mapper = RowMapper::new(&view);
        Ok(Table { pool, generation, mapper, name, compare, children, page })
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(super) async fn compare(&self, items: &[Item]) -> anyhow::Result<Vec<(ItemKey, Kind)>> {
        let mut differences = Vec::new();
        let items: Vec<RawItem<'_>> = items.iter().map(Item::to_raw).collect::<Result<_, _>>()?;
        let mut expected: Vec<(&RawItem<'_>, Row<'_>)> = Vec::with_capacity(items.len());
        for item in &items {
            match self.mapper.row(item) {
                Ok(row) => expected.push((item, row)),
                Err(error) => differences.push(not_mappable(item, error.to_string())),
            }
        }
        // A row that Postgres cannot cast fails the statement it is in: halve until it stands alone.
        let mut waiting = vec![expected.as_slice()];
        while let Some(part) = waiting.pop() {
            match self.compare_rows(part).await {
                Ok(found) => differences.extend(found),
                Err(sqlx::Error::Database(error)) if is_of_the_data(error.as_ref()) => match part {
                    [(item, _)] => differences.push(not_mappable(item, error.to_string())),
                    _ => {
                        let (left, right) = part.split_at(part.len() / 2);
                        waiting.extend([left, right]);
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(differences)
    }

    async fn compare_rows(
        &self,
        expected: &[(&RawItem<'_>, Row<'_>)],
    ) -> Result<Vec<(ItemKey, Kind)>, sqlx::Error> {
        if expected.is_empty() {
            return Ok(vec![]);
        }
        let rows = || expected.iter().map(|(_, row)| row);
        let mut query = sqlx::query(AssertSqlSafe(self.compare.as_str()))
            .bind(rows().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(rows().map(|row| row.id).collect::<Vec<_>>())
            .bind(rows().map(|row| row.item_version).collect::<Vec<_>>())
            .bind(rows().map(|row| row.deleted).collect::<Vec<_>>())
            .bind(rows().map(|row| format_time(row.created_at)).collect::<Vec<_>>())
            .bind(rows().map(|row| format_time(row.updated_at)).collect::<Vec<_>>());
        for column in 0..expected[0].1.values.len() {
            query = query.bind(rows().map(|row| row.values[column].as_deref()).collect::<Vec<_>>());
        }
        let mut differences = Vec::new();
        for found in query.fetch_all(&self.pool).await? {
            let place: i64 = found.try_get("place")?;
            let Some((item, _)) = usize::try_from(place - 1).ok().and_then(|place| expected.get(place))
            else {
                continue;
            };
            let kind = match found.try_get::<Option<i64>, _>("item_version")? {
                None => Kind::Missing { expected: item.version },
                Some(version) if version != item.version.as_i64() => {
                    Kind::Version { expected: item.version, found: version }
                }
                Some(_) => Kind::Value { fields: found.try_get("fields")? },
            };
            differences.push((item.key.clone(), kind));
        }
        for child in 0..self.children.len() {
            self.compare_children(child, expected, &mut differences).await?;
        }
        Ok(differences)
    }

    /// Adds the items whose rows in a child table differ.
    async fn compare_children(
        &self,
        child: usize,
        expected: &[(&RawItem<'_>, Row<'_>)],
        differences: &mut Vec<(ItemKey, Kind)>,
    ) -> Result<(), sqlx::Error> {
        let children = &self.children[child];
        for place in children.differing(&self.pool, expected.iter().map(|(_, row)| row), child).await? {
            let Some((item, _)) = expected.get(place) else { continue };
            let known = differences.iter_mut().find(|(key, _)| *key == item.key);
            match known.map(|(_, kind)| kind) {
                Some(Kind::Value { fields }) => fields.push(children.name.clone()),
                Some(_) => {}
                None => {
                    let fields = vec![children.name.clone()];
                    differences.push((item.key.clone(), Kind::Value { fields }));
                }
            }
        }
        Ok(())
    }

    /// The keys that its tables hold, in batches, by the order of their primary keys.
    pub(super) fn keys(&self) -> impl Stream<Item = anyhow::Result<Vec<ItemKey>>> + '_ {
        let start = Some((String::new(), String::new()));
        stream::try_unfold(start, move |position| async move {
            let Some((tenant, id)) = position else { return Ok(None) };
            let query = sqlx::query_as::<_, (String, String)>(AssertSqlSafe(self.page.as_str()));
            let limit = i64::try_from(super::BATCH).unwrap_or(i64::MAX);
            let page = query.bind(tenant).bind(id).bind(limit).fetch_all(&self.pool).await?;
            let keys = page.iter().map(|(tenant, id)| {
                let type_name = self.generation.definition.type_name.clone();
                Ok(ItemKey::new(tenant.parse()?, type_name, id.parse()?)?)
            });
            let keys = keys.collect::<anyhow::Result<Vec<_>>>()?;
            Ok((!page.is_empty()).then(|| (keys, page.last().cloned())))
        })
    }
}

fn not_mappable(item: &RawItem<'_>, reason: String) -> (ItemKey, Kind) {
    (item.key.clone(), Kind::NotMappable { reason })
}

/// Errors of classes 22 (data exception) and 23 (integrity constraint).
fn is_of_the_data(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// The next keys after a key. An item without a row of its own may have some in a child table.
fn page(tables: &[ddl::Table<'_>]) -> Result<String, QuoteError> {
    let of = |table: &ddl::Table<'_>| {
        Ok(format!(
            "(SELECT DISTINCT tenant, id FROM {} WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3)",
            identifier(&table.name)?
        ))
    };
    let all = tables.iter().map(of).collect::<Result<Vec<_>, QuoteError>>()?;
    Ok(format!("SELECT tenant, id FROM ({}) k ORDER BY tenant, id LIMIT $3", all.join(" UNION ")))
}

/// One row for each expected row that the table does not hold: its place, the version found, and the columns that
/// differ. Parameters as in [`Table::compare_rows`].
fn comparison(table: &str, view: &PostgresView) -> Result<String, QuoteError> {
    let own = ["text", "text", "bigint", "boolean", "text", "text"].map(str::to_owned);
    let parameters = own.into_iter().chain(view.columns.iter().map(|_| "text".to_owned()));
    let arrays: Vec<String> = parameters.enumerate().map(|(n, of)| format!("${}::{of}[]", n + 1)).collect();
    let aliases: Vec<String> = (0..view.columns.len()).map(|n| format!("c{n}")).collect();
    let mut compared = vec![
        ("deleted".to_owned(), "e.deleted".to_owned()),
        ("created_at".to_owned(), "e.created_at::timestamptz".to_owned()),
        ("updated_at".to_owned(), "e.updated_at::timestamptz".to_owned()),
    ];
    for (column, alias) in view.columns.iter().zip(&aliases) {
        compared.push((column.name.clone(), format!("e.{alias}::{}", column.column_type)));
    }
    let differing = compared
        .iter()
        .map(|(column, expected)| {
            let quoted = identifier(column)?;
            let name = aqueduct_views::postgres::quote::literal(column)?;
            Ok(format!("CASE WHEN t.{quoted} IS DISTINCT FROM {expected} THEN {name} END"))
        })
        .collect::<Result<Vec<_>, QuoteError>>()?;
    let names: String = aliases.iter().map(|alias| format!(", {alias}")).collect();
    Ok(format!(
        "SELECT place, item_version, fields FROM (
           SELECT e.place, t.item_version, e.item_version AS expected,
                  array_remove(ARRAY[{}]::text[], NULL) AS fields
           FROM unnest({}) WITH ORDINALITY
                AS e(tenant, id, item_version, deleted, created_at, updated_at{names}, place)
           LEFT JOIN {table} t ON t.tenant = e.tenant AND t.id = e.id
         ) compared
         WHERE item_version IS DISTINCT FROM expected OR cardinality(fields) > 0
         ORDER BY place",
        differing.join(", "),
        arrays.join(", "),
    ))
}
