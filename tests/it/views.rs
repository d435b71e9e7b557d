//! What holds of the registries: one generation, whoever comes first, and the registered definition counts.

use ::opensearch::OpenSearch;
use ::opensearch::http::Method;
use ::opensearch::http::headers::HeaderMap;
use ::opensearch::http::request::JsonBody;
use aqueduct_model::Model;
use aqueduct_service::Settings;
use aqueduct_views::opensearch::{self, IndexNames};
use aqueduct_views::postgres::{self, RowMapper};
use aqueduct_views::{Error, Served, State};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use crate::sync::{ORDER, PRODUCT, model, order, settings};

async fn in_postgres(settings: &Settings, model: &Model) -> Result<Served, Error> {
    postgres::Registry::new(settings.postgres.connect_lazy().unwrap()).ensure(model).await
}

async fn in_opensearch(settings: &Settings, model: &Model) -> Result<Served, Error> {
    registry(settings).ensure(model).await
}

pub(crate) fn registry(settings: &Settings) -> opensearch::Registry {
    opensearch::Registry::new(&settings.opensearch, &names(settings)).unwrap()
}

pub(crate) fn names(settings: &Settings) -> aqueduct_contract::Names {
    aqueduct_contract::Names::new(&settings.prefix)
}

pub(crate) fn pool(settings: &Settings) -> PgPool {
    settings.postgres.connect_lazy().unwrap()
}

pub(crate) async fn sql(settings: &Settings, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&pool(settings)).await.unwrap();
}

pub(crate) async fn scalar(settings: &Settings, query: &str) -> Value {
    let query = AssertSqlSafe(format!("SELECT to_jsonb(({query}))"));
    sqlx::query_scalar(query).fetch_one(&pool(settings)).await.unwrap()
}

