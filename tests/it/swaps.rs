//! A swap: readers see one whole generation or the other, and what is in the way of one is said.

mod killed;

use std::collections::BTreeMap;
use std::time::Duration;

use ::opensearch::http::Method;
use anyhow::{Context, Result, ensure};
use aqueduct_cli::swap::{Store, level, swap};
use aqueduct_contract::{Names, Worker};
use aqueduct_service::Settings;
use aqueduct_store::{Letters, topics};
use aqueduct_tests::{PATIENCE, eventually, unique};
use aqueduct_views::{Error, Generation, Patience, Reason, State, definition, opensearch, postgres};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::following::{Shop, live};
use crate::sync::{ORDER, model, settings};
use crate::views::{http, names, pool, registry, scalar, sql};

const SHORT: Patience = Patience { before: Duration::from_secs(1), held: Duration::from_secs(3) };

/// The view `orders` in both registries, live at generation 1 and loaded, empty, at generation 2.
struct Stage {
    settings: Settings,
    pool: PgPool,
    postgres: postgres::Registry,
    opensearch: opensearch::Registry,
    table: Generation,
    index: Generation,
}

impl Stage {
    async fn set_up() -> Stage {
        let settings = settings().await;
        let (postgres, opensearch) = (postgres::Registry::new(pool(&settings)), registry(&settings));
        let orders = model(&[ORDER]);
        aqueduct_views::setup(&orders, &names(&settings), &settings.postgres, &settings.opensearch)
            .await
            .unwrap();
        let of = orders.types().next().unwrap();
        let begun = postgres.begin(&definition::in_postgres(&of.views[0]).unwrap()).await.unwrap();
        let table = postgres.finish_load(&begun).await.unwrap();
        let begun = opensearch.begin(&definition::in_opensearch(of, &of.views[0]).unwrap()).await.unwrap();
        let index = opensearch.finish_load(&begun).await.unwrap();
        Stage { pool: pool(&settings), postgres, opensearch, table, index, settings }
    }

    async fn swap_table(&self, patience: Patience) -> Result<(), Error> {
        self.postgres.swap(&self.table, Reason::Swap, patience, async { Ok(()) }).await
    }

    /// Begins a swap in OpenSearch and goes away once writes are blocked.
    async fn dies_while_it_holds(&self, patience: Patience) {
        let (reached, reach) = tokio::sync::oneshot::channel();
        let level = async {
            reached.send(()).unwrap();
            std::future::pending().await
        };
        tokio::select! {
            ended = self.opensearch.swap(&self.index, Reason::Swap, patience, level) => panic!("{ended:?}"),
            reached = reach => reached.unwrap(),
        }
    }

    async fn sql(&self, statement: &str) {
        sql(&self.settings, statement).await;
    }

    async fn text(&self, query: &str) -> String {
        scalar(&self.settings, query).await.as_str().unwrap_or_default().to_owned()
    }

    /// State by number.
    async fn tables(&self) -> Vec<(u32, State)> {
        states(&self.postgres.generations().await.unwrap())
    }

    async fn indexes(&self) -> Vec<(u32, State)> {
        states(&self.opensearch.generations().await.unwrap())
    }

    async fn is_blocked(&self, index: &str) -> bool {
        let (_, found) = http(&self.settings, Method::Get, &format!("{{}}{index}/_settings"), None).await;
        let index = format!("{}{index}", self.settings.opensearch.index_prefix);
        found[index]["settings"]["index"]["blocks"]["write"] == "true"
    }

    /// The indexes that searches of `orders` find.
    async fn shown(&self) -> Vec<String> {
        let (_, found) = http(&self.settings, Method::Get, "{}orders/_alias", None).await;
        found.as_object().unwrap().keys().map(|index| index.rsplit('-').next().unwrap().to_owned()).collect()
    }
}

fn states(generations: &[Generation]) -> Vec<(u32, State)> {
    generations.iter().map(|one| (one.number, one.state)).collect()
}

const BEFORE: [(u32, State); 2] = [(1, State::Live), (2, State::Building)];
const AFTER: [(u32, State); 2] = [(1, State::Previous), (2, State::Live)];

