//! One driver among several: it owns its items, so it knows what each must be after every answer.

use std::collections::BTreeSet;

use anyhow::bail;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value};

use super::client::{Answer, Client, Expect, Shown};
use super::deck::{Card, Deck, Mix};
use super::expected::{Expectation, Expected, Identity};
use super::shop;
use super::stores::Stores;

/// Sends one command after the other and keeps what the answers say.
pub(crate) struct Lane {
    name: String,
    client: Client,
    stores: Stores,
    rng: StdRng,
    deck: Deck,
    living: Vec<Identity>,
    sent: u64,
    /// Items of which an answer was lost: the write may still have been on its way when the item was read.
    doubtful: BTreeSet<Identity>,
    /// Creates whose answer was lost, and so the id that the fleet gave: type and correlation id.
    lost: Vec<(&'static str, String)>,
    /// What every item of this lane must be by now.
    pub(crate) expected: Expectation,
    /// What was sent so far.
    pub(crate) mix: Mix,
}

impl Lane {
    pub(crate) fn new(name: String, client: Client, stores: Stores, seed: u64) -> Lane {
        Lane {
            name,
            client,
            stores,
            rng: StdRng::seed_from_u64(seed),
            deck: Deck::new(),
            living: Vec::new(),
            sent: 0,
            doubtful: BTreeSet::new(),
            lost: Vec::new(),
            expected: Expectation::new(),
            mix: Mix::default(),
        }
    }

    /// Deals one card and plays it. Where nothing lives yet, whatever was dealt is a create.
    pub(crate) async fn step(&mut self) -> anyhow::Result<()> {
        let card = self.deck.deal(&mut self.rng);
        let Some(identity) = self.pick() else { return self.create().await };
        match card {
            Card::Create => self.create().await,
            Card::Update => self.update(&identity).await,
            Card::Patch => self.patch(&identity).await,
            Card::Delete => self.delete(&identity).await,
            Card::StaleVersion => self.stale(&identity).await,
            Card::Race => self.race(&identity).await,
        }
    }

    fn pick(&mut self) -> Option<Identity> {
        if self.living.is_empty() {
            return None;
        }
        let index = self.rng.random_range(0..self.living.len());
        self.living.get(index).cloned()
    }

    fn version(&self, identity: &Identity) -> u64 {
        self.expected.get(identity).map_or(1, |expected| expected.version)
    }

    /// Half of the commands say the version they expect in the body, half in `If-Match`.
    fn expect(&mut self, version: u64) -> Expect {
        if self.rng.random() { Expect::Body(version) } else { Expect::Header(version) }
    }

    fn attributes(&mut self, type_name: &str) -> Map<String, Value> {
        shop::attributes(type_name, &mut self.rng)
    }

    fn keep(&mut self, type_name: &str, shown: Shown) {
        let identity = (type_name.to_owned(), shown.id);
        if shown.deleted {
            self.living.retain(|living| *living != identity);
        } else if !self.living.contains(&identity) {
            self.living.push(identity.clone());
        }
        let Shown { version, attributes, deleted, .. } = shown;
        self.expected.insert(identity, Expected { version, attributes, deleted });
    }

    async fn create(&mut self) -> anyhow::Result<()> {
        let type_name = shop::any_type(&mut self.rng);
        self.sent += 1;
        let correlation = format!("{}-{}", self.name, self.sent);
        let id = (!shop::has_sequence(type_name)).then(|| correlation.to_uppercase());
        let attributes = self.attributes(type_name);
        match self.client.create(type_name, id.as_deref(), &attributes, &correlation).await? {
            Answer::Accepted(shown) => {
                self.mix.created += 1;
                self.keep(type_name, shown);
            }
            Answer::Conflict => bail!("creating a new {type_name} was answered as a conflict"),
            Answer::Unknown => {
                self.mix.unanswered += 1;
                match id {
                    Some(id) => drop(self.doubtful.insert((type_name.to_owned(), id))),
                    None => self.lost.push((type_name, correlation)),
                }
            }
        }
        Ok(())
    }

    async fn update(&mut self, identity: &Identity) -> anyhow::Result<()> {
        let attributes = self.attributes(&identity.0);
        let expect = self.expect_current(identity);
        match self.change(Method::PUT, identity, Some(Value::Object(attributes)), expect).await? {
            Answer::Accepted(_) => self.mix.updated += 1,
            other => self.unforeseen(identity, other).await?,
        }
        Ok(())
    }

    async fn patch(&mut self, identity: &Identity) -> anyhow::Result<()> {
        let patch = shop::patch(&identity.0, &mut self.rng);
        let expect = self.expect_current(identity);
        match self.change(Method::PATCH, identity, Some(patch), expect).await? {
            Answer::Accepted(_) => self.mix.patched += 1,
            other => self.unforeseen(identity, other).await?,
        }
        Ok(())
    }

