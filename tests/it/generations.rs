//! What holds of a generation between its beginning and its load, in both registries.

use ::opensearch::http::Method;
use aqueduct_model::{Model, View};
use aqueduct_service::Settings;
use aqueduct_views::{Error, Generation, State, definition, opensearch, postgres};
use serde_json::json;

use crate::sync::{ORDER, model, settings};
use crate::views::{http, names, pool, registry, scalar, sql};

/// The registries of a test, with the view `orders` at generation 1.
struct Registries {
    settings: Settings,
    postgres: postgres::Registry,
    opensearch: opensearch::Registry,
}

impl Registries {
    async fn set_up() -> Registries {
        let settings = settings().await;
        let (postgres, opensearch) = (postgres::Registry::new(pool(&settings)), registry(&settings));
        let orders = model(&[ORDER]);
        aqueduct_views::setup(&orders, &names(&settings), &settings.postgres, &settings.opensearch)
            .await
            .unwrap();
        Registries { settings, postgres, opensearch }
    }

    async fn relations(&self) -> serde_json::Value {
        let all = "SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '') FROM pg_class \
                   WHERE relname LIKE 'orders\\_\\_g2%'";
        scalar(&self.settings, all).await
    }

    async fn index(&self) -> u16 {
        http(&self.settings, Method::Get, "{}orders-g2", None).await.0
    }
}

/// The view as Postgres keeps it, and as OpenSearch does.
fn halves(model: &Model) -> (View, View) {
    let of = model.types().next().unwrap();
    let view = &of.views[0];
    (definition::in_postgres(view).unwrap(), definition::in_opensearch(of, view).unwrap())
}

