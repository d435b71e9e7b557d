//! Dead letters tried again, and what waits behind them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use aqueduct_engine::{Outcome, Reason, Record};
use aqueduct_store::letters::State;
use aqueduct_tests::eventually;

use super::stage::{
    Applied, EventPuppet, Member, PATIENCE, Stage, StatePuppet, assert_nothing_unaccounted, key,
};

/// The versions of one item that fail.
#[derive(Clone, Default)]
struct Failing(Arc<Mutex<HashSet<u64>>>);

impl Failing {
    fn these(versions: impl IntoIterator<Item = u64>) -> Failing {
        Failing(Arc::new(Mutex::new(versions.into_iter().collect())))
    }

    fn mend(&self, version: u64) {
        self.0.lock().unwrap().remove(&version);
    }

    fn fails(&self, record: &Record) -> bool {
        let ours = record.key() == Some(key("one").to_string().as_bytes());
        ours && record.version().is_some_and(|version| self.0.lock().unwrap().contains(&version.get()))
    }
}

/// In order; what follows a failed event of its item gets the same outcome.
fn answer(failing: &Failing, applied: &Applied, batch: &[Record]) -> Vec<Outcome> {
    let mut stopped = HashSet::new();
    let outcome = |record: &Record| {
        if failing.fails(record) || record.key().is_some_and(|key| stopped.contains(key)) {
            stopped.extend(record.key().map(<[u8]>::to_vec));
            Outcome::Poison(Reason::new("Unprocessable", "not today"))
        } else {
            applied.note(record)
        }
    };
    batch.iter().map(outcome).collect()
}

fn join_state(stage: &Stage, failing: &Failing, applied: &Applied) -> Member {
    let (failing, applied) = (failing.clone(), applied.clone());
    stage.join(StatePuppet::new(move |batch| std::future::ready(Ok(answer(&failing, &applied, &batch)))))
}