#[tokio::test]
async fn what_was_given_to_a_view_survives_its_swap() {
    let stage = Stage::set_up().await;
    let (owner, reader, clerk) = (unique(), unique(), unique());
    let made = format!(
        "CREATE ROLE {owner}; CREATE ROLE {reader}; CREATE ROLE {clerk}; GRANT CREATE ON SCHEMA public TO {owner}; \
         ALTER VIEW orders OWNER TO {owner}; GRANT SELECT ON orders__g1 TO {owner}; \
         GRANT SELECT ON orders TO {reader} WITH GRANT OPTION; GRANT SELECT ON orders TO PUBLIC; \
         GRANT SELECT (id, total) ON orders TO {clerk}; REVOKE DELETE ON orders FROM {owner}; \
         ALTER VIEW orders SET (security_barrier = true); COMMENT ON VIEW orders IS 'It''s ours \\ really'; \
         COMMENT ON COLUMN orders.total IS 'with tax'; \
         ALTER DEFAULT PRIVILEGES GRANT UPDATE ON TABLES TO {clerk}"
    );
    stage.sql(&made).await;
    let given = "SELECT concat_ws(' | ', relowner::regrole, \
        (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(relacl) a), reloptions, \
        obj_description(c.oid, 'pg_class'), \
        (SELECT string_agg(concat_ws(' ', attname, attacl, col_description(c.oid, attnum)), ', ' ORDER BY attnum) \
         FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)) FROM pg_class c WHERE c.oid = 'orders'::regclass";
    let before = stage.text(given).await;
    assert!(before.contains("security_barrier=true") && before.contains("with tax"), "{before}");
    stage.swap_table(SHORT).await.unwrap();
    assert_eq!(stage.text(given).await, before);
    assert_eq!(stage.tables().await, AFTER);
    let shown = "SELECT pg_get_viewdef('orders'::regclass)";
    assert!(stage.text(shown).await.contains("orders__g2"));
    let owner_may = format!("SELECT has_table_privilege('{owner}', 'orders__g2', 'SELECT')::text");
    assert_eq!(stage.text(&owner_may).await, "true", "the view is read with its owner's privileges");

    let to = &stage.postgres.generations().await.unwrap()[0];
    stage.postgres.swap(to, Reason::Rollback, SHORT, async { Ok(()) }).await.unwrap();
    assert_eq!(stage.text(given).await, before);
    assert!(stage.text(shown).await.contains("orders__g1"));
    let history = stage.postgres.history(Some("orders")).await.unwrap();
    let whys: Vec<&str> = history.iter().map(|change| change.why.as_str()).collect();
    assert_eq!(whys, ["registered", "begun", "loaded", "swap", "swap", "rollback", "rollback"]);
}

#[tokio::test]
async fn what_depends_on_a_view_refuses_its_swap_with_a_list() {
    let stage = Stage::set_up().await;
    stage
        .sql(
            "CREATE VIEW paid AS SELECT id FROM orders WHERE paid; CREATE MATERIALIZED VIEW days AS SELECT day FROM orders; \
             CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER stopped INSTEAD OF INSERT ON orders FOR EACH ROW EXECUTE FUNCTION nothing()",
        )
        .await;
    let refused = stage.swap_table(SHORT).await.unwrap_err();
    let Error::Dependants { found, .. } = &refused else { panic!("{refused}") };
    assert_eq!(found, &["materialized view days", "trigger stopped on view orders", "view paid"]);
    assert!(refused.to_string().contains("view paid"), "{refused}");
    assert_eq!(stage.tables().await, BEFORE);
    stage.sql("DROP VIEW paid; DROP MATERIALIZED VIEW days; DROP TRIGGER stopped ON orders").await;

    stage.sql("ALTER TABLE orders__g1 ENABLE ROW LEVEL SECURITY").await;
    let refused = stage.swap_table(SHORT).await.unwrap_err();
    assert!(refused.to_string().contains("has no row security on"), "{refused}");
    stage.sql("ALTER TABLE orders__g2 ENABLE ROW LEVEL SECURITY").await;
    stage.swap_table(SHORT).await.unwrap();
}

