//! A generation's table in Postgres against the event store.
//!
//! Expected rows go to Postgres as text and are cast there exactly as sync-rds casts them; Postgres compares. So `1.5`
//! in a `numeric(14,2)` equals the `1.50` that stands, and only keys and verdicts travel back.
//!
//! Child tables are compared each by itself, for all items whose own version is right.
//!
//! Before that, Postgres digests its rows and we digest what they should be; what agrees is not sent at all.

mod children;
mod digests;
mod rendering;

use aqueduct_contract::{Item, ItemKey, RawItem, Tenant, format_time};
use aqueduct_model::{ColumnType, PostgresView};
use aqueduct_views::Generation;
use aqueduct_views::postgres::quote::{QuoteError, identifier};
use aqueduct_views::postgres::{Registry, Row, RowMapper, ddl};
use futures::stream::{self, BoxStream, StreamExt};
use sqlx::{AssertSqlSafe, PgPool, Row as _};

use self::children::Children;
use crate::buckets::{Buckets, Differing, Share};
use crate::difference::Kind;
use crate::{BATCH, Error};

/// One generation of a view in Postgres.
pub(super) struct Table {
    pool: PgPool,
    generation: Generation,
    mapper: RowMapper,
    /// `postgres orders.g1`.
    pub(super) name: String,
    compare: String,
    children: Vec<Children>,
    types: Vec<Vec<ColumnType>>,
    digests: String,
    keys: String,
    keys_after: String,
    removals: Vec<String>,
}

impl Table {
    pub(super) fn new(pool: PgPool, generation: Generation) -> Result<Table, aqueduct_views::Error> {
        let name_error = |source| aqueduct_views::Error::Name { view: generation.view().to_owned(), source };
        let view = generation.definition.postgres.clone().unwrap_or_default();
        let tables = ddl::tables(&generation);
        let children = tables.iter().skip(1).map(Children::new).collect::<Result<_, _>>();
        Ok(Table {
            mapper: RowMapper::new(&view),
            name: Table::name_of(&generation),
            compare: comparison(&ddl::table_name(&generation), &view).map_err(name_error)?,
            children: children.map_err(name_error)?,
            types: digests::types(&tables),
            digests: digests::statement(&tables).map_err(name_error)?,
            keys: digests::keys_statement(&tables).map_err(name_error)?,
            keys_after: keys_after(&ddl::table_name(&generation)).map_err(name_error)?,
            removals: tables.iter().map(removal).collect::<Result<_, _>>().map_err(name_error)?,
            pool,
            generation,
        })
    }

    /// `postgres orders.g1`.
    pub(super) fn name_of(generation: &Generation) -> String {
        format!("postgres {}", generation.sink())
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Every generation as it is registered now.
    pub(super) async fn registered(&self) -> Result<Vec<Generation>, Error> {
        Ok(Registry::new(self.pool.clone()).generations().await?)
    }

    /// What an item should add to its bucket; `None` when that is not known here.
    pub(super) fn expected(&self, item: &RawItem<'_>) -> Option<Share> {
        let row = self.mapper.row(item).ok()?;
        // A tombstone that may have been removed: nobody can say whether it is there.
        if row.deleted && self.generation.may_have_purged(row.updated_at) {
            return Some(Share::default());
        }
        digests::share(&self.types, &row)
    }

    /// Whether the row of an item marks it as deleted; `false` when it can have none.
    pub(super) fn is_tombstone(&self, item: &Item) -> bool {
        item.to_raw().is_ok_and(|item| self.mapper.row(&item).is_ok_and(|row| row.deleted))
    }

    /// Digests of all rows but for tombstones that may have been removed.
    pub(super) async fn digests(&self, tenant: Option<&Tenant>) -> Result<Buckets, Error> {
        digests::of_table(&self.pool, &self.digests, tenant, self.generation.purged_through).await
    }

    pub(super) async fn compare(&self, items: &[Item]) -> Result<Vec<(ItemKey, Kind)>, Error> {
        let mut differences = Vec::new();
        let raw = items.iter().map(|item| item.to_raw().map_err(|source| Error::event(&item.key, source)));
        let items: Vec<RawItem<'_>> = raw.collect::<Result<_, _>>()?;
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

    /// The keys that its tables hold in these buckets, in batches.
    pub(super) fn keys<'a>(
        &'a self,
        tenant: Option<&'a Tenant>,
        buckets: &'a Differing,
    ) -> BoxStream<'a, Result<Vec<ItemKey>, Error>> {
        let pages = stream::try_unfold(None, move |cursor| async move {
            let mut cursor = match cursor {
                Some(cursor) => cursor,
                None => {
                    let mut transaction = digests::begin(&self.pool).await?;
                    let declare = format!("DECLARE keys NO SCROLL CURSOR FOR {}", self.keys);
                    let declare = sqlx::query(AssertSqlSafe(declare)).bind(tenant.map(Tenant::as_str));
                    declare.bind(buckets.numbers()).execute(&mut *transaction).await?;
                    transaction
                }
            };
            let fetch = AssertSqlSafe(format!("FETCH {BATCH} FROM keys"));
            let page: Vec<(String, String)> = sqlx::query_as(fetch).fetch_all(&mut *cursor).await?;
            let keys = page.iter().map(|(tenant, id)| self.key(tenant, id)).collect::<Result<Vec<_>, _>>()?;
            Ok((!keys.is_empty()).then_some((keys, Some(cursor))))
        });
        pages.boxed()
    }

