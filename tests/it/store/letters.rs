//! Letters: nobody overwrites or removes what they have not seen.

use aqueduct_store::letters::State;
use aqueduct_store::{Error, Letter};
use aqueduct_tests::faults::Fault;
use futures::TryStreamExt;

use super::{Fleet, order, version};

fn letter(item: &str, partition: i32) -> Letter {
    Letter {
        group: "aqueduct.sync-rds.orders.g1".into(),
        topic: "aqueduct.order.events".into(),
        partition,
        offset: 17,
        item: item.into(),
        version: Some(version(3)),
        code: "ExpressionFailed".into(),
        message: "no such key: \"price\"".into(),
        attempts: 1,
        redrives: 0,
        filed_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        state: State::Open,
    }
}

#[tokio::test]
async fn a_partitions_letters_are_loaded_as_they_were_filed() {
    let fleet = Fleet::new(1).await;
    let letters = fleet.letters();
    let of_item = letter(&order("bad").to_string(), 3);
    let of_none =
        Letter { version: None, item: Letter::without_item(18), message: String::new(), ..letter("", 3) };
    for filed in [&of_item, &of_none, &letter("elsewhere", 4)] {
        letters.put(filed).await.unwrap();
    }
    let loaded = letters.load(&of_item.group, &of_item.topic, 3).await.unwrap();
    let mut loaded: Vec<Letter> = loaded.into_iter().map(|filed| filed.letter).collect();
    loaded.sort_by(|left, right| right.item.cmp(&left.item));
    assert_eq!(loaded, [of_item.clone(), of_none]);
    assert_eq!(letters.load(&of_item.group, &of_item.topic, 5).await.unwrap(), []);
    assert_eq!(letters.all().try_collect::<Vec<_>>().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_letter_that_changed_meanwhile_is_neither_replaced_nor_removed() {
    let fleet = Fleet::new(2).await;
    let letters = fleet.letters();
    let filed = letters.put(&letter("item", 0)).await.unwrap();
    let redrive = Letter { state: State::Redrive, ..filed.letter.clone() };
    let changed = letters.replace_if_unchanged(&filed, &redrive).await.unwrap().unwrap();

    assert_eq!(letters.replace_if_unchanged(&filed, &redrive).await.unwrap(), None);
    assert!(!letters.remove_if_unchanged(&filed).await.unwrap());
    let loaded = letters.load(&filed.letter.group, &filed.letter.topic, 0).await.unwrap();
    assert_eq!(loaded, std::slice::from_ref(&changed));
    assert!(letters.remove_if_unchanged(&changed).await.unwrap());
    assert_eq!(
        letters.replace_if_unchanged(&changed, &redrive).await.unwrap(),
        None,
        "it does not come back"
    );
    assert_eq!(letters.load(&filed.letter.group, &filed.letter.topic, 0).await.unwrap(), []);
}

#[tokio::test]
async fn who_lost_an_answer_learns_that_it_was_their_own_change() {
    let fleet = Fleet::new(3).await;
    let letters = fleet.letters();
    let filed = letters.put(&letter("item", 0)).await.unwrap();
    fleet.faults.next("PutItem", [Fault::AnswerLost]);
    let changed = letters.replace_if_unchanged(&filed, &letter("item", 0)).await.unwrap();
    fleet.faults.next("DeleteItem", [Fault::AnswerLost]);
    assert!(letters.remove_if_unchanged(&changed.unwrap()).await.unwrap());
    fleet.faults.next("PutItem", [Fault::Throttled; 4]);
    let error = letters.put(&filed.letter).await.unwrap_err();
    assert!(matches!(error, Error::Throttled(_)), "{error}");
}
