//! A record that the producer would not take is refused before it is stored, by the limit that is in effect.

use std::fs;

use aqueduct_contract::{ItemKey, Names, Version};
use aqueduct_store::EventStore;
use aqueduct_tests::{Fleet, PATIENCE, Program, Scratch, eventually, servers};
use serde_json::{Value, json};

const LIMIT: usize = 50_000;
const NOTE: &str = "aqueduct: v1\ntype: NOTE\nschema: { type: object }\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_record_of_the_settings_is_published_and_a_larger_one_is_refused_with_the_limit() {
    let model = Scratch::new().unwrap();
    fs::write(model.path().join("note.yaml"), NOTE).unwrap();
    let plan = Fleet::on(servers().await).await.programs(&[Program::CommandApi]).model(model.path());
    let fleet = plan.set("kafka.properties.message.max.bytes", "50000").start().await.unwrap();
    let client = reqwest::Client::new();
    let create = async |id: &str, length: usize| {
        let body = json!({ "id": id, "attributes": { "text": "x".repeat(length) } });
        let url = format!("{}/v1/acme/NOTE", fleet.api());
        let answer = client.post(url).header("x-correlation-id", "c").json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };

    let (status, refused) = create("a", 30_000).await;
    assert_eq!(
        (status, &refused["code"], &refused["limit"]),
        (413, &json!("EventTooLarge"), &json!(LIMIT)),
        "{refused}"
    );
    // A text counts twice: in the item, and in what happened.
    let excess = usize::try_from(refused["size"].as_u64().unwrap()).unwrap() - LIMIT;
    let largest = 30_000 - excess.div_ceil(2);
    assert_eq!(create("a", largest + 1).await.0, 413);
    let names = Names::new(&fleet.settings.prefix);
    let events = EventStore::new(fleet.settings.dynamodb.connect().await, &names);
    let key = ItemKey::new("acme".parse().unwrap(), "NOTE".parse().unwrap(), "a".parse().unwrap()).unwrap();
    assert!(events.latest(&key).await.unwrap().is_none(), "nothing was written");

    assert_eq!(create("a", largest).await.0, 201);
    eventually("the largest record is published", PATIENCE, || async {
        events.at(&key, Version::FIRST).await.unwrap().and_then(|stored| stored.published)
    })
    .await;
    fleet.stop().await.unwrap();
}
