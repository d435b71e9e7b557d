//! Optimistic locking, and writers that race.

use futures::future::join_all;
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde_json::json;

use super::app::{Answer, App, answer};

async fn patch_if_match(app: &App, tag: &str, title: &str) -> Answer {
    let body = json!({ "attributes": { "title": title } });
    answer(app.at_tenant(Method::PATCH, "NOTE/n").header(IF_MATCH, tag).json(&body)).await
}

#[tokio::test]
async fn if_match_lets_the_right_version_through_and_answers_412_to_others() {
    let app = App::start().await;
    app.note("n", "a").await;
    patch_if_match(&app, "\"1\"", "b").await.expect(200);
    let refused = patch_if_match(&app, "\"1\"", "c").await.problem(412, "PreconditionFailed");
    assert_eq!(refused.body["currentVersion"], 2);
    patch_if_match(&app, "\"7\", \"2\"", "d").await.expect(200);
    patch_if_match(&app, "*", "e").await.expect(200);
    patch_if_match(&app, "\"0\"", "f").await.problem(412, "PreconditionFailed");
    let delete = app.at_tenant(Method::DELETE, "NOTE/n").header(IF_MATCH, "\"1\"");
    answer(delete).await.problem(412, "PreconditionFailed");
    let titles: Vec<_> = app
        .versions("NOTE", "n")
        .await
        .into_iter()
        .map(|event| event.item.attributes["title"].clone())
        .collect();
    assert_eq!(titles, ["a", "b", "d", "e"]);
}

#[tokio::test]
async fn an_etag_that_is_weak_or_malformed_is_refused() {
    let app = App::start().await;
    app.note("n", "a").await;
    for tag in ["W/\"1\"", "1", "\"1", ""] {
        let refused = patch_if_match(&app, tag, "b").await;
        if tag.is_empty() {
            // Names no version, so none matches.
            refused.problem(412, "PreconditionFailed");
        } else {
            assert_eq!(refused.problem(400, "HeaderInvalid").body["header"], "if-match");
        }
    }
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn a_version_in_the_body_is_answered_with_409_when_it_is_not_the_current_one() {
    let app = App::start().await;
    app.note("n", "a").await;
    app.put("NOTE/n", json!({ "version": 1, "attributes": { "title": "b" } })).await.expect(200);
    let stale = json!({ "version": 1, "attributes": { "title": "c" } });
    for refused in [app.put("NOTE/n", stale.clone()).await, app.patch("NOTE/n", stale).await] {
        assert_eq!(refused.problem(409, "VersionConflict").body["currentVersion"], 2);
    }
    let delete =
        |version| answer(app.at_tenant(Method::DELETE, "NOTE/n").json(&json!({ "version": version })));
    delete(1).await.problem(409, "VersionConflict");
    delete(2).await.expect(200);
}

#[tokio::test]
async fn the_expected_version_in_header_and_body_at_once_is_refused() {
    let app = App::start().await;
    app.note("n", "a").await;
    let body = json!({ "version": 1, "attributes": { "title": "b" } });
    let request = app.at_tenant(Method::PUT, "NOTE/n").header(IF_MATCH, "\"1\"").json(&body);
    answer(request).await.problem(400, "VersionTwice");
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn a_missing_item_is_404_whatever_version_is_expected() {
    let app = App::start().await;
    for tag in ["\"1\"", "*"] {
        patch_if_match(&app, tag, "a").await.problem(404, "ItemNotFound");
    }
    let body = json!({ "version": 1, "attributes": { "title": "b" } });
    app.put("NOTE/n", body).await.problem(404, "ItemNotFound");
}

#[tokio::test]
async fn of_writers_that_expect_the_same_version_one_wins_and_the_others_are_told() {
    let app = App::start().await;
    app.note("n", "a").await;
    let writers: Vec<String> = (0..16).map(|writer| format!("writer {writer}")).collect();
    let answers = join_all(writers.iter().map(|title| patch_if_match(&app, "\"1\"", title))).await;
    let (won, lost): (Vec<_>, Vec<_>) =
        writers.iter().zip(answers).partition(|(_, answer)| answer.status == 200);
    assert_eq!(won.len(), 1);
    for (_, answer) in lost {
        assert_eq!(answer.problem(412, "PreconditionFailed").body["currentVersion"], 2);
    }
    let versions = app.versions("NOTE", "n").await;
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1].item.attributes["title"], won[0].0.as_str());
}

#[tokio::test]
async fn of_racing_creates_one_wins() {
    let app = App::start().await;
    let create =
        |writer: i32| app.post("NOTE", json!({ "id": "n", "attributes": { "title": writer.to_string() } }));
    let answers = join_all((0..16).map(create)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.problem(409, "ItemExists");
    }
    assert_eq!(app.versions("NOTE", "n").await.len(), 1);
}

#[tokio::test]
async fn racing_writers_that_expect_nothing_leave_no_gap_and_every_accepted_write_counts() {
    let app = App::start().await;
    app.note("n", "a").await;
    let patch =
        |writer: i32| app.patch("NOTE/n", json!({ "attributes": { (format!("w{writer}")): writer } }));
    let answers = join_all((0..12).map(patch)).await;
    let mut accepted = 0;
    for answer in &answers {
        match answer.status.as_u16() {
            200 => accepted += 1,
            409 => assert_eq!(answer.code(), "WriteContended"),
            _ => panic!("{answer:#?}"),
        }
    }
    assert!(accepted > 0);
    let versions = app.versions("NOTE", "n").await;
    assert_eq!(versions.len(), accepted + 1);
    let numbers: Vec<u64> = versions.iter().map(|event| event.item.version.get()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    // Each accepted write decided on the state before it: none has undone another's.
    let last = &versions.last().unwrap().item.attributes;
    assert_eq!(last.len(), accepted + 1);
}