fn join_events(stage: &Stage, failing: &Failing, applied: &Applied) -> Member {
    let (failing, applied) = (failing.clone(), applied.clone());
    stage.join(EventPuppet::new(move |batch| std::future::ready(Ok(answer(&failing, &applied, &batch)))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_applies_the_latest_state_from_the_store_and_sends_nothing_to_the_topic() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    assert_eq!(stage.letter("one").await.unwrap().letter.state, State::Open);
    let ends = stage.ends().await;

    failing.mend(1);
    stage.redrive("one").await;
    stage.letter_gone("one").await;
    assert_eq!(applied.of("one"), [1]);
    assert_eq!(member.metric("aqueduct_redrives_total", Some("applied")), 1.0);
    assert_eq!(stage.ends().await, ends);
    eventually("no letter is counted", PATIENCE, || async {
        (member.metric("aqueduct_letters", None) == 0.0).then_some(())
    })
    .await;
    assert_nothing_unaccounted(&member.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_an_earlier_owner_leaves_behind_is_redriven_too() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    let late = stage.letter("one").await.unwrap().letter;
    member.stop().await;

    failing.mend(1);
    stage.redrive("one").await;
    let member = join_state(&stage, &failing, &applied);
    stage.letter_gone("one").await;
    // The earlier owner was only stopped, files its letter now, and somebody has it tried again.
    stage.letters.put(&late).await.unwrap();
    stage.redrive("one").await;
    stage.letter_gone("one").await;
    assert_eq!(applied.of("one"), [1, 1]);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_version_makes_the_letter_of_a_state_moot() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    assert!(stage.letter("one").await.is_some());
    stage.write("one", 2).await;
    stage.letter_gone("one").await;
    assert_eq!(applied.of("one"), [2]);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_keeps_its_letter_and_is_quarantined_after_too_many() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    for (redrives, state) in [(1, State::Open), (2, State::Quarantined)] {
        stage.redrive("one").await;
        let letter = eventually("it failed again", PATIENCE, || async {
            stage.letter("one").await.map(|filed| filed.letter).filter(|letter| letter.redrives == redrives)
        })
        .await;
        assert_eq!((letter.state, letter.code.as_str()), (state, "Unprocessable"));
    }
    assert_eq!(applied.count(), 0);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_event_counts_an_item_is_parked_and_a_redrive_catches_up_in_order() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([2, 4]), Applied::default());
    let member = join_events(&stage, &failing, &applied);
    for version in 1..=3 {
        stage.write("one", version).await;
        stage.write("other", version).await;
    }
    stage.all_committed().await;
    assert_eq!((applied.of("one"), applied.of("other")), (vec![1], vec![1, 2, 3]));
    let letter = stage.letter("one").await.unwrap().letter;
    assert_eq!((letter.state, letter.version.unwrap().get()), (State::Parked, 2));
    assert_eq!(member.metric("aqueduct_events_total", Some("parked")), 1.0);
    assert_eq!(stage.dead_letters().await.len(), 1);
    assert_nothing_unaccounted(&member.stop().await);

    // Its next owner knows before it applies anything.
    for version in 4..=5 {
        stage.write("one", version).await;
    }
    let member = join_events(&stage, &failing, &applied);
    stage.all_committed().await;
    assert_eq!(applied.of("one"), [1]);
    assert_eq!(member.metric("aqueduct_events_total", Some("parked")), 2.0);

    failing.mend(2);
    stage.redrive("one").await;
    let letter = eventually("it stops at the next fault", PATIENCE, || async {
        stage.letter("one").await.map(|filed| filed.letter).filter(|letter| letter.redrives == 1)
    })
    .await;
    assert_eq!((letter.state, letter.version.unwrap().get()), (State::Parked, 4));
    assert_eq!(applied.of("one"), [1, 2, 3]);

    failing.mend(4);
    stage.redrive("one").await;
    stage.letter_gone("one").await;
    stage.write("one", 6).await;
    stage.all_committed().await;
    assert_eq!(applied.of("one"), [1, 2, 3, 4, 5, 6]);
    assert_nothing_unaccounted(&member.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_a_crash_cut_off_is_done_by_the_next_owner() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    member.stop().await;

    let entered = Arc::new(tokio::sync::Semaphore::new(0));
    let inside = entered.clone();
    let hangs = stage.join(StatePuppet::new(move |_| {
        inside.add_permits(1);
        std::future::pending()
    }));
    stage.redrive("one").await;
    entered.acquire().await.unwrap().forget();
    hangs.crash().await;
    assert_eq!(stage.letter("one").await.unwrap().letter.state, State::Redrive);

    failing.mend(1);
    let member = join_state(&stage, &failing, &applied);
    stage.letter_gone("one").await;
    assert_eq!(applied.of("one"), [1]);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_item_the_store_does_not_know_stays_and_says_so() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_state(&stage, &failing, &applied);
    // In the topic, not in the store.
    stage.publish("one", 1).await;
    stage.all_committed().await;
    stage.redrive("one").await;
    let letter = eventually("it failed again", PATIENCE, || async {
        stage.letter("one").await.map(|filed| filed.letter).filter(|letter| letter.redrives == 1)
    })
    .await;
    assert!(letter.message.contains("discarded"), "{}", letter.message);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_forgets_a_letter_that_somebody_discarded() {
    let stage = Stage::new(1).await;
    let (failing, applied) = (Failing::these([1]), Applied::default());
    let member = join_events(&stage, &failing, &applied);
    stage.write("one", 1).await;
    stage.all_committed().await;
    let filed = stage.letter("one").await.unwrap();
    assert!(stage.letters.remove_if_unchanged(&filed).await.unwrap());
    eventually("it is forgotten", PATIENCE, || async {
        (member.metric("aqueduct_letters", None) == 0.0).then_some(())
    })
    .await;
    stage.write("one", 2).await;
    stage.all_committed().await;
    assert_eq!(applied.of("one"), [2]);
    member.stop().await;
}
