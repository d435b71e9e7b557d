//! Searches every order of steps of writers and publishers of one item: the protocol that the publisher executes, on a
//! model of the table, the topic and the network.
//!
//! Three writers and three publishers, three versions. Nothing bounds faults: any number of crashes, late index reads, lost Put
//! answers, lost acknowledgements, records that land after their sender is gone.

mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};
use world::{Action, VERSIONS, Without, World, Wrong};

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
        next.normalise();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Search>> {
        vec![
            Property::always("versions are gapless", |_, world: &World| world.wrong != Some(Wrong::Gap)),
            Property::always(
                "a writer whose Put went through is never told that it lost",
                |_, world: &World| world.wrong != Some(Wrong::ToldLost),
            ),
            Property::always("a writer is told that it won only if it did", |_, world: &World| {
                world.wrong != Some(Wrong::ToldStored)
            }),
            Property::always("versions appear in order", |_, world: &World| {
                world.wrong != Some(Wrong::Order)
            }),
            Property::always("a repeat is the same event", |_, world: &World| {
                world.wrong != Some(Wrong::Repeat)
            }),
            Property::always("what has no marker is in the topic", |_, world: &World| {
                world.unmarked_are_in_topic()
            }),
            Property::always(
                "what is accepted can always be published by one sweeper",
                |_, world: &World| world.after_one_undisturbed_sweep().all_published(),
            ),
            // That the search goes where it should.
            Property::sometimes("each writer wins a version and all are published", |_, world: &World| {
                world.winners() == VERSIONS && world.all_published()
            }),
            Property::sometimes("a record is on its way without a sender", |_, world: &World| {
                world.straying()
            }),
        ]
    }
}

#[test]
fn the_protocol_keeps_versions_gapless_published_and_in_order() {
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
fn without_earlier_first_versions_appear_out_of_order() {
    assert_breaks("versions appear in order", Without::EarlierFirst);
}

#[test]
fn without_waiting_for_acknowledgements_versions_appear_out_of_order() {
    assert_breaks("versions appear in order", Without::Acknowledgements);
}

#[test]
fn without_comparing_event_ids_a_winner_is_told_that_it_lost() {
    assert_breaks("a writer whose Put went through is never told that it lost", Without::EventIds);
}