#[tokio::test]
async fn a_transaction_from_before_delays_the_swap_and_is_named() {
    let stage = Stage::set_up().await;
    let mut old = PgConnection::connect(&stage.settings.postgres.url).await.unwrap();
    let mut reading = old.begin().await.unwrap();
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *reading).await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *reading).await.unwrap();
    let refused = stage.swap_table(SHORT).await.unwrap_err();
    let Error::Reading { sessions } = &refused else { panic!("{refused}") };
    assert!(sessions[0].starts_with(&pid.to_string()), "{sessions:?}");
    assert_eq!(stage.tables().await, BEFORE);

    let waiting = Patience { before: Duration::from_secs(30), ..SHORT };
    let (swapped, ()) = tokio::join!(stage.swap_table(waiting), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        reading.commit().await.unwrap();
    });
    swapped.unwrap();
    assert_eq!(stage.tables().await, AFTER);
}

#[tokio::test]
async fn a_reader_that_holds_the_view_refuses_the_swap_and_readers_go_on() {
    let stage = Stage::set_up().await;
    let mut one = PgConnection::connect(&stage.settings.postgres.url).await.unwrap();
    let mut reading = one.begin().await.unwrap();
    sqlx::raw_sql("SELECT FROM orders").execute(&mut *reading).await.unwrap();
    let (refused, ()) = tokio::join!(stage.swap_table(SHORT), async {
        for _ in 0..20 {
            let read = sqlx::raw_sql("SELECT FROM orders").execute(&stage.pool);
            tokio::time::timeout(Duration::from_secs(2), read)
                .await
                .expect("readers wait for moments")
                .unwrap();
        }
    });
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    assert_eq!(stage.tables().await, BEFORE);
    drop(reading);
    one.close().await.unwrap();
    stage.swap_table(SHORT).await.unwrap();
}

