//! What there is, and everything that may happen to it next.

/// Records that the topic gets, at most. The first is there from the beginning.
pub(super) const RECORDS: u8 = 2;
const GENERATIONS: usize = 2;
const WORKERS: usize = 2;
const SWAPPERS: usize = 2;

/// What is taken out of the protocol, to see that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Without {
    Nothing,
    /// Writes to the live generation go on during a swap.
    Hold,
    /// The other group's position is not waited for.
    Level,
    /// The ends of the topics are read before writes are held up.
    EndsUnderHold,
    /// The other index is not refreshed.
    Refresh,
    /// A process switches without asking whether it was cleared away.
    Fence,
    /// The load begins, and then the ends are noted.
    EndsBeforeLoad,
    /// A generation is swapped to before it is loaded.
    Load,
    /// A generation is retired although a swap to it is under way.
    RetireAsks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// The topic gets its next record.
    Produce,
    /// The loader goes on by a step.
    Load,
    /// A worker joins the group of a generation and owns its partition; what it had in memory is gone.
    Join(usize, usize),
    /// A worker applies its next record, be it a zombie.
    Apply(usize, usize),
    /// The owner commits what it has applied.
    Commit(usize),
    /// What was written is found by searches.
    Refresh(usize),
    /// A process begins a swap to the generation that is not live: notes it and holds up writes.
    Hold(usize),
    /// It reads the ends of the topics.
    Note(usize),
    /// It found the other group level, and refreshed.
    Check(usize),
    /// It switches.
    Switch(usize),
    /// It dies.
    Die(usize),
    /// Somebody clears away a swap whose time is over, or the server ends its session.
    Clear,
    /// The generation that is not live is retired, and dropped.
    Retire,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Loading {
    Begun,
    /// The ends were noted, or, without that order, what is there was read.
    Half(u8),
    /// What is there was written, up to here.
    Written(u8),
    /// The offsets were committed.
    Committed,
    Loaded,
}

