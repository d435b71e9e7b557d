//! Searches every order of steps of a load, a swap, a rollback and a retirement, while events come and workers apply them.
//!
//! The world is one item in one partition: its record at offset n makes version n + 1. Two generations, each with a group of two
//! workers, of which one may be a zombie; both may die, lag, or not know of a generation yet. Two processes that swap, of
//! which any may die, or freeze and wake up after others have cleared away what it held. A reader looks all the time.
//! Postgres and OpenSearch are the same world: holding up writes is a lock there and a block here, and that a swap was
//! cleared away shows in a session that ended there and a fence that is gone here.

mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};
use world::{Action, RECORDS, Without, World};

struct Search {
    without: Without,
}

impl Model for Search {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.without)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = *world;
        next.act(action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Search>> {
        vec![
            Property::always(BACKWARDS, |_, world: &World| !world.went_back()),
            Property::always(DROPPED, |_, world: &World| !world.shows_what_is_dropped()),
            Property::always(COMMITTED, |_, world: &World| world.commits_follow_effects()),
            Property::always(CATCHES_UP, |_, world: &World| world.after_workers_have_caught_up()),
            // That the search goes where it should.
            Property::sometimes("swapped, and back, with everything applied", |_, world: &World| {
                world.rolled_back() && world.shown() == RECORDS
            }),
            Property::sometimes("a process woke up after it was cleared away", |_, world: &World| {
                world.has_late_swapper()
            }),
            Property::sometimes("what was live is retired", |_, world: &World| world.has_retired()),
        ]
    }
}

const BACKWARDS: &str = "readers never see less than before: nothing missing, nothing older, never empty";
const DROPPED: &str = "readers never see what is dropped";
const COMMITTED: &str = "a committed offset has its effect";
const CATCHES_UP: &str = "workers alone bring both generations level, from wherever things stand";

#[test]
fn readers_see_no_event_missing_whoever_dies_lags_or_wakes_up() {
    let checker = Search { without: Without::Nothing }.checker().threads(2).spawn_bfs().join();
    println!("{} states, at most {} steps deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

/// Looks for the shortest way to break `property`, and prints it.
fn assert_breaks(property: &'static str, without: Without) {
    let search = Search { without }.checker().finish_when(HasDiscoveries::AnyOf([property].into()));
    let Some(path) = search.spawn_bfs().join().discovery(property) else {
        panic!("nothing breaks \"{property}\"");
    };
    for action in path.into_actions() {
        println!("{action:?}");
    }
}

#[test]
fn without_holding_up_writes_readers_go_back() {
    assert_breaks(BACKWARDS, Without::Hold);
}

#[test]
fn without_waiting_for_the_committed_position_readers_go_back() {
    assert_breaks(BACKWARDS, Without::Level);
}

#[test]
fn without_reading_the_ends_under_the_hold_readers_go_back() {
    assert_breaks(BACKWARDS, Without::EndsUnderHold);
}

#[test]
fn without_a_refresh_searches_go_back() {
    assert_breaks(BACKWARDS, Without::Refresh);
}

#[test]
fn without_a_fence_a_process_that_wakes_up_has_readers_go_back() {
    assert_breaks(BACKWARDS, Without::Fence);
}

#[test]
fn without_noting_the_ends_before_the_load_an_event_is_missing() {
    assert_breaks(COMMITTED, Without::EndsBeforeLoad);
}

#[test]
fn without_loading_first_readers_see_an_empty_view() {
    assert_breaks(BACKWARDS, Without::Load);
}

#[test]
fn without_asking_for_a_swap_a_generation_is_retired_under_readers() {
    assert_breaks(DROPPED, Without::RetireAsks);
}