    async fn delete(&mut self, identity: &Identity) -> anyhow::Result<()> {
        let expect = self.expect_current(identity);
        match self.change(Method::DELETE, identity, None, expect).await? {
            Answer::Accepted(_) => self.mix.deleted += 1,
            other => self.unforeseen(identity, other).await?,
        }
        Ok(())
    }

    async fn stale(&mut self, identity: &Identity) -> anyhow::Result<()> {
        let version = self.version(identity);
        // The version before, or for a new item one that does not exist yet.
        let wrong = if version > 1 { version - 1 } else { version + 1 };
        let attributes = self.attributes(&identity.0);
        let expect = self.expect(wrong);
        match self.change(Method::PUT, identity, Some(Value::Object(attributes)), expect).await? {
            Answer::Conflict => self.mix.conflicts += 1,
            // A write of which the answer was lost came after the item was read: the version was not wrong.
            Answer::Accepted(_) if self.doubtful.contains(identity) => self.mix.updated += 1,
            Answer::Accepted(shown) => {
                bail!("{identity:?}: expected version {wrong} was accepted as {shown:?}")
            }
            Answer::Unknown => self.unforeseen(identity, Answer::Unknown).await?,
        }
        Ok(())
    }

    async fn race(&mut self, identity: &Identity) -> anyhow::Result<()> {
        let (one, other) = (self.attributes(&identity.0), self.attributes(&identity.0));
        let (expect_one, expect_other) = (self.expect_current(identity), self.expect_current(identity));
        let at = (identity.0.as_str(), identity.1.as_str());
        let (one, other) = tokio::join!(
            self.client.change(Method::PUT, at, Some(Value::Object(one)), expect_one),
            self.client.change(Method::PUT, at, Some(Value::Object(other)), expect_other),
        );
        match (one?, other?) {
            (Answer::Accepted(shown), Answer::Conflict) | (Answer::Conflict, Answer::Accepted(shown)) => {
                self.mix.updated += 1;
                self.mix.conflicts += 1;
                self.keep(&identity.0, shown);
            }
            (Answer::Unknown, _) | (_, Answer::Unknown) => self.unforeseen(identity, Answer::Unknown).await?,
            (Answer::Conflict, Answer::Conflict) => self.unforeseen(identity, Answer::Conflict).await?,
            both => bail!("{identity:?}: of two updates of one version exactly one may win, got {both:?}"),
        }
        Ok(())
    }

    fn expect_current(&mut self, identity: &Identity) -> Expect {
        let version = self.version(identity);
        self.expect(version)
    }

    async fn change(
        &mut self,
        method: Method,
        identity: &Identity,
        attributes: Option<Value>,
        expect: Expect,
    ) -> anyhow::Result<Answer> {
        let answer = self.client.change(method, (&identity.0, &identity.1), attributes, expect).await?;
        if let Answer::Accepted(shown) = &answer {
            self.keep(&identity.0, shown.clone());
        }
        Ok(answer)
    }

    /// An answer that only a fault explains: after a lost answer the item is read again; a conflict nobody caused is
    /// an error, since no one else writes this lane's items.
    async fn unforeseen(&mut self, identity: &Identity, answer: Answer) -> anyhow::Result<()> {
        if matches!(answer, Answer::Conflict) && !self.doubtful.contains(identity) {
            bail!("{identity:?}: the current version was answered as a conflict");
        }
        self.mix.unanswered += 1;
        self.doubtful.insert(identity.clone());
        self.read_again(identity).await
    }

    /// Finds out what became of every command whose answer was lost.
    pub(crate) async fn resolve(&mut self) -> anyhow::Result<()> {
        for (type_name, correlation) in std::mem::take(&mut self.lost) {
            if let Some(id) = self.stores.written_by(&correlation).await? {
                self.doubtful.insert((type_name.to_owned(), id));
            }
        }
        for identity in std::mem::take(&mut self.doubtful) {
            self.read_again(&identity).await?;
        }
        Ok(())
    }

    async fn read_again(&mut self, identity: &Identity) -> anyhow::Result<()> {
        match self.client.current(&identity.0, &identity.1).await? {
            Some(shown) => self.keep(&identity.0, shown),
            // Not there and never answered: it was not created.
            None if !self.expected.contains_key(identity) => {}
            None if self.expected.get(identity).is_some_and(|expected| expected.deleted) => {}
            None => {
                // Only its delete can have done this.
                let before = self.expected.get(identity).cloned();
                let attributes = before.map(|expected| expected.attributes).unwrap_or_default();
                let version = self.version(identity) + 1;
                self.keep(&identity.0, Shown { id: identity.1.clone(), version, attributes, deleted: true });
            }
        }
        Ok(())
    }
}
