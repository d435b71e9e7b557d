//! Which commands are driven, and in what share: a shuffled deck, so that the mix holds exactly and not by luck.

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// One thing to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Card {
    /// POST a new item.
    Create,
    /// PUT all attributes of a living item.
    Update,
    /// PATCH one attribute of a living item.
    Patch,
    /// DELETE a living item.
    Delete,
    /// A command on an old version, which must be refused with 409 or 412.
    StaleVersion,
    /// Two updates of the same version at once, of which exactly one may win.
    Race,
}

/// A hundred commands; a race counts twice, once as an update and once as a conflict.
const HUNDRED: [(Card, usize); 6] = [
    (Card::Create, 41),
    (Card::Update, 13),
    (Card::Patch, 14),
    (Card::Delete, 12),
    (Card::StaleVersion, 8),
    (Card::Race, 6),
];

/// Deals cards for ever, reshuffling after every hundred commands.
pub(crate) struct Deck {
    cards: Vec<Card>,
}

impl Deck {
    pub(crate) fn new() -> Deck {
        Deck { cards: Vec::new() }
    }

    pub(crate) fn deal(&mut self, rng: &mut StdRng) -> Card {
        if self.cards.is_empty() {
            self.cards =
                HUNDRED.iter().flat_map(|(card, count)| std::iter::repeat_n(*card, *count)).collect();
            self.cards.shuffle(rng);
        }
        self.cards.pop().unwrap_or(Card::Create)
    }
}

/// What was sent and how it was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// Items created.
    pub created: u64,
    /// Versions made by PUT.
    pub updated: u64,
    /// Versions made by PATCH.
    pub patched: u64,
    /// Items deleted.
    pub deleted: u64,
    /// Commands refused because the version had moved on.
    pub conflicts: u64,
    /// Commands whose answer was lost; what became of them was read from the store.
    pub unanswered: u64,
}

impl Mix {
    /// Commands in all.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.created + self.updated + self.patched + self.deleted + self.conflicts + self.unanswered
    }

    /// At least a tenth each of version conflicts, updates (by PUT or PATCH) and deletes.
    #[must_use]
    pub fn has_a_tenth_of_each(&self) -> bool {
        let tenth = self.commands().div_ceil(10);
        [self.conflicts, self.updated + self.patched, self.deleted].into_iter().all(|count| count >= tenth)
    }

    /// Adds what another lane did.
    pub fn add(&mut self, other: &Mix) {
        self.created += other.created;
        self.updated += other.updated;
        self.patched += other.patched;
        self.deleted += other.deleted;
        self.conflicts += other.conflicts;
        self.unanswered += other.unanswered;
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.commands().max(1);
        let parts = [
            ("created", self.created),
            ("updated", self.updated),
            ("patched", self.patched),
            ("deleted", self.deleted),
            ("version conflicts", self.conflicts),
            ("unanswered", self.unanswered),
        ];
        write!(f, "{} commands:", self.commands())?;
        for (name, count) in parts.iter().filter(|(_, count)| *count > 0) {
            write!(f, " {count} {name} ({} %),", count * 100 / total)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_hundred_commands_hold_a_tenth_each_of_conflicts_updates_and_deletes() {
        let count = |card| HUNDRED.iter().find(|(c, _)| *c == card).map_or(0, |(_, n)| *n);
        let commands: usize = HUNDRED.iter().map(|(_, n)| n).sum::<usize>() + count(Card::Race);
        assert_eq!(commands, 100);
        assert!(count(Card::StaleVersion) + count(Card::Race) >= 10);
        assert!(count(Card::Update) >= 10 && count(Card::Delete) >= 10);
    }

    #[test]
    fn the_same_seed_deals_the_same_cards() {
        let deal = || {
            let (mut deck, mut rng) = (Deck::new(), StdRng::seed_from_u64(7));
            (0..250).map(|_| deck.deal(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(deal(), deal());
    }
}
