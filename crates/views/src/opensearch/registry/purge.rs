//! Removing tombstones that are old enough.
//!
//! A document is deleted at the version that it was found at (`external_gte`), so one that was written again meanwhile stays,
//! and the item's next version is not kept out by what OpenSearch remembers of the deletion.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use opensearch::http::Method;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Registry;
use crate::tombstones::{CLAIM, SHIFT};
use crate::{Error, Generation};

/// Documents of one request.
const BATCH: usize = 1000;

impl Registry {
    /// How far tombstones of a generation may have been removed, as it is registered at this moment.
    pub async fn purged_through(&self, generation: &Generation) -> Result<Option<Timestamp>, Error> {
        let path = format!("{}/_doc/{}?_source_includes=purged_through", self.index, generation.sink());
        let answer = self.send(Method::Get, &path, None).await?.accepted()?;
        serde_json::from_value(answer["_source"]["purged_through"].clone())
            .map_err(|error| Error::Registry(error.to_string()))
    }

    /// How many tombstones of events at or before `through` a generation has. It looks no further once they are `enough`.
    pub async fn tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        enough: u64,
    ) -> Result<u64, Error> {
        let index = self.names.index(generation);
        self.send(Method::Post, &format!("{index}/_refresh"), None).await?.accepted()?;
        let limit =
            if enough < u64::from(u32::MAX) { format!("?terminate_after={enough}") } else { String::new() };
        let query = json!({ "query": old(through) });
        let found =
            self.send(Method::Post, &format!("{index}/_count{limit}"), Some(query)).await?.accepted()?;
        Ok(found["count"].as_u64().unwrap_or_default())
    }

    /// Notes that tombstones of events at or before `through` may be gone from now on, and that this process removes them; returns
    /// once every writer of the generation knows, or has given up what it was writing. [`Error::Purging`] while another process
    /// does.
    pub async fn begin_purge(&self, generation: &Generation, through: Timestamp) -> Result<(), Error> {
        self.create_registry().await?;
        let mut entry = self.entry(generation).await?;
        let found = entry.generation.clone();
        if !found.is_consumed() {
            return Err(Error::state(&found, format!("is {}: no worker keeps it", found.state)));
        }
        entry.is_free()?;
        let through = found.purged_through.map_or(through, |before| before.max(through));
        entry.set("purged_through", aqueduct_contract::format_time(through).into());
        entry.set("purging_until", aqueduct_contract::format_time(Timestamp::now() + CLAIM).into());
        self.write(entry).await?;
        sleep(self.settings.request_timeout * 2).await;
        Ok(())
    }

    /// Removes the tombstones of events at or before `through`, which [`begin_purge`](Registry::begin_purge) noted; `removed` hears of
    /// each batch. `false` when it ended early, because others may take the generation to be free by then.
    pub async fn remove_tombstones(
        &self,
        generation: &Generation,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, Error> {
        let index = self.names.index(generation);
        self.send(Method::Post, &format!("{index}/_refresh"), None).await?.accepted()?;
        let path = format!("{index}/_search/point_in_time?keep_alive=5m");
        let opened = self.send(Method::Post, &path, None).await?.accepted()?;
        let pit = &opened["pit_id"];
        let ended = self.remove_seen(&index, pit, through, removed).await;
        let closed = json!({ "pit_id": [pit] });
        self.send(Method::Delete, "_search/point_in_time", Some(closed)).await?.accepted()?;
        ended
    }

    async fn remove_seen(
        &self,
        index: &str,
        pit: &Value,
        through: Timestamp,
        removed: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool, Error> {
        let start = Instant::now();
        let mut search = json!({
            "pit": { "id": pit, "keep_alive": "5m" },
            "query": old(through),
            "size": BATCH,
            "_source": false,
            "version": true,
            "sort": [{ "_shard_doc": "asc" }],
        });
        loop {
            let begun = Instant::now();
            let mut found = self.send(Method::Post, "_search", Some(search.clone())).await?.accepted()?;
            let Value::Array(hits) = found["hits"]["hits"].take() else { return Ok(true) };
            let Some(last) = hits.last() else { return Ok(true) };
            search["search_after"] = last["sort"].clone();
            removed(self.remove(index, &hits).await?);
            if start.elapsed() > SHIFT {
                return Ok(false);
            }
            sleep(begun.elapsed().max(Duration::from_millis(10))).await;
        }
    }

    /// Removes documents that are as they were found; returns how many.
    async fn remove(&self, index: &str, hits: &[Value]) -> Result<u64, Error> {
        let mut lines = String::new();
        for hit in hits {
            let mut target =
                json!({ "_id": hit["_id"], "version": hit["_version"], "version_type": "external_gte" });
            if !hit["_routing"].is_null() {
                target["routing"] = hit["_routing"].clone();
            }
            lines.push_str(&json!({ "delete": target }).to_string());
            lines.push('\n');
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let path = format!("{index}/_bulk");
        let response =
            self.client.send::<_, ()>(Method::Post, &path, headers, None, Some(lines), None).await?;
        let status = response.status_code().as_u16();
        let text = response.text().await?;
        let refused = |answer: &str| Error::Refused {
            status,
            request: format!("Post {path}"),
            answer: answer.chars().take(500).collect(),
        };
        let answer: Value = serde_json::from_str(&text).map_err(|_| refused(&text))?;
        let Some(items) = answer["items"].as_array().filter(|_| status == 200) else {
            return Err(refused(&text));
        };
        let mut removed = 0;
        for item in items {
            match item["delete"]["status"].as_u64() {
                Some(200) => removed += 1,
                // Written again, or gone.
                Some(404 | 409) => {}
                _ => return Err(refused(&item.to_string())),
            }
        }
        Ok(removed)
    }

    /// Lets others remove tombstones of the generation.
    pub async fn end_purge(&self, generation: &Generation) -> Result<(), Error> {
        let mut entry = self.entry(generation).await?;
        entry.set("purging_until", Value::Null);
        self.write(entry).await.map(drop)
    }
}

/// An index knows times to the millisecond, and cuts off what is below. So what is found is before `through` for certain, and what
/// is not found is at most a millisecond before it.
fn old(through: Timestamp) -> Value {
    json!({ "bool": { "filter": [
        { "term": { "deleted": true } },
        { "range": { "updated_at": { "lt": through.as_millisecond(), "format": "epoch_millis" } } },
    ] } })
}
