//! The swap: searches find one generation up to a moment and another from then on.
//!
//! ```text
//! entry of the other: a swap is under way, by this fence, until then at the latest
//! alias as a fence on the live index
//! live index: block writes               waits for writes in flight; searches go on
//!   the other group commits what the topics hold now, the other index is refreshed
//!   one request: fence must be there and goes, public alias goes from one index to the other
//! entries: other → live, live → previous
//! live index: unblock, entry: the swap is over
//! ```
//!
//! The block is what pauses the live generation: no worker has to hear of it or to answer. Unlike a lock it outlives the
//! process that took it, so the swap is noted before, with a time: whoever looks at the registry after that (every worker
//! does, once a second) takes the fence and then the block away. That is safe while the process still runs, frozen or merely
//! late: its request to switch needs the fence (`must_exist`), so it either came first or does nothing. No clock is relied
//! on for more than how soon that happens.
//!
//! The alias says what is live, the registry follows: whoever clears away finishes what was switched.

use jiff::Timestamp;
use opensearch::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::Registry;
use super::entry::Entry;
use crate::opensearch::mappings;
use crate::swap::{Patience, Reason, can_be_live};
use crate::{Error, Generation, State};

const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// What a swap gets beyond its own deadline before others clear it away.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// A swap that is under way, as the entry of the generation that is to be live holds it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Note {
    /// The number of the live generation.
    from: u32,
    /// An alias that no other swap has.
    fence: String,
    /// From then on anybody clears it away.
    pub(super) until: Timestamp,
    why: String,
}

impl Registry {
    /// Makes `to` what searches find. It is loaded and building, or was live before. `level` is awaited while writes to the live
    /// generation are blocked: it ends once the group of `to` has committed what the topics hold by then. When it fails, nothing
    /// has changed, or an interrupted swap is cleared away by the workers, in one way or the other whole.
    pub async fn swap(
        &self,
        to: &Generation,
        reason: Reason,
        patience: Patience,
        level: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        self.create_registry().await?;
        let (live, mut entry) = self.alone(to, patience).await?;
        let note = Note {
            from: live.number,
            fence: format!("{}-swap-{}", self.names.index(&live), uuid::Uuid::new_v4().simple()),
            until: Timestamp::now() + patience.held + GRACE,
            why: reason.as_str().to_owned(),
        };
        entry.set("swap", json!(note));
        let to = self.write(entry).await?;
        let deadline = Instant::now() + patience.held;
        let held = timeout_at(deadline, self.held(&live, &to, &note, level)).await;
        // Whatever became of it, an answer that was lost too: the alias says.
        let switched = self.clear(&to, &note).await?;
        match held {
            _ if switched => {
                tracing::info!(view = to.view(), from = live.number, to = to.number, "swapped in OpenSearch");
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Err(Error::Behind {
                view: to.view().to_owned(),
                number: to.number,
                why: "time is up".to_owned(),
            }),
        }
    }

    /// The live generation and the entry of `to`, once no other swap of the view is under way.
    async fn alone(&self, to: &Generation, patience: Patience) -> Result<(Generation, Entry), Error> {
        let deadline = Instant::now() + patience.before;
        loop {
            let entries = self.settled().await?;
            let of_view = || entries.iter().filter(|entry| entry.generation.view() == to.view());
            if let Some(note) = of_view().find_map(|entry| entry.swap().transpose()).transpose()? {
                if Instant::now() >= deadline {
                    return Err(Error::Swapping { view: to.view().to_owned(), until: note.until });
                }
                sleep(PAUSE).await;
                continue;
            }
            let live = of_view().find(|entry| entry.generation.state == State::Live);
            let live = live.ok_or_else(|| Error::Unregistered(to.view().to_owned()))?.generation.clone();
            let entry = self.entry(to).await?;
            can_be_live(&entry.generation)?;
            return Ok((live, entry));
        }
    }

    /// What happens while writes to the live index are blocked.
    async fn held(
        &self,
        live: &Generation,
        to: &Generation,
        note: &Note,
        level: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        let (old, new) = (self.names.index(live), self.names.index(to));
        self.aliases(json!([{ "add": { "index": old, "alias": note.fence } }])).await?;
        let blocked = self.send(Method::Put, &format!("{old}/_block/write"), None).await?.accepted()?;
        if blocked["shards_acknowledged"] != true {
            return Err(Error::state(live, "has an index that is blocked already, or not whole"));
        }
        level.await?;
        self.send(Method::Post, &format!("{new}/_refresh"), None).await?.accepted()?;
        let public = self.names.public_alias(to.view());
        let mut shown = mappings::public_alias();
        shown["index"] = new.into();
        shown["alias"] = public.clone().into();
        self.aliases(json!([
            { "remove": { "index": old, "alias": note.fence, "must_exist": true } },
            { "remove": { "index": old, "alias": public, "must_exist": true } },
            { "add": shown },
        ]))
        .await
    }

    async fn aliases(&self, actions: Value) -> Result<(), Error> {
        let body = json!({ "actions": actions });
        self.send(Method::Post, "_aliases", Some(body)).await?.accepted().map(drop)
    }

    /// What is registered, after clearing away swaps whose time is over.
    pub(super) async fn settled(&self) -> Result<Vec<Entry>, Error> {
        let entries = self.entries().await?;
        let mut cleared = false;
        for entry in &entries {
            let Some(note) = entry.swap()? else { continue };
            if note.until < Timestamp::now() {
                tracing::warn!(generation = entry.generation.sink(), "clearing away a swap that was cut off");
                self.clear(&entry.generation, &note).await?;
                cleared = true;
            }
        }
        if cleared { self.entries().await } else { Ok(entries) }
    }

    /// Ends a swap: as done when the alias was switched, else as if it had not been begun. Returns which. Can be done by several at
    /// once, and again.
    async fn clear(&self, to: &Generation, note: &Note) -> Result<bool, Error> {
        let from = Generation { number: note.from, ..to.clone() };
        let (old, new) = (self.names.index(&from), self.names.index(to));
        // Nobody can switch by this fence from here on.
        let fence = json!([{ "remove": { "index": old, "alias": note.fence, "must_exist": true } }]);
        match self.aliases(fence).await {
            Err(Error::Refused { status: 404, .. }) => {}
            removed => removed?,
        }
        let public = self.names.public_alias(to.view());
        let shown = self.send(Method::Get, &format!("{new}/_alias/{public}"), None).await?;
        let switched = match shown.status {
            404 => false,
            _ => shown.accepted().map(|_| true)?,
        };
        let unblocked = json!({ "index": { "blocks": { "write": null } } });
        let answer = self.send(Method::Put, &format!("{old}/_settings"), Some(unblocked)).await?;
        if answer.status != 404 {
            answer.accepted()?;
        }
        if switched {
            // In this order there is always one that is live.
            self.become_state(to, State::Live, &note.why).await?;
            self.become_state(&from, State::Previous, &note.why).await?;
        }
        let mut entry = self.entry(to).await?;
        if entry.swap()?.is_some_and(|found| found.fence == note.fence) {
            entry.set("swap", Value::Null);
            match self.write(entry).await {
                // Another one clears away, too.
                Err(Error::State { .. }) => {}
                written => drop(written?),
            }
        }
        Ok(switched)
    }

    async fn become_state(&self, generation: &Generation, state: State, why: &str) -> Result<(), Error> {
        let mut entry = self.entry(generation).await?;
        if entry.generation.state == state {
            return Ok(());
        }
        entry.change(state, why)?;
        self.write(entry).await.map(drop)
    }
}
