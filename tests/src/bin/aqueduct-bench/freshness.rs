//! From the answer to a write until others see it: a row in Postgres, a document in a search.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aqueduct_service::Settings;
use aqueduct_tests::{Fleet, Servers};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::topic::attributes;
use crate::{Line, model};

const RATE: u32 = 100;
/// Of the commands, those that are looked for in OpenSearch: not in step with its refreshes, one a second.
const SEARCHED: u64 = 37;
/// How often a search looks for a document.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);
/// Commands before those that count: servers are slow at first.
const WARM_UP: u64 = 1000;

/// Sends `commands` at 100 a second.
pub(crate) async fn run(servers: &Servers, commands: u64) -> Result<Vec<Line>> {
    let fleet = Fleet::on(servers).await.model(model()).set("log.level", "error").start().await?;
    let total = WARM_UP + commands;
    let rows = tokio::spawn(rows_seen(listen(&fleet.settings).await?, total));
    let client = reqwest::Client::new();
    let orders = format!("{}/v1/bench/ORDER", fleet.api());
    let send = |number: u64| {
        let id = format!("F-{number:06}");
        let request = client.post(&orders).json(&json!({ "id": id, "attributes": attributes(number, 1) }));
        async move {
            let answer = request.send().await?;
            let answered = Instant::now();
            ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
            anyhow::Ok((id, answered))
        }
    };
    // As fast as it goes, which no rate is: servers compile their code meanwhile.
    stream::iter(0..WARM_UP).map(send).buffer_unordered(8).try_for_each(async |_| Ok(())).await?;
    let mut sent = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in WARM_UP..total {
        ticks.tick().await;
        let (written, settings) = (send(number), fleet.settings.clone());
        sent.spawn(async move {
            let (id, answered) = written.await?;
            let age = match number % SEARCHED {
                0 => Some(searched(&settings, &id, answered).await?),
                _ => None,
            };
            anyhow::Ok((id, answered, age))
        });
    }
    let sent = sent.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rows = rows.await??;
    fleet.stop().await?;
    let row_ages = sent.iter().filter_map(|(id, at, _)| Some(rows.get(id)?.saturating_duration_since(*at)));
    let search_ages = sent.iter().filter_map(|(.., age)| *age);
    Ok([percentiles("rows", row_ages.collect()), percentiles("searches", search_ages.collect())].concat())
}

fn percentiles(what: &str, mut ages: Vec<Duration>) -> Vec<Line> {
    ages.sort_unstable();
    let line = |percent: usize| {
        let age = ages.get(ages.len() * percent / 100).copied().unwrap_or_default();
        Line::of_value(format!("freshness of {what}, p{percent}"), age.as_secs_f64() * 1000.0, "ms")
    };
    [50, 99].map(line).into()
}

/// Has Postgres say when a row is visible, at the commit that made it so.
async fn listen(settings: &Settings) -> Result<PgListener> {
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
    Ok(listener)
}

/// When each of so many rows was seen, by id. All the while: a notification that waits to be read tells no time.
async fn rows_seen(mut listener: PgListener, rows: u64) -> Result<HashMap<String, Instant>> {
    let mut seen = HashMap::new();
    for _ in 0..rows {
        let notification = listener.recv().await?;
        seen.insert(notification.payload().to_owned(), Instant::now());
    }
    Ok(seen)
}

/// How old the answer is when a search finds the item.
async fn searched(settings: &Settings, id: &str, answered: Instant) -> Result<Duration> {
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