#[tokio::test]
async fn what_is_not_loaded_or_is_retired_is_not_swapped_to_and_the_live_is_not_retired() {
    let stage = Stage::set_up().await;
    let all = stage.postgres.generations().await.unwrap();
    let refused = stage.postgres.swap(&all[0], Reason::Swap, SHORT, async { Ok(()) }).await.unwrap_err();
    assert_eq!(refused.to_string(), "generation 1 of the view orders is live already");
    let refused = stage.postgres.retire(&all[0]).await.unwrap_err();
    assert!(refused.to_string().contains("is live: swap to another one first"), "{refused}");
    let refused = stage.opensearch.retire(&stage.index).await.unwrap_err();
    assert!(refused.to_string().contains("only one that was live is retired"), "{refused}");

    stage.swap_table(SHORT).await.unwrap();
    stage.postgres.retire(&all[0]).await.unwrap();
    stage.postgres.drop_retired(&all[0]).await.unwrap();
    stage.postgres.drop_retired(&all[0]).await.unwrap();
    assert_eq!(scalar(&stage.settings, "SELECT to_regclass('orders__g1') IS NULL").await, true);
    let refused = stage.postgres.swap(&all[0], Reason::Rollback, SHORT, async { Ok(()) }).await.unwrap_err();
    assert!(refused.to_string().contains("is retired"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_without_a_worker_says_so_and_the_live_generation_goes_on() {
    let stage = Stage::set_up().await;
    let names = Names::new(&stage.settings.prefix);
    topics::ensure(&stage.settings.kafka, &names, [(&"ORDER".parse().unwrap(), 1)]).await.unwrap();
    let producer: rdkafka::producer::FutureProducer = stage.settings.kafka.client_config().create().unwrap();
    let topic = names.events_topic(&"ORDER".parse().unwrap());
    let record = rdkafka::producer::FutureRecord::to(&topic).key("k").payload("{}");
    producer.send(record, Duration::from_secs(10)).await.unwrap();

    let bar = ProgressBar::hidden();
    for (store, to) in [(Store::Postgres, &stage.table), (Store::OpenSearch, &stage.index)] {
        let refused = swap(&stage.settings, store, to, Reason::Swap, SHORT, &bar).await.unwrap_err();
        let text = format!("{refused:#}");
        assert!(text.contains("1 records behind") && text.contains("has no members"), "{text}");
    }
    // The same once writes are held up.
    let held = level(&stage.settings, Store::Postgres, &stage.table, SHORT.held, &bar);
    let refused = stage.postgres.swap(&stage.table, Reason::Swap, SHORT, held).await.unwrap_err();
    assert!(matches!(refused, Error::Behind { .. }), "{refused}");
    let held = level(&stage.settings, Store::OpenSearch, &stage.index, SHORT.held, &bar);
    let refused = stage.opensearch.swap(&stage.index, Reason::Swap, SHORT, held).await.unwrap_err();
    assert!(matches!(refused, Error::Behind { .. }), "{refused}");

    assert_eq!((stage.tables().await, stage.indexes().await), (BEFORE.to_vec(), BEFORE.to_vec()));
    assert!(!stage.is_blocked("orders-g1").await);
    assert_eq!(stage.shown().await, ["g1"]);
    let written = "SET lock_timeout = '1s'; INSERT INTO orders__g1 (tenant, id, item_version, deleted, created_at, updated_at) \
                   VALUES ('a', 'b', 1, false, now(), now())";
    stage.sql(written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_in_opensearch_that_dies_is_cleared_away_and_can_be_done_again() {
    let stage = Stage::set_up().await;
    let orders = model(&[ORDER]);
    let dies = Patience { held: Duration::from_secs(2), ..SHORT };
    let alias = async |from: &str| {
        let (_, found) = http(&stage.settings, Method::Get, &format!("{{}}{from}/_alias"), None).await;
        let index = format!("{}{from}", stage.settings.opensearch.index_prefix);
        let aliases = found[index]["aliases"].as_object().unwrap().clone();
        aliases.keys().find(|alias| alias.contains("-swap-")).cloned()
    };
    // While writes are held up.
    stage.dies_while_it_holds(dies).await;
    assert!(stage.is_blocked("orders-g1").await && alias("orders-g1").await.is_some());
    let second = stage.opensearch.swap(&stage.index, Reason::Swap, dies, async { Ok(()) }).await.unwrap_err();
    assert!(matches!(second, Error::Swapping { .. }), "{second}");
    eventually("a worker clears it away", PATIENCE, async || {
        stage.opensearch.look(&orders).await.unwrap();
        (!stage.is_blocked("orders-g1").await).then_some(())
    })
    .await;
    assert_eq!((stage.indexes().await, alias("orders-g1").await), (BEFORE.to_vec(), None));
    assert_eq!(stage.shown().await, ["g1"]);

    // After searches were switched, before the registry says so.
    stage.dies_while_it_holds(dies).await;
    let prefix = &stage.settings.opensearch.index_prefix;
    let fence = alias("orders-g1").await.unwrap();
    let switched = json!({ "actions": [
        { "remove": { "index": format!("{prefix}orders-g1"), "alias": fence, "must_exist": true } },
        { "remove": { "index": format!("{prefix}orders-g1"), "alias": format!("{prefix}orders") } },
        { "add": { "index": format!("{prefix}orders-g2"), "alias": format!("{prefix}orders"),
                   "filter": { "term": { "deleted": false } } } },
    ] });
    assert_eq!(http(&stage.settings, Method::Post, "_aliases", Some(switched.clone())).await.0, 200);
    stage.opensearch.ensure(&orders).await.unwrap();
    assert_eq!(stage.shown().await, ["g2"], "a worker that starts puts nothing back");
    eventually("a worker finishes it", PATIENCE, async || {
        stage.opensearch.look(&orders).await.unwrap();
        (stage.indexes().await == AFTER).then_some(())
    })
    .await;
    assert!(!stage.is_blocked("orders-g1").await);
    assert_eq!(
        http(&stage.settings, Method::Post, "_aliases", Some(switched)).await.0,
        404,
        "the fence is gone"
    );

    let back = &stage.opensearch.generations().await.unwrap()[0];
    stage.opensearch.swap(back, Reason::Rollback, SHORT, async { Ok(()) }).await.unwrap();
    assert_eq!(stage.shown().await, ["g1"]);
    assert_eq!(stage.indexes().await, [(1, State::Live), (2, State::Previous)]);
}

async fn letters(shop: &Shop) -> Result<Vec<String>> {
    let settings = &shop.fleet.settings;
    let letters = Letters::new(settings.dynamodb.connect().await, &Names::new(&settings.prefix));
    Ok(letters.all().map_ok(|filed| filed.letter.code).try_collect().await?)
}

/// What one look at the public names shows: by item its version and which generation wrote it.
async fn look(shop: &Shop, store: Store) -> Result<BTreeMap<String, (i64, bool)>> {
    let is_new = |name: &str| name.starts_with("new ");
    if store == Store::Postgres {
        let rows: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT id, item_version, name FROM products").fetch_all(&shop.pool).await?;
        let count = rows.len();
        let found: BTreeMap<_, _> =
            rows.into_iter().map(|(id, version, name)| (id, (version, is_new(&name)))).collect();
        ensure!(found.len() == count, "a row twice");
        return Ok(found);
    }
    let settings = &shop.fleet.settings.opensearch;
    let url = format!("{}/{}products/_search?size=1000", settings.url, settings.index_prefix);
    let found: Value = shop.http.get(url).send().await?.error_for_status()?.json().await?;
    let hits = found["hits"]["hits"].as_array().context("hits")?;
    let read = |hit: &Value| {
        let source = &hit["_source"];
        let generation = hit["_index"].as_str().unwrap_or_default().ends_with("-g2");
        (
            source["id"].as_str().unwrap_or_default().to_owned(),
            (source["item_version"].as_i64().unwrap_or_default(), generation),
        )
    };
    let items: BTreeMap<_, _> = hits.iter().map(read).collect();
    ensure!(items.len() == hits.len(), "a document twice");
    Ok(items)
}

/// Looks without pause until `stop`: nothing is missing, older than before, or of two generations. Returns how often.
async fn watch(shop: &Shop, store: Store, stop: &CancellationToken) -> Result<(usize, usize)> {
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    let (mut looks, mut switches, mut last) = (0, 0, None);
    while !stop.is_cancelled() {
        let found = look(shop, store).await?;
        for (id, version) in &seen {
            let now = found.get(id).with_context(|| format!("{id} is missing in {store:?}"))?;
            ensure!(now.0 >= *version, "{id} went back from {version} to {} in {store:?}", now.0);
        }
        let generations: Vec<bool> = found.values().map(|(_, is_new)| *is_new).collect();
        ensure!(generations.windows(2).all(|two| two[0] == two[1]), "mixed in {store:?}: {found:?}");
        let generation = generations.first().copied();
        switches += usize::from(last.is_some() && last != generation);
        last = generation.or(last);
        seen = found.into_iter().map(|(id, (version, _))| (id, version)).collect();
        looks += 1;
    }
    Ok((looks, switches))
}

/// Writes without pause until `stop`; returns how many there were.
async fn write(shop: &Shop, stop: &CancellationToken) -> Result<usize> {
    let mut writes = 0;
    while !stop.is_cancelled() {
        let url = format!("{}/v1/acme/PRODUCT/P-{}", shop.fleet.api(), writes % 20);
        let body = json!({ "attributes": { "price": format!("{writes}.00") } });
        shop.http.patch(url).json(&body).send().await?.error_for_status()?;
        writes += 1;
        if writes % 50 == 0 {
            shop.make(&format!("Q-{writes}")).await?;
        }
    }
    Ok(writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_one_whole_generation_or_the_other_while_writes_go_on() -> Result<()> {
    let shop = Shop::open().await?;
    let settings = &shop.fleet.settings;
    for n in 0..20 {
        shop.make(&format!("P-{n}")).await?;
    }
    shop.applied("P-19", &[("postgres", 1), ("opensearch", 1)]).await;

    let mut definition = live(&shop.postgres).await.definition;
    for column in definition.postgres.iter_mut().flat_map(|view| &mut view.columns) {
        if column.name == "name" {
            column.from = serde_json::from_value(json!("'new ' + self.name"))?;
        }
    }
    let (stop, bar, patience) = (CancellationToken::new(), ProgressBar::hidden(), Patience::default());
    let steps = async {
        let table = shop.postgres.begin(&definition).await?;
        let index = shop.opensearch.begin(&live(&shop.opensearch).await.definition).await?;
        let table = shop.postgres.finish_load(&table).await?;
        let index = shop.opensearch.finish_load(&index).await?;
        swap(settings, Store::Postgres, &table, Reason::Swap, patience, &bar).await?;
        swap(settings, Store::OpenSearch, &index, Reason::Swap, patience, &bar).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (tables, indexes) = (shop.postgres.generations().await?, shop.opensearch.generations().await?);
        let first = |all: &[Generation]| {
            all.iter()
                .find(|one| one.view() == "products" && one.number == 1)
                .cloned()
                .context("generation 1")
        };
        swap(settings, Store::Postgres, &first(&tables)?, Reason::Rollback, patience, &bar).await?;
        swap(settings, Store::OpenSearch, &first(&indexes)?, Reason::Rollback, patience, &bar).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        anyhow::Ok((table, index))
    };
    let steps = async {
        let done = steps.await;
        stop.cancel();
        done
    };
    let (done, tables, indexes, writes) = tokio::join!(
        steps,
        watch(&shop, Store::Postgres, &stop),
        watch(&shop, Store::OpenSearch, &stop),
        write(&shop, &stop),
    );
    let ((table, index), tables, indexes) = (done?, tables?, indexes?);
    assert_eq!((tables.1, indexes.1), (2, 2), "there and back: {tables:?} {indexes:?}");
    assert!(writes? > 50 && tables.0 > 50 && indexes.0 > 50, "{tables:?} {indexes:?}");
    for (worker, generation) in [(Worker::SyncRds, &table), (Worker::SyncSearch, &index)] {
        eventually("the other generation is kept in step", PATIENCE, async || {
            let standings = shop.group(worker, generation).positions().await.ok()?;
            standings.iter().all(|at| at.lag() == 0).then_some(())
        })
        .await;
    }
    assert!(letters(&shop).await?.is_empty(), "a swap sets nothing aside");

    let run = async |arguments: &[&str]| {
        let ended = shop.fleet.aqueduct(arguments).await.unwrap();
        (ended.code.unwrap(), ended.out, ended.err)
    };
    let (code, verified, _) = run(&["verify", "--view", "products"]).await;
    assert!(code == 0 && verified.contains("postgres products.g2"), "{verified}");
    let (code, listed, _) = run(&["views", "list", "products"]).await;
    assert_eq!(
        (code, listed.matches("previous").count(), listed.matches("live").count()),
        (0, 2, 2),
        "{listed}"
    );
    let (code, _, said) = run(&["swap", "products"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("no generation of products is loaded and waits for a swap"), "{said}");
    let (code, _, said) = run(&["retire", "products"]).await;
    assert!(code == 2 && said.contains("--yes"), "{said}");
    let (code, _, said) = run(&["retire", "products", "--yes"]).await;
    assert_eq!((code, said.matches("products.g2 is retired").count()), (0, 2), "{said}");
    let gone: bool =
        sqlx::query_scalar("SELECT to_regclass('products__g2') IS NULL").fetch_one(&shop.pool).await?;
    assert!(gone);
    let url = format!("{}/{}products-g2", settings.opensearch.url, settings.opensearch.index_prefix);
    assert_eq!(shop.http.get(url).send().await?.status(), 404);
    for (worker, generation) in [(Worker::SyncRds, &table), (Worker::SyncSearch, &index)] {
        let positions = shop.group(worker, generation).positions().await?;
        assert!(positions.iter().all(|at| at.committed.is_none()), "the group is gone");
    }
    let (code, _, said) = run(&["rollback", "products"]).await;
    assert!(code == 1 && said.contains("products has no previous generation"), "{said}");
    let (_, history, _) = run(&["views", "history", "products", "--in", "postgres"]).await;
    for why in ["registered", "begun", "loaded", "swap", "rollback", "retired"] {
        assert!(history.contains(why), "{history}");
    }
    Ok(())
}