fn numbers(generations: &[Generation]) -> Vec<(u32, State, bool)> {
    generations.iter().map(|one| (one.number, one.state, one.is_consumed())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_begin_at_once_one_does_and_the_other_is_told() {
    let stage = Registries::set_up().await;
    let (table, index) = halves(&model(&[ORDER]));

    let begun = tokio::join!(stage.postgres.begin(&table), stage.postgres.begin(&table));
    let ((Ok(won), Err(lost)) | (Err(lost), Ok(won))) = begun else { panic!("{begun:?}") };
    assert_eq!((won.number, won.state, won.is_consumed()), (2, State::Building, false));
    assert!(matches!(&lost, Error::Building { generation, .. } if **generation == won), "{lost}");
    assert!(lost.to_string().contains("generation 2 of the view orders is being built"), "{lost}");
    assert!(!lost.is_retryable());

    let begun = tokio::join!(stage.opensearch.begin(&index), stage.opensearch.begin(&index));
    let ((Ok(won), Err(lost)) | (Err(lost), Ok(won))) = begun else { panic!("{begun:?}") };
    assert_eq!((won.number, won.state, won.is_consumed()), (2, State::Building, false));
    assert!(matches!(&lost, Error::Building { generation, .. } if generation.number == 2), "{lost}");
    assert!(lost.to_string().contains("generation 2 of the view orders is being built"), "{lost}");
}

#[tokio::test]
async fn what_is_loaded_is_made_whole_and_then_consumed() {
    let stage = Registries::set_up().await;
    let changed = model(&[&ORDER.replace("customer_name:", "customer:")]);
    let (table, index) = halves(&changed);

    let begun = stage.postgres.begin(&table).await.unwrap();
    assert_eq!(begun.definition, table);
    assert_eq!(stage.relations().await, "orders__g2", "no key, no index");
    let served = stage.postgres.ensure(&changed).await.unwrap();
    assert_eq!(numbers(&served.generations), [(1, State::Live, true)]);
    let loaded = stage.postgres.finish_load(&begun).await.unwrap();
    assert!(loaded.loaded.is_some());
    assert_eq!(stage.relations().await.as_str().unwrap().split(' ').count(), 5, "table, key, three indexes");
    assert_eq!(stage.postgres.finish_load(&begun).await.unwrap(), loaded, "the second time it does nothing");
    let served = stage.postgres.ensure(&changed).await.unwrap();
    assert_eq!(numbers(&served.generations), [(1, State::Live, true), (2, State::Building, true)]);
    assert_eq!(served.differs, [("orders".to_owned(), true)].into(), "told from what is live");
    let analyzed = "SELECT reltuples >= 0 FROM pg_class WHERE relname = 'orders__g2'";
    assert_eq!(scalar(&stage.settings, analyzed).await, true);

    let begun = stage.opensearch.begin(&index).await.unwrap();
    let setting = async |name: &str| {
        let (_, found) = http(&stage.settings, Method::Get, "{}orders-g2/_settings", None).await;
        let index = format!("{}orders-g2", stage.settings.opensearch.index_prefix);
        found[index]["settings"]["index"][name].clone()
    };
    assert_eq!(setting("refresh_interval").await, "-1");
    let served = stage.opensearch.ensure(&changed).await.unwrap();
    assert_eq!(numbers(&served.generations), [(1, State::Live, true)]);
    let loaded = stage.opensearch.finish_load(&begun).await.unwrap();
    assert!(loaded.loaded.is_some());
    assert_eq!(setting("refresh_interval").await, "1s");
    assert_eq!(stage.opensearch.finish_load(&begun).await.unwrap(), loaded);
    let served = stage.opensearch.ensure(&changed).await.unwrap();
    assert_eq!(numbers(&served.generations), [(1, State::Live, true), (2, State::Building, true)]);
    let (_, aliases) = http(&stage.settings, Method::Get, "{}orders/_alias", None).await;
    assert_eq!(aliases.as_object().unwrap().len(), 1, "readers see generation 1: {aliases}");
}

#[tokio::test]
async fn what_is_cancelled_leaves_its_history_and_nothing_else() {
    let stage = Registries::set_up().await;
    let (table, index) = halves(&model(&[ORDER]));

    let begun = stage.postgres.begin(&table).await.unwrap();
    stage.postgres.cancel(&begun).await.unwrap();
    stage.postgres.cancel(&begun).await.unwrap();
    assert_eq!(stage.relations().await, "");
    assert_eq!(numbers(&stage.postgres.generations().await.unwrap()), [(1, State::Live, true)]);
    assert!(matches!(stage.postgres.finish_load(&begun).await, Err(Error::State { .. })));
    let history = stage.postgres.history(Some("orders")).await.unwrap();
    let changes: Vec<_> = history.iter().map(|one| (one.generation, one.from, one.to)).collect();
    let building = Some(State::Building);
    assert_eq!(
        changes,
        [(1, None, State::Live), (2, None, State::Building), (2, building, State::Cancelled)]
    );
    assert_eq!(stage.postgres.begin(&table).await.unwrap().number, 3, "no number is used twice");

    let begun = stage.opensearch.begin(&index).await.unwrap();
    stage.opensearch.cancel(&begun).await.unwrap();
    stage.opensearch.cancel(&begun).await.unwrap();
    assert_eq!(stage.index().await, 404);
    assert_eq!(http(&stage.settings, Method::Get, "_alias/{}orders-g2-write", None).await.0, 404);
    assert_eq!(numbers(&stage.opensearch.generations().await.unwrap()), [(1, State::Live, true)]);
    assert!(matches!(stage.opensearch.finish_load(&begun).await, Err(Error::State { .. })));
    let history = stage.opensearch.history(Some("orders")).await.unwrap();
    let changes: Vec<_> = history.iter().map(|one| (one.generation, one.from, one.to)).collect();
    assert_eq!(
        changes,
        [(1, None, State::Live), (2, None, State::Building), (2, building, State::Cancelled)]
    );
    assert_eq!(stage.opensearch.begin(&index).await.unwrap().number, 3, "no number is used twice");
}

#[tokio::test]
async fn what_is_live_is_not_cancelled_nor_loaded() {
    let stage = Registries::set_up().await;
    let live = stage.postgres.generations().await.unwrap().remove(0);
    for refused in [stage.postgres.cancel(&live).await, stage.postgres.resume(&live).await] {
        assert_eq!(
            refused.unwrap_err().to_string(),
            "generation 1 of the view orders is live, not being built"
        );
    }
    assert!(matches!(stage.postgres.finish_load(&live).await, Err(Error::State { .. })));
    let live = stage.opensearch.generations().await.unwrap().remove(0);
    for refused in [stage.opensearch.cancel(&live).await, stage.opensearch.resume(&live).await] {
        assert!(matches!(refused, Err(Error::State { .. })));
    }
    assert!(matches!(stage.opensearch.finish_load(&live).await, Err(Error::State { .. })));
}

#[tokio::test]
async fn a_view_that_nobody_registered_is_not_begun() {
    let stage = Registries::set_up().await;
    let (table, index) = halves(&model(&[ORDER]));
    let unknown = |view: View| View { name: "nothing".into(), ..view };
    let refused = stage.postgres.begin(&unknown(table)).await.unwrap_err();
    assert!(refused.to_string().starts_with("the view nothing is not registered"), "{refused}");
    assert!(matches!(stage.opensearch.begin(&unknown(index)).await, Err(Error::Unregistered(_))));
}

#[tokio::test]
async fn a_begin_that_was_cut_off_is_finished() {
    let stage = Registries::set_up().await;
    let (table, index) = halves(&model(&[ORDER]));
    let begun = stage.postgres.begin(&table).await.unwrap();
    stage.postgres.resume(&begun).await.unwrap();
    sql(&stage.settings, "DROP TABLE orders__g2").await;
    let lost = stage.postgres.resume(&begun).await.unwrap_err();
    assert!(lost.to_string().contains("has lost its table: cancel it"), "{lost}");
    stage.postgres.cancel(&begun).await.unwrap();

    let begun = stage.opensearch.begin(&index).await.unwrap();
    stage.opensearch.resume(&begun).await.unwrap();
    // As a process leaves it that dies before the note, and one that dies before the index.
    let entry =
        format!("{}/_update/orders.g2", opensearch::IndexNames::new("{}").registry(&names(&stage.settings)));
    let unmade = json!({ "doc": { "index_made": null } });
    assert_eq!(http(&stage.settings, Method::Post, &entry, Some(unmade.clone())).await.0, 200);
    stage.opensearch.resume(&begun).await.unwrap();
    assert_eq!(http(&stage.settings, Method::Delete, "{}orders-g2", None).await.0, 200);
    let lost = stage.opensearch.resume(&begun).await.unwrap_err();
    assert!(lost.to_string().contains("has lost its index: cancel it"), "{lost}");
    assert_eq!(http(&stage.settings, Method::Post, &entry, Some(unmade)).await.0, 200);
    stage.opensearch.resume(&begun).await.unwrap();
    assert_eq!(stage.index().await, 200);
}

#[tokio::test]
async fn a_cancel_that_was_cut_off_is_finished_by_the_next_begin() {
    let stage = Registries::set_up().await;
    let (_, index) = halves(&model(&[ORDER]));
    let begun = stage.opensearch.begin(&index).await.unwrap();
    let entry =
        format!("{}/_update/orders.g2", opensearch::IndexNames::new("{}").registry(&names(&stage.settings)));
    let cancelled = json!({ "doc": { "state": "cancelled" } });
    assert_eq!(http(&stage.settings, Method::Post, &entry, Some(cancelled)).await.0, 200);
    assert_eq!(stage.index().await, 200);
    assert_eq!(stage.opensearch.begin(&index).await.unwrap().number, 3);
    assert_eq!(stage.index().await, 404);
    stage.opensearch.cancel(&begun).await.unwrap();
}

#[tokio::test]
async fn what_the_stores_do_not_take_is_not_begun() {
    let stage = Registries::set_up().await;
    let wrong = "opensearch: { mappings: { properties: { paid: { type: bolean } } } }";
    let (table, index) = halves(&model(&[&ORDER.replace("opensearch: {}", wrong)]));
    let refused = stage.opensearch.begin(&index).await.unwrap_err();
    assert!(refused.to_string().contains("bolean"), "{refused}");
    assert_eq!(numbers(&stage.opensearch.generations().await.unwrap()), [(1, State::Live, true)]);

    sql(&stage.settings, "CREATE TABLE orders__g2 (mine int)").await;
    let refused = stage.postgres.begin(&table).await.unwrap_err();
    assert!(matches!(&refused, Error::Taken { name, .. } if name == "orders__g2"), "{refused}");
    assert_eq!(numbers(&stage.postgres.generations().await.unwrap()), [(1, State::Live, true)]);
}

#[tokio::test]
async fn a_registry_of_an_earlier_release_is_read_and_widened() {
    let settings = settings().await;
    let (_, index) = halves(&model(&[ORDER]));
    let registry_index = opensearch::IndexNames::new("{}").registry(&names(&settings));
    let field = |of: &str| json!({ "type": of });
    let mappings = json!({ "dynamic": "strict", "properties": {
        "view": field("keyword"), "generation": field("integer"), "type": field("keyword"), "state": field("keyword"),
        "definition": { "type": "object", "enabled": false }, "digest": field("keyword"), "created_at": field("date"),
    } });
    assert_eq!(
        http(&settings, Method::Put, &registry_index, Some(json!({ "mappings": mappings }))).await.0,
        200
    );
    let entry = json!({
        "view": "orders", "generation": 1, "type": "ORDER", "state": "live", "digest": "",
        "definition": index, "created_at": "2026-11-21T13:15:00.000001Z",
    });
    let path = format!("{registry_index}/_doc/orders.g1");
    assert_eq!(http(&settings, Method::Put, &path, Some(entry)).await.0, 201);

    let registry = registry(&settings);
    assert_eq!(numbers(&registry.generations().await.unwrap()), [(1, State::Live, true)]);
    assert_eq!(registry.history(None).await.unwrap()[0].why, "registered");
    let begun = registry.begin(&index).await.unwrap();
    assert_eq!(registry.finish_load(&begun).await.unwrap().number, 2);
}
