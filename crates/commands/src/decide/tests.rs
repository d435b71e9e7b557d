use aqueduct_contract::{Attributes, Event, Item, ItemKey, Version};
use aqueduct_model::{Model, Type};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Change, Command, Expected, Moment, Origin, Refused, decide, stamp};

const NOTE: &str = r"
aqueduct: v1
type: NOTE
schema:
  type: object
  required: [title]
  additionalProperties: false
  properties:
    title: { type: string, minLength: 1 }
    stars: { type: integer, minimum: 0, default: 0 }
    labels: { type: object }
";

fn note() -> Type {
    let model = Model::parse([("note.yaml", NOTE)]).unwrap();
    model.get(&"NOTE".parse().unwrap()).unwrap().clone()
}

fn attributes(value: Value) -> Attributes {
    match value {
        Value::Object(attributes) => attributes,
        other => panic!("{other} is not an object"),
    }
}

fn key() -> ItemKey {
    ItemKey::new("acme".parse().unwrap(), "NOTE".parse().unwrap(), "n1".parse().unwrap()).unwrap()
}

fn version(number: u64) -> Version {
    number.try_into().unwrap()
}

fn event(change: Change, previous: Option<&Item>, microsecond: i64) -> Event {
    let origin = Origin {
        caller: "anonymous".to_owned(),
        correlation_id: "c".parse().unwrap(),
        causation_id: None,
        traceparent: None,
    };
    let moment = Moment { now: Timestamp::from_microsecond(microsecond).unwrap(), random: [7; 16] };
    stamp(change, key(), previous, 1, &origin, moment)
}

fn create(value: Value) -> Command {
    Command::Create { attributes: attributes(value) }
}

fn update(value: Value) -> Command {
    Command::Update { attributes: attributes(value) }
}

fn patch(value: Value) -> Command {
    Command::Patch { patch: attributes(value) }
}

/// The item after these commands, each of which must be accepted.
fn after(commands: &[Command]) -> Item {
    let of = note();
    let mut item = None;
    for command in commands {
        let change = decide(&of.schema, item.as_ref(), command, &Expected::Any).unwrap();
        item = Some(event(change, item.as_ref(), 0).item);
    }
    item.expect("at least one command")
}

fn refused(current: Option<&Item>, command: &Command, expected: &Expected) -> Refused {
    decide(&note().schema, current, command, expected).expect_err("the command must be refused")
}

#[test]
fn a_create_fills_in_defaults_and_is_version_one() {
    let item = after(&[create(json!({"title": "a"}))]);
    assert_eq!(item.version, Version::FIRST);
    assert_eq!(item.attributes, attributes(json!({"title": "a", "stars": 0})));
}

#[test]
fn an_update_replaces_and_a_patch_merges() {
    let first = create(json!({"title": "a", "labels": {"x": 1, "y": 2}, "stars": 3}));
    let updated = after(&[first.clone(), update(json!({"title": "b"}))]);
    assert_eq!(updated.attributes, attributes(json!({"title": "b", "stars": 0})));
    let patched = after(&[first, patch(json!({"labels": {"x": null, "z": 3}}))]);
    let expected = json!({"title": "a", "labels": {"y": 2, "z": 3}, "stars": 3});
    assert_eq!(patched.attributes, attributes(expected));
    assert_eq!((updated.version, patched.version), (version(2), version(2)));
}

#[test]
fn a_command_that_changes_nothing_is_a_version_all_the_same() {
    let item = after(&[create(json!({"title": "a"})), patch(json!({})), patch(json!({}))]);
    assert_eq!(item.version, version(3));
}

#[test]
fn a_delete_keeps_the_attributes_and_a_create_after_it_makes_the_next_version() {
    let deleted = after(&[create(json!({"title": "a"})), Command::Delete]);
    assert!(deleted.deleted);
    assert_eq!((deleted.version, &deleted.attributes["title"]), (version(2), &json!("a")));
    let again = after(&[create(json!({"title": "a"})), Command::Delete, create(json!({"title": "b"}))]);
    assert!(!again.deleted);
    assert_eq!((again.version, again.created_at), (version(3), deleted.created_at));
}

#[test]
fn creating_what_exists_and_changing_what_does_not_is_refused() {
    let item = after(&[create(json!({"title": "a"}))]);
    let exists = refused(Some(&item), &create(json!({"title": "a"})), &Expected::Any);
    assert_eq!(exists, Refused::Exists { current: Version::FIRST });
    let deleted = after(&[create(json!({"title": "a"})), Command::Delete]);
    for command in [update(json!({"title": "a"})), patch(json!({})), Command::Delete] {
        assert_eq!(refused(None, &command, &Expected::Any), Refused::Missing);
        let gone = Refused::Deleted { current: version(2) };
        assert_eq!(refused(Some(&deleted), &command, &Expected::Any), gone);
    }
}