    /// At most `limit` keys of its own table, by the index of the key: those after `place`, and from the first when there are no
    /// more.
    pub(super) async fn keys_after(
        &self,
        place: Option<&ItemKey>,
        limit: usize,
    ) -> Result<Vec<ItemKey>, Error> {
        let mut found = Vec::new();
        for place in [place.map_or(("", ""), |key| (key.tenant().as_str(), key.id().as_str())), ("", "")] {
            let rest = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let query = sqlx::query_as(AssertSqlSafe(self.keys_after.as_str()));
            let query = query.bind(place.0).bind(place.1).bind(rest);
            let page: Vec<(String, String)> = query.fetch_all(&self.pool).await?;
            for (tenant, id) in page {
                found.push(self.key(&tenant, &id)?);
            }
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    pub(super) async fn remove(&self, keys: &[&ItemKey]) -> Result<(), Error> {
        let tenants: Vec<&str> = keys.iter().map(|key| key.tenant().as_str()).collect();
        let ids: Vec<&str> = keys.iter().map(|key| key.id().as_str()).collect();
        let mut transaction = self.pool.begin().await?;
        for removal in &self.removals {
            let query = sqlx::query(AssertSqlSafe(removal.as_str())).bind(&tenants).bind(&ids);
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    fn key(&self, tenant: &str, id: &str) -> Result<ItemKey, Error> {
        let stranger = || Error::Stranger { read_model: self.name.clone(), key: format!("({tenant}, {id})") };
        let (Ok(tenant), Ok(id)) = (tenant.parse(), id.parse()) else { return Err(stranger()) };
        ItemKey::new(tenant, self.generation.definition.type_name.clone(), id).map_err(|_| stranger())
    }
}

fn not_mappable(item: &RawItem<'_>, reason: String) -> (ItemKey, Kind) {
    (item.key.clone(), Kind::NotMappable { reason })
}

/// Errors of classes 22 (data exception) and 23 (integrity constraint).
fn is_of_the_data(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Removes the rows of the items `$1`, `$2`.
fn removal(table: &ddl::Table<'_>) -> Result<String, QuoteError> {
    let table = identifier(&table.name)?;
    Ok(format!("DELETE FROM {table} WHERE (tenant, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))"))
}

/// The first `$3` keys after the item `$1`, `$2`.
fn keys_after(table: &str) -> Result<String, QuoteError> {
    let table = identifier(table)?;
    Ok(format!("SELECT tenant, id FROM {table} WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3"))
}

/// One row for each expected row that the table does not hold: its place, the version found, and the columns that
/// differ. Parameters as in [`Table::compare_rows`].
fn comparison(table: &str, view: &PostgresView) -> Result<String, QuoteError> {
    let table = identifier(table)?;
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
