//! One Put is the commit: who wins, who is told what, and what is refused before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use aqueduct_contract::{Event, EventId};
use aqueduct_store::{Appended, Error, EventStore};
use aqueduct_tests::faults::{Fault, Rates};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Fleet, event, order, version, write_versions};

/// Appends the very same event until the store says what became of it.
async fn append_through_faults(events: &EventStore, event: &Event) -> Appended {
    loop {
        match events.append(event).await {
            Ok(appended) => return appended,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_writers_under_faults_leave_no_gap_and_one_winner_a_version() {
    const WRITERS: usize = 6;
    const VERSIONS_EACH: usize = 12;
    let fleet = Arc::new(Fleet::new(1).await);
    fleet.faults.set(Rates {
        answer_lost: 0.15,
        request_lost: 0.05,
        throttled: 0.1,
        conflict: 0.05,
        ..Rates::default()
    });
    let key = order("raced");

    let writers = (0..WRITERS).map(|writer| {
        let (fleet, key) = (Arc::clone(&fleet), key.clone());
        tokio::spawn(async move {
            let events = fleet.faulty_events();
            let mut won: Vec<(u64, EventId)> = Vec::new();
            while won.len() < VERSIONS_EACH {
                let latest = match events.latest(&key).await {
                    Ok(latest) => latest.map_or(0, |latest| latest.item.version.get()),
                    Err(error) if error.is_transient() => continue,
                    Err(error) => panic!("{error}"),
                };
                let next = event(&key, latest + 1, json!({ "writer": writer }));
                match append_through_faults(&events, &next).await {
                    Appended::Stored => won.push((latest + 1, next.id)),
                    Appended::Lost { current } => assert!(current.get() > latest),
                }
            }
            won
        })
    });
    let won: Vec<(u64, EventId)> =
        join_all(writers).await.into_iter().flat_map(|writer| writer.unwrap()).collect();

    let told: BTreeMap<u64, EventId> = won.iter().copied().collect();
    assert_eq!(told.len(), won.len(), "nobody is told that another one's version is theirs");
    let history = fleet.events().history(&key, None, 1000).await.unwrap();
    let stored: BTreeMap<u64, EventId> =
        history.iter().map(|event| (event.item.version.get(), event.id)).collect();
    assert_eq!(stored.keys().copied().collect::<Vec<_>>(), (1..=72).collect::<Vec<_>>(), "gapless");
    assert_eq!(stored, told, "every version is its winner's, and each winner was told");
    assert!(fleet.faults.happened() > 50, "the faults happened");
}

#[tokio::test]
async fn a_writer_whose_answer_was_lost_is_told_that_it_won() {
    let fleet = Fleet::new(2).await;
    let created = event(&order("lost-answer"), 1, json!({}));
    fleet.faults.next("PutItem", [Fault::AnswerLost, Fault::Throttled, Fault::AnswerLost]);
    assert_eq!(fleet.faulty_events().append(&created).await.unwrap(), Appended::Stored);
    assert_eq!(fleet.events().latest(&created.item.key).await.unwrap(), Some(created));
}

#[tokio::test]
async fn a_writer_that_was_left_without_an_answer_learns_it_from_the_same_event() {
    let fleet = Fleet::new(3).await;
    let created = event(&order("no-answer"), 1, json!({}));
    fleet.faults.next("PutItem", [Fault::AnswerLost; 4]);
    let error = fleet.faulty_events().append(&created).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert_eq!(fleet.faulty_events().append(&created).await.unwrap(), Appended::Stored);
    assert_eq!(fleet.events().history(&created.item.key, None, 10).await.unwrap(), [created]);
}

#[tokio::test]
async fn a_loser_is_told_the_latest_version_and_nothing_of_it_is_written() {
    let fleet = Fleet::new(4).await;
    let key = order("lost-race");
    let written = write_versions(&fleet.events(), &key, 3).await;
    let late = event(&key, 2, json!({ "late": true }));
    assert_eq!(fleet.events().append(&late).await.unwrap(), Appended::Lost { current: version(3) });
    assert_eq!(fleet.events().history(&key, None, 10).await.unwrap(), written);
}

#[tokio::test]
async fn throttling_and_conflicts_say_how_to_react() {
    let fleet = Fleet::new(5).await;
    let created = event(&order("refused"), 1, json!({}));
    fleet.faults.next("PutItem", [Fault::Throttled; 4]);
    let error = fleet.faulty_events().append(&created).await.unwrap_err();
    assert!(matches!(error, Error::Throttled(_)), "{error}");
    fleet.faults.next("PutItem", [Fault::Conflict; 4]);
    let error = fleet.faulty_events().append(&created).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    assert_eq!(fleet.events().latest(&created.item.key).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_table_or_topic_cannot_hold_is_refused_before_it_is_written() {
    let fleet = Fleet::new(6).await;
    let key = order("large");
    let events = fleet.events();

    // Attributes stand in an event twice: in the item and in what happened.
    let error = events.append(&event(&key, 1, json!({ "text": "x".repeat(205_000) }))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { size, limit: 409_600 } if size > 410_000), "{error}");
    // Small in JSON, larger as a row of the read table.
    let mut many_numbers = event(&key, 1, json!({ "numbers": vec![1; 150_000] }));
    many_numbers.happened.data = Value::Null;
    let error = events.append(&many_numbers).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let limited = fleet.events().with_record_limit(2000);
    let error = limited.append(&event(&key, 1, json!({ "text": "x".repeat(1000) }))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 2000, .. }), "{error}");
    let nested = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let error = events.append(&event(&key, 1, json!({ "nested": nested }))).await.unwrap_err();
    assert!(matches!(error, Error::Unstorable(_)), "{error}");
    for beyond in [json!({ "number": 1e200 }), json!({ "in": { "": 1 } })] {
        let error = events.append(&event(&key, 1, beyond)).await.unwrap_err();
        assert!(matches!(error, Error::Unstorable(_)), "{error}");
    }

    assert_eq!(events.latest(&key).await.unwrap(), None, "nothing was written");
}

#[tokio::test]
async fn what_is_accepted_at_the_limits_fits_both_tables() {
    let fleet = Fleet::new(7).await;
    let nested = (0..29).fold(json!("deep"), |inner, _| json!({ "in": inner }));
    let at_limits = [
        json!({ "text": "ü".repeat(101_000) }),
        json!({ "numbers": vec![-1.5e-100; 1_800], "large": 9.9e125, "small": 1e-130, "exact": u64::MAX }),
        json!({ "nested": nested, "n".repeat(60_000): "", "empty": {}, "none": [], "null": null }),
    ];
    for (number, attributes) in at_limits.into_iter().enumerate() {
        let created = event(&order(&format!("limit-{number}")), 1, attributes);
        assert_eq!(fleet.events().append(&created).await.unwrap(), Appended::Stored);
        fleet.data().put_if_newer(&created).await.unwrap();
        assert_eq!(fleet.events().latest(&created.item.key).await.unwrap().as_ref(), Some(&created));
        let stored = aqueduct_store::data::as_stored(&created.item).unwrap();
        assert_eq!(fleet.data().get(&created.item.key).await.unwrap(), Some(stored));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_a_missing_table_is_refused() {
    let fleet = Fleet::new(8).await;
    let mut nowhere = fleet.settings.dynamodb.clone();
    nowhere.endpoint = "http://127.0.0.1:1".into();
    let events = EventStore::new(nowhere.connect().await, &fleet.names);
    let error = events.latest(&order("any")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");

    let elsewhere = aqueduct_contract::Names::new("nothing-here");
    let error = EventStore::new(fleet.client.clone(), &elsewhere).latest(&order("any")).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}