/// Status and body of an answer; `{}` in the path stands for the prefix of the test.
pub(crate) async fn http(
    settings: &Settings,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let client: OpenSearch = settings.opensearch.client().unwrap();
    let path = path.replace("{}", &settings.opensearch.index_prefix);
    let response = client
        .send::<_, ()>(method, &path, HeaderMap::new(), None, body.map(JsonBody::new), None)
        .await
        .unwrap();
    let status = response.status_code().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn registered(served: &Served) -> Vec<(&str, u32, State)> {
    served.generations.iter().map(|one| (one.view(), one.number, one.state)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_start_at_once_register_one_generation() {
    let settings = settings().await;
    let (orders_first, other) = (model(&[ORDER]), model(&[&ORDER.replace("customer_name:", "customer:")]));
    let both_models = [&orders_first, &other, &orders_first, &other, &orders_first, &other];

    let starts = both_models.map(|model| in_postgres(&settings, model));
    let served: Vec<Served> =
        futures::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
    for one in &served {
        assert_eq!(one.generations, served[0].generations, "all serve the same definition");
        assert_eq!(registered(one), [("orders", 1, State::Live)]);
    }
    assert_eq!(scalar(&settings, "SELECT count(*) FROM aqueduct_internal.views").await, json!(1));

    let starts = both_models.map(|model| in_opensearch(&settings, model));
    let served: Vec<Served> =
        futures::future::join_all(starts).await.into_iter().map(Result::unwrap).collect();
    for one in &served {
        assert_eq!(one.generations, served[0].generations, "all serve the same definition");
        assert_eq!(registered(one), [("orders", 1, State::Live)]);
    }
    let (_, aliases) = http(&settings, Method::Get, "{}orders/_alias", None).await;
    assert_eq!(aliases.as_object().unwrap().len(), 1, "{aliases}");
}

#[tokio::test]
async fn a_model_that_differs_is_reported_and_changes_nothing() {
    let settings = settings().await;
    let before = model(&[ORDER]);
    let first = in_postgres(&settings, &before).await.unwrap();
    let first_search = in_opensearch(&settings, &before).await.unwrap();
    assert_eq!(first.differs, [("orders".to_owned(), false)].into());
    assert_eq!(first_search.differs, [("orders".to_owned(), false)].into());

    let changed = ORDER
        .replace("from: self.customerName,", "from: \"'new ' + self.customerName\",")
        .replace("paid: { type: boolean }", "paid: { type: string }\n    more: { type: string }");
    let after = model(&[&changed, PRODUCT]);
    let second = in_postgres(&settings, &after).await.unwrap();
    assert_eq!(second.differs, [("orders".to_owned(), true), ("product".to_owned(), false)].into());
    let second_search = in_opensearch(&settings, &after).await.unwrap();
    assert_eq!(second_search.differs, [("orders".to_owned(), true), ("product".to_owned(), false)].into());

    assert_eq!(second.generations[0], first.generations[0]);
    assert_eq!(second_search.generations[0], first_search.generations[0]);
    let view = second.generations[0].definition.postgres.as_ref().unwrap();
    let item = order("o", 1, json!({ "customerName": "Ann" })).to_raw().unwrap();
    let mapped = RowMapper::new(view).row(&item).unwrap();
    assert_eq!(mapped.values[0].as_deref(), Some("Ann"), "rows come from the registered expression");

    let gone = in_postgres(&settings, &model(&[PRODUCT])).await.unwrap();
    assert_eq!(gone.differs, [("orders".to_owned(), true), ("product".to_owned(), false)].into());
    assert_eq!(
        registered(&gone),
        [("orders", 1, State::Live), ("product", 1, State::Live)],
        "served until retired"
    );
}

#[tokio::test]
async fn the_differing_views_are_a_metric() {
    let settings = settings().await;
    in_postgres(&settings, &model(&[ORDER])).await.unwrap();
    let changed = ORDER.replace("customer_name:", "customer:");
    let served = in_postgres(&settings, &model(&[&changed, PRODUCT])).await.unwrap();
    let metrics = prometheus::Registry::new();
    aqueduct_views::Metrics::new(&metrics).unwrap().show(&served);
    let text = prometheus::TextEncoder::new().encode_to_string(&metrics.gather()).unwrap();
    assert!(text.contains("aqueduct_view_differs{view=\"orders\"} 1"), "{text}");
    assert!(text.contains("aqueduct_view_differs{view=\"product\"} 0"), "{text}");
    assert!(text.contains("aqueduct_view_generations{state=\"live\",view=\"orders\"} 1"), "{text}");
    assert!(text.contains("aqueduct_view_generations{state=\"previous\",view=\"orders\"} 0"), "{text}");
}

#[tokio::test]
async fn a_type_without_views_has_one_of_each_kind() {
    let settings = settings().await;
    let model = model(&[PRODUCT]);
    aqueduct_views::setup(&model, &names(&settings), &settings.postgres, &settings.opensearch).await.unwrap();
    aqueduct_views::setup(&model, &names(&settings), &settings.postgres, &settings.opensearch).await.unwrap();
    let columns = "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) \
                   FROM information_schema.columns WHERE table_name = 'product'";
    assert_eq!(
        scalar(&settings, columns).await,
        "tenant text, id text, item_version bigint, created_at timestamp with time zone, \
         updated_at timestamp with time zone, attributes jsonb"
    );
    let (status, found) = http(&settings, Method::Get, "{}product/_mapping", None).await;
    assert_eq!(status, 200);
    let mappings = &found[settings.opensearch.index_prefix.clone() + "product-g1"]["mappings"]["properties"];
    assert_eq!(mappings["document"]["properties"]["name"]["type"], "text");
    let (_, found) = http(&settings, Method::Get, "{}product/_settings", None).await;
    let index = &found[settings.opensearch.index_prefix.clone() + "product-g1"]["settings"]["index"];
    assert_eq!(index["refresh_interval"], "1s", "explicit, or the index goes idle");
}

#[tokio::test]
async fn a_name_that_is_in_use_is_a_clear_error_and_stays_as_it_is() {
    let settings = settings().await;
    let orders = model(&[ORDER]);
    for (made, name, dropped) in [
        ("CREATE TABLE orders (mine int)", "orders", "DROP TABLE orders"),
        ("CREATE VIEW orders AS SELECT 1 AS mine", "orders", "DROP VIEW orders"),
        ("CREATE TABLE orders__g1 (mine int)", "orders__g1", "DROP TABLE orders__g1"),
    ] {
        sql(&settings, made).await;
        let error = in_postgres(&settings, &orders).await.unwrap_err();
        assert!(matches!(&error, Error::Taken { name: taken, .. } if taken == name), "{made}: {error}");
        assert!(!error.is_retryable() && error.to_string().contains(name), "{error}");
        sql(&settings, dropped).await;
        assert_eq!(
            scalar(&settings, "SELECT count(*) FROM aqueduct_internal.views").await,
            json!(0),
            "{made}"
        );
    }
    in_postgres(&settings, &orders).await.unwrap();

    let foreign = format!("{}foreign", settings.opensearch.index_prefix);
    let alias = json!({ "actions": [{ "add": {
        "index": foreign, "alias": format!("{}orders", settings.opensearch.index_prefix),
    } }] });
    http(&settings, Method::Put, "{}orders", None).await;
    let error = in_opensearch(&settings, &orders).await.unwrap_err();
    assert!(matches!(&error, Error::Taken { name, .. } if name.ends_with("orders")), "{error}");
    assert_eq!(http(&settings, Method::Delete, "{}orders", None).await.0, 200);
    http(&settings, Method::Put, "{}foreign", None).await;
    assert_eq!(http(&settings, Method::Post, "_aliases", Some(alias)).await.0, 200);
    assert!(matches!(in_opensearch(&settings, &orders).await, Err(Error::Taken { .. })));
    assert_eq!(http(&settings, Method::Delete, "{}foreign", None).await.0, 200);
    http(&settings, Method::Put, "{}orders-g1", None).await;
    let error = in_opensearch(&settings, &orders).await.unwrap_err();
    assert!(matches!(&error, Error::Taken { name, .. } if name.ends_with("orders-g1")), "{error}");
    assert_eq!(http(&settings, Method::Delete, "{}orders-g1", None).await.0, 200);
    in_opensearch(&settings, &orders).await.unwrap();
}

#[tokio::test]
async fn what_holds_no_data_is_made_again_when_it_is_missing() {
    let settings = settings().await;
    let orders = model(&[ORDER]);
    in_postgres(&settings, &orders).await.unwrap();
    sql(&settings, "DROP VIEW orders; DROP INDEX orders__g1_customer_name_idx").await;
    in_postgres(&settings, &orders).await.unwrap();
    assert_eq!(scalar(&settings, "SELECT count(*) FROM orders").await, json!(0));
    assert_eq!(
        scalar(&settings, "SELECT to_regclass('orders__g1_customer_name_idx') IS NOT NULL").await,
        json!(true)
    );

    in_opensearch(&settings, &orders).await.unwrap();
    let (_, before) = http(&settings, Method::Get, "{}orders-g1/_alias", None).await;
    for alias in ["orders", "orders-g1-write"] {
        let path = "{}orders-g1/_alias/{}".to_owned() + alias;
        assert_eq!(http(&settings, Method::Delete, &path, None).await.0, 200);
    }
    in_opensearch(&settings, &orders).await.unwrap();
    let (_, after) = http(&settings, Method::Get, "{}orders-g1/_alias", None).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_user_of_the_database_keeps_their_own_migrations() {
    let settings = settings().await;
    sql(&settings, "CREATE TABLE _sqlx_migrations (theirs int)").await;
    in_postgres(&settings, &model(&[ORDER])).await.unwrap();
    assert_eq!(scalar(&settings, "SELECT count(*) FROM _sqlx_migrations").await, json!(0));
}

#[tokio::test]
async fn a_start_that_was_cut_off_is_finished_by_the_next() {
    let settings = settings().await;
    let before = in_opensearch(&settings, &model(&[ORDER])).await.unwrap();
    let index = IndexNames::new("{}").registry(&names(&settings));
    let entry = format!("{index}/_doc/orders.g1?refresh=true");
    assert_eq!(http(&settings, Method::Delete, &entry, None).await.0, 200);

    let changed = model(&[&ORDER.replace("paid: { type: boolean }", "paid: { type: string }")]);
    let after = in_opensearch(&settings, &changed).await.unwrap();
    assert_eq!(registered(&after), [("orders", 1, State::Live)]);
    assert_eq!(
        after.generations[0].definition, before.generations[0].definition,
        "what the index was made from"
    );
    assert_eq!(registry(&settings).generations().await.unwrap(), after.generations);
}

#[tokio::test]
async fn mappings_that_opensearch_does_not_take_are_a_clear_error_and_register_nothing() {
    let settings = settings().await;
    let wrong = "opensearch: { mappings: { properties: { paid: { type: bolean } } } }";
    let error =
        in_opensearch(&settings, &model(&[&ORDER.replace("opensearch: {}", wrong)])).await.unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("bolean"), "{error}");
    let served = in_opensearch(&settings, &model(&[ORDER])).await.unwrap();
    assert_eq!(served.differs, [("orders".to_owned(), false)].into(), "the corrected model is taken");
}

#[tokio::test]
async fn a_generation_in_a_state_of_a_later_release_is_left_alone() {
    let settings = settings().await;
    let orders = model(&[ORDER]);
    in_postgres(&settings, &orders).await.unwrap();
    sql(
        &settings,
        "INSERT INTO aqueduct_internal.views SELECT view, 2, type, 'archived', definition, digest \
         FROM aqueduct_internal.views",
    )
    .await;
    let served = in_postgres(&settings, &orders).await.unwrap();
    assert_eq!(registered(&served), [("orders", 1, State::Live)]);
}

#[tokio::test]
async fn an_index_that_is_gone_is_not_made_again_empty() {
    let settings = settings().await;
    let orders = model(&[ORDER]);
    in_opensearch(&settings, &orders).await.unwrap();
    assert_eq!(http(&settings, Method::Delete, "{}orders-g1", None).await.0, 200);
    let served = in_opensearch(&settings, &orders).await.unwrap();
    assert_eq!(served.generations.len(), 1, "other views are served");
    assert_eq!(http(&settings, Method::Get, "{}orders-g1", None).await.0, 404);
}

#[tokio::test]
async fn what_a_later_release_registered_is_not_served_wrongly() {
    let settings = settings().await;
    let orders = model(&[ORDER]);
    in_postgres(&settings, &orders).await.unwrap();
    sql(&settings, "UPDATE aqueduct_internal.views SET definition = definition || '{\"children\": {}}'")
        .await;
    let error = in_postgres(&settings, &orders).await.unwrap_err();
    assert!(matches!(&error, Error::Registry(what) if what.contains("orders")), "{error}");
    assert!(!error.is_retryable());
}