#[test]
fn another_version_than_expected_is_refused_before_the_attributes_are_looked_at() {
    let item = after(&[create(json!({"title": "a"})), patch(json!({"stars": 1}))]);
    let conflict = Refused::VersionConflict { current: version(2) };
    for command in [update(json!({"nonsense": true})), patch(json!({"title": 1})), Command::Delete] {
        assert_eq!(refused(Some(&item), &command, &Expected::OneOf(vec![version(1)])), conflict);
        assert_eq!(refused(Some(&item), &command, &Expected::OneOf(vec![])), conflict);
    }
    let expected = Expected::OneOf(vec![version(1), version(2)]);
    assert!(decide(&note().schema, Some(&item), &Command::Delete, &expected).is_ok());
}

#[test]
fn every_violation_is_listed_with_its_pointer() {
    let Refused::Invalid(violations) =
        refused(None, &create(json!({"stars": -1, "colour": "red"})), &Expected::Any)
    else {
        panic!("the attributes must be found invalid")
    };
    let pointers: Vec<&str> = violations.iter().map(|violation| violation.pointer.as_str()).collect();
    for pointer in ["/title", "/stars", "/colour"] {
        assert!(pointers.contains(&pointer), "{pointer} is not among {violations:?}");
    }
}

#[test]
fn a_patch_is_judged_by_what_it_leads_to() {
    let item = after(&[create(json!({"title": "a"}))]);
    assert!(matches!(
        refused(Some(&item), &patch(json!({"title": null})), &Expected::Any),
        Refused::Invalid(_)
    ));
    let text = refused(Some(&item), &patch(json!({"title": "\u{0}"})), &Expected::Any);
    assert!(matches!(text, Refused::Invalid(_)));
}

#[test]
fn time_moves_on_even_when_the_clock_goes_back() {
    let of = note();
    let change =
        |current: Option<&Item>, command| decide(&of.schema, current, &command, &Expected::Any).unwrap();
    let first = event(change(None, create(json!({"title": "a"}))), None, 1_000).item;
    let second = event(change(Some(&first), patch(json!({}))), Some(&first), 500).item;
    let third = event(change(Some(&second), patch(json!({}))), Some(&second), 9_000).item;
    let times = [&first, &second, &third].map(|item| item.updated_at.as_microsecond());
    assert_eq!(times, [1_000, 1_001, 9_000]);
    assert_eq!(third.created_at, first.created_at);
}

fn any_command() -> impl Strategy<Value = Command> {
    let value = prop_oneof![
        Just(json!({})),
        Just(json!({"title": "a"})),
        Just(json!({"title": ""})),
        Just(json!({"title": null})),
        (-1..5_i64).prop_map(|stars| json!({"title": "b", "stars": stars})),
        "[a-c]".prop_map(|label| json!({"labels": {label: null}, "title": "c"})),
        Just(json!({"labels": {"a": {"b": [1]}}})),
    ];
    prop_oneof![
        value.clone().prop_map(create),
        value.clone().prop_map(update),
        value.prop_map(patch),
        Just(Command::Delete),
    ]
}

fn any_expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        3 => Just(Expected::Any),
        1 => prop::collection::vec(1..6_u64, 0..3)
            .prop_map(|numbers| Expected::OneOf(numbers.into_iter().map(version).collect())),
    ]
}

proptest! {
    #[test]
    fn whatever_is_asked_versions_are_gapless_times_rise_and_states_are_valid(
        steps in prop::collection::vec((any_command(), any_expected(), 0..20_i64), 0..30)
    ) {
        let of = note();
        let mut current: Option<Item> = None;
        for (command, expected, now) in steps {
            let Ok(change) = decide(&of.schema, current.as_ref(), &command, &expected) else { continue };
            let next = event(change, current.as_ref(), now).item;
            prop_assert_eq!(next.version.get(), current.as_ref().map_or(0, |item| item.version.get()) + 1);
            prop_assert_eq!(of.schema.accept(next.attributes.clone()), Ok(next.attributes.clone()));
            prop_assert_eq!(next.deleted, command == Command::Delete);
            if let Some(previous) = &current {
                prop_assert!(next.updated_at > previous.updated_at);
                prop_assert_eq!(next.created_at, previous.created_at);
                let is_create = matches!(command, Command::Create { .. });
                prop_assert_eq!(previous.deleted, is_create);
            }
            current = Some(next);
        }
    }
}
