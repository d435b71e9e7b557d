//! From the answer to a write until others see it: a row in Postgres, a document in a search.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aqueduct_service::Settings;
use aqueduct_tests::{Fleet, Servers};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::topic::attributes;
use crate::{Line, model};

const RATE: u64 = 100;
/// Of the commands, those that are looked for in OpenSearch.
const SEARCHED: u64 = 50;
/// How often a search looks for a document.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);
/// Commands before those that count: servers are slow at first.
const WARM_UP: u64 = 1000;

/// Sends `commands` at 100 a second.
pub(crate) async fn run(servers: &Servers, commands: u64) -> Result<Vec<Line>> {
    let fleet = Fleet::on(servers).await.model(model()).set("log.level", "error").start().await?;
    let mut rows = Rows::watch(&fleet.settings).await?;
    let client = reqwest::Client::new();
    let orders = format!("{}/v1/bench/ORDER", fleet.api());
    let (mut sent, mut searches) = (JoinSet::new(), JoinSet::new());
    let mut answered: HashMap<String, Instant> = HashMap::new();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(RATE)?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..WARM_UP + commands {
        ticks.tick().await;
        let id = format!("F-{number:06}");
        let request = client.post(&orders).json(&json!({ "id": id, "attributes": attributes(number, 1) }));
        sent.spawn(async move {
            request.send().await?.error_for_status()?;
            anyhow::Ok((number, id, Instant::now()))
        });
        while let Some(one) = sent.try_join_next() {
            let (number, id, at) = one??;
            if number >= WARM_UP {
                if number % SEARCHED == 0 {
                    searches.spawn(searched(fleet.settings.clone(), id.clone(), at));
                }
                answered.insert(id, at);
            }
        }
    }
    while let Some(one) = sent.join_next().await {
        let (_, id, at) = one??;
        answered.insert(id, at);
    }
    let mut row_ages = Vec::new();
    for (id, at) in &answered {
        row_ages.push(rows.seen(id).await?.saturating_duration_since(*at));
    }
    let mut search_ages = Vec::new();
    while let Some(age) = searches.join_next().await {
        search_ages.push(age??);
    }
    fleet.stop().await?;
    Ok([("rows", row_ages), ("searches", search_ages)]
        .into_iter()
        .flat_map(|(what, ages)| percentiles(what, ages))
        .collect())
}

fn percentiles(what: &str, mut ages: Vec<Duration>) -> Vec<Line> {
    ages.sort_unstable();
    let line = |percent: usize| {
        let age = ages.get(ages.len() * percent / 100).copied().unwrap_or_default();
        Line::of_value(format!("freshness of {what}, p{percent}"), age.as_secs_f64() * 1000.0, "ms")
    };
    [50, 99].map(line).into()
}

/// Postgres says when a row is visible, at the commit that made it so.
struct Rows {
    listener: PgListener,
    seen: HashMap<String, Instant>,
}

impl Rows {
    async fn watch(settings: &Settings) -> Result<Rows> {
        let pool = settings.postgres.connect_lazy()?;
        sqlx::raw_sql(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_notify('rows', NEW.id); RETURN NULL; END $$; \
             CREATE TRIGGER tell AFTER INSERT ON orders__g1 FOR EACH ROW EXECUTE FUNCTION tell()",
        )
        .execute(&pool)
        .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen("rows").await?;
        Ok(Rows { listener, seen: HashMap::new() })
    }

    async fn seen(&mut self, id: &str) -> Result<Instant> {
        while !self.seen.contains_key(id) {
            let notification = self.listener.recv().await?;
            self.seen.insert(notification.payload().to_owned(), Instant::now());
        }
        self.seen.get(id).copied().context("just put there")
    }
}

/// How old the answer is when a search finds the item.
async fn searched(settings: Settings, id: String, answered: Instant) -> Result<Duration> {
    let opensearch = &settings.opensearch;
    let url = format!("{}/{}orders/_search", opensearch.url, opensearch.index_prefix);
    let query = json!({ "size": 0, "query": { "term": { "id": id } } });
    let client = reqwest::Client::new();
    loop {
        let answer: Value = client.post(&url).json(&query).send().await?.error_for_status()?.json().await?;
        if answer["hits"]["total"]["value"] == 1 {
            return Ok(answered.elapsed());
        }
        ensure!(answered.elapsed() < Duration::from_secs(30), "{id} was not found for 30 s");
        sleep(SEARCH_INTERVAL).await;
    }
}
