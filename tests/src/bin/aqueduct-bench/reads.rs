//! Requests that read, against the bare queries that they become: each reads once for every item, eight at a time. Ours are sent over
//! HTTP to a command-api of its own process; the bare ones by the process that is measured.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aqueduct_tests::{Fleet, Program, Servers};
use serde_json::json;
use tokio::task::JoinSet;

use crate::measured::{self, Measured, Role, Site, Usage};
use crate::stored;
use crate::topic::{self, Load};
use crate::{Line, Rig, model};

/// Requests under way at once.
const AT_ONCE: u64 = 8;
/// Rows of a page, by default.
pub(crate) const ROWS: u64 = 100;
/// Hits of a page.
pub(crate) const HITS: u64 = 20;

/// The bare query and the request.
const READS: [(&str, Role, Role); 3] = [
    ("reads, an item", Role::BareItems, Role::Items),
    ("reads, a page of a view", Role::BarePages, Role::Pages),
    ("reads, a page of a search", Role::BareSearches, Role::Searches),
];

pub(crate) async fn run(servers: &Servers, load: Load) -> Result<Vec<Line>> {
    let plan =
        Fleet::on(servers).await.model(model()).programs(&[Program::CommandApi]).set("log.level", "error");
    let rig = Rig::fill(plan.set_up().await?, load).await?;
    stored::fill(&rig.site).await?;
    for worker in [Program::SyncRds, Program::SyncSearch] {
        measured::worker(worker, &rig.site.settings, rig.site.load.events()).await?;
    }
    // As autovacuum does a minute later: without, Postgres takes the table for an empty one, and sorts all of it for a page.
    sqlx::raw_sql("ANALYZE orders__g1").execute(&rig.site.settings()?.postgres.connect_lazy()?).await?;
    let Rig { fleet, site } = rig;
    let fleet = fleet.start().await?;
    let site = Site { api: Some(fleet.api()), ..site };
    let pid = fleet.member(Program::CommandApi.name()).pid.context("no command-api runs")?.to_string();
    let mut lines = Vec::new();
    for (bench, bound, ours) in READS {
        // The first for nothing.
        measured::role(bound, &site).await?;
        let bound = measured::role(bound, &site).await?;
        let before = Usage::of(&pid)?;
        let sent = measured::role(ours, &site).await?;
        let Usage { cpu_seconds, peak_rss_mib } = Usage::of(&pid)?;
        let ours = Measured { cpu_seconds: cpu_seconds - before.cpu_seconds, peak_rss_mib, ..sent };
        lines.push(Line { unit: "requests/s", ..Line::compare(bench, &ours, &bound) });
    }
    fleet.stop().await?;
    Ok(lines)
}

/// Does it for every item once, in an order that no cache likes.
pub(crate) async fn each_item<Done>(
    site: &Site,
    request: impl Fn(u64) -> Done + Send + Sync + 'static,
) -> Result<Measured>
where
    Done: Future<Output = Result<()>> + Send + 'static,
{
    // A prime, so that it comes to every item.
    const STRIDE: u64 = 7919;
    let items = site.load.items;
    let request = Arc::new(request);
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..AT_ONCE {
        let request = Arc::clone(&request);
        clients.spawn(async move {
            for number in (client..items).step_by(usize::try_from(AT_ONCE)?) {
                request(number * STRIDE % items).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Measured::of_this_process(site, begun.elapsed())
}

/// Sends requests, each for an item.
async fn send(
    site: &Site,
    request: impl Fn(&reqwest::Client, &str, u64) -> reqwest::RequestBuilder + Send + Sync + 'static,
) -> Result<Measured> {
    let client = reqwest::Client::new();
    let tenant = format!("{}/v1/acme", site.api.as_deref().context("no command-api")?);
    each_item(site, move |item| {
        let request = request(&client, &tenant, item).send();
        async move {
            let answer = request.await?.error_for_status()?;
            ensure!(!answer.bytes().await?.is_empty(), "an empty answer");
            Ok(())
        }
    })
    .await
}

pub(crate) async fn items(site: &Site) -> Result<Measured> {
    send(site, |client, tenant, item| client.get(format!("{tenant}/ORDER/{}", topic::id(item)))).await
}

pub(crate) async fn pages(site: &Site) -> Result<Measured> {
    send(site, |client, tenant, item| {
        let id = topic::id(item);
        client.get(format!("{tenant}/views/orders?filter%5Bid%5D%5Bgt%5D={id}"))
    })
    .await
}

pub(crate) async fn searches(site: &Site) -> Result<Measured> {
    send(site, |client, tenant, item| {
        let query = json!({ "match": { "document.items.code": { "query": code(item), "operator": "and" } } });
        client.post(format!("{tenant}/search/orders")).json(&json!({ "query": query, "limit": HITS }))
    })
    .await
}

/// What stands in an item and in every thousandth after it.
pub(crate) fn code(item: u64) -> String {
    format!("P-{:04}", item % 1000)
}