/// How far a process that swaps is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Swapping {
    No,
    Holding { to: usize },
    Noted { to: usize, ends: u8 },
    Checked { to: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Generation {
    /// The version that it holds; 0 for none.
    holds: u8,
    /// The version that searches find.
    found: u8,
    /// What its group has committed: the number of records.
    committed: u8,
    /// The worker that owns the partition.
    owner: Option<usize>,
    /// For each worker that consumes it, the record that it applies next.
    next: [Option<u8>; WORKERS],
    dropped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    without: Without,
    end: u8,
    generations: [Generation; GENERATIONS],
    live: usize,
    swaps: u8,
    loading: Loading,
    swappers: [Swapping; SWAPPERS],
    /// Who holds up writes, and to which generation the note says that it swaps.
    held: Option<(usize, usize)>,
    /// The most that a reader has seen.
    seen: u8,
    went_back: bool,
}

impl World {
    pub(super) fn new(without: Without) -> World {
        let first = Generation { holds: 1, found: 1, committed: 1, ..Generation::default() };
        World {
            without,
            end: 1,
            generations: [first, Generation::default()],
            live: 0,
            swaps: 0,
            loading: Loading::Begun,
            swappers: [Swapping::No; SWAPPERS],
            held: None,
            seen: 1,
            went_back: false,
        }
    }

    pub(super) fn actions(&self, actions: &mut Vec<Action>) {
        actions.extend([Action::Produce, Action::Load, Action::Clear, Action::Retire]);
        for generation in 0..GENERATIONS {
            actions.extend([Action::Commit(generation), Action::Refresh(generation)]);
            for worker in 0..WORKERS {
                actions.extend([Action::Join(generation, worker), Action::Apply(generation, worker)]);
            }
        }
        for swapper in 0..SWAPPERS {
            actions.extend([
                Action::Hold(swapper),
                Action::Note(swapper),
                Action::Check(swapper),
                Action::Switch(swapper),
                Action::Die(swapper),
            ]);
        }
    }

    /// Does it, or nothing where it cannot happen.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Produce => self.end = RECORDS.min(self.end + 1),
            Action::Load => self.load(),
            Action::Join(generation, worker) => self.join(generation, worker),
            Action::Apply(generation, worker) => self.apply(generation, worker),
            Action::Commit(generation) => {
                let one = &mut self.generations[generation];
                let next = one.owner.and_then(|owner| one.next[owner]);
                one.committed = next.unwrap_or(one.committed).max(one.committed);
            }
            Action::Refresh(generation) => {
                let one = &mut self.generations[generation];
                one.found = one.holds;
            }
            Action::Hold(swapper) => self.hold(swapper),
            Action::Note(swapper) => self.note(swapper),
            Action::Check(swapper) => self.check(swapper),
            Action::Switch(swapper) => self.switch(swapper),
            Action::Die(swapper) => self.swappers[swapper] = Swapping::No,
            Action::Clear => self.held = None,
            Action::Retire => self.retire(),
        }
        let shown = self.shown();
        self.went_back |= shown < self.seen;
        self.seen = self.seen.max(shown);
    }

    fn load(&mut self) {
        let new = &mut self.generations[1];
        self.loading = match self.loading {
            Loading::Begun => Loading::Half(self.end),
            Loading::Half(noted) if self.without == Without::EndsBeforeLoad => {
                new.holds = new.holds.max(noted);
                Loading::Written(self.end)
            }
            Loading::Half(noted) => {
                new.holds = new.holds.max(noted);
                Loading::Written(noted)
            }
            Loading::Written(noted) => {
                new.committed = noted;
                Loading::Committed
            }
            Loading::Committed | Loading::Loaded => {
                new.found = new.holds;
                Loading::Loaded
            }
        };
    }

    fn is_consumed(&self, generation: usize) -> bool {
        generation == 0 || self.loading == Loading::Loaded
    }

    fn join(&mut self, generation: usize, worker: usize) {
        if !self.is_consumed(generation) {
            return;
        }
        let one = &mut self.generations[generation];
        one.owner = Some(worker);
        one.next[worker] = Some(one.committed);
    }

    fn apply(&mut self, generation: usize, worker: usize) {
        let is_held = self.held.is_some() && generation == self.live && self.without != Without::Hold;
        let end = self.end;
        let one = &mut self.generations[generation];
        let Some(next) = one.next[worker].filter(|next| *next < end) else { return };
        // Neither a write that is held up nor one to what is dropped is ever done: it is tried again.
        if is_held || one.dropped {
            return;
        }
        one.holds = one.holds.max(next + 1);
        one.next[worker] = Some(next + 1);
    }

    fn hold(&mut self, swapper: usize) {
        let to = 1 - self.live;
        let is_ready = self.is_consumed(to) || self.without == Without::Load;
        let may_begin = match self.swappers[swapper] {
            Swapping::No => self.without != Without::EndsUnderHold,
            Swapping::Noted { to: noted, .. } => self.without == Without::EndsUnderHold && noted == to,
            _ => false,
        };
        // The registry's entry takes one swap at a time.
        if !may_begin || self.held.is_some() || self.swaps >= 2 {
            return;
        }
        if is_ready && !self.generations[to].dropped {
            self.held = Some((swapper, to));
            if self.swappers[swapper] == Swapping::No {
                self.swappers[swapper] = Swapping::Holding { to };
            }
        }
    }

    fn note(&mut self, swapper: usize) {
        let to = match self.swappers[swapper] {
            Swapping::Holding { to } => to,
            // Too early.
            Swapping::No if self.without == Without::EndsUnderHold => 1 - self.live,
            _ => return,
        };
        self.swappers[swapper] = Swapping::Noted { to, ends: self.end };
    }

    fn check(&mut self, swapper: usize) {
        let Swapping::Noted { to, ends } = self.swappers[swapper] else { return };
        if self.held.is_none() && self.without == Without::EndsUnderHold {
            return;
        }
        let other = &mut self.generations[to];
        let skips = matches!(self.without, Without::Level | Without::Load);
        if other.committed >= ends || skips {
            if self.without != Without::Refresh {
                other.found = other.holds;
            }
            self.swappers[swapper] = Swapping::Checked { to };
        }
    }

    fn switch(&mut self, swapper: usize) {
        let Swapping::Checked { to } = self.swappers[swapper] else { return };
        self.swappers[swapper] = Swapping::No;
        if self.held != Some((swapper, to)) && self.without != Without::Fence {
            return;
        }
        self.held = None;
        self.swaps += u8::from(self.live != to);
        self.live = to;
    }

    fn retire(&mut self) {
        let other = 1 - self.live;
        let was_live = self.swaps > 0;
        let is_swapped_to = self.held.is_some_and(|(_, to)| to == other);
        if was_live && (!is_swapped_to || self.without == Without::RetireAsks) {
            self.generations[other].dropped = true;
        }
    }

    /// What a reader sees now.
    pub(super) fn shown(&self) -> u8 {
        self.generations[self.live].found
    }

    pub(super) fn went_back(&self) -> bool {
        self.went_back
    }

    pub(super) fn shows_what_is_dropped(&self) -> bool {
        self.generations[self.live].dropped
    }

    pub(super) fn commits_follow_effects(&self) -> bool {
        self.generations.iter().all(|one| one.committed <= one.holds)
    }

    /// Whether both generations hold everything once nobody swaps any more and workers go on.
    pub(super) fn after_workers_have_caught_up(&self) -> bool {
        let mut later = *self;
        later.held = None;
        for generation in (0..GENERATIONS).filter(|generation| self.is_consumed(*generation)) {
            later.join(generation, 0);
            for _ in 0..RECORDS {
                later.apply(generation, 0);
            }
            let one = &later.generations[generation];
            if one.holds < later.end && !one.dropped {
                return false;
            }
        }
        true
    }

    pub(super) fn rolled_back(&self) -> bool {
        self.swaps == 2 && self.live == 0
    }

    pub(super) fn has_late_swapper(&self) -> bool {
        let late = |(swapper, swapping): (usize, &Swapping)| {
            matches!(swapping, Swapping::Checked { .. })
                && self.held.is_none_or(|(holder, _)| holder != swapper)
        };
        self.swappers.iter().enumerate().any(late)
    }

    pub(super) fn has_retired(&self) -> bool {
        self.generations.iter().any(|one| one.dropped)
    }
}
