//! From the answer to a write until others see it: a row in Postgres, a document in a search. Also while a rebuild runs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aqueduct_cli::swap::Store;
use aqueduct_contract::{Names, Worker};
use aqueduct_service::Settings;
use aqueduct_store::kafka::Group;
use aqueduct_tests::{Fleet, Servers, SetUp, eventually};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::measured::Site;
use crate::rebuild;
use crate::topic::{Load, attributes};
use crate::{Line, Rig, model, rounded};

const RATE: u32 = 100;
/// How often a search looks for new documents.
const SEARCH_INTERVAL: Duration = Duration::from_millis(20);
/// How long a row or document may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands before those that count: the servers' code is compiled meanwhile, which takes what the fleet needs of two cores.
const WARM_UP: u64 = 20_000;

/// At 100 commands a second, for as long as so many take.
pub(crate) async fn run(servers: &Servers, commands: u64) -> Result<Vec<Line>> {
    let plan = Fleet::on(servers).await.model(model()).set("log.level", "error");
    let mut fleet = Watched::start(plan.set_up().await?).await?;
    let (ages, ()) = fleet.during(quiet(commands)).await?;
    fleet.stop().await?;
    Ok([percentiles("rows", &ages.rows), percentiles("searches", &ages.searches)].concat())
}

/// The same without a rebuild, and while one runs, of each store.
pub(crate) async fn under_rebuild(servers: &Servers, load: Load, commands: u64) -> Result<Vec<Line>> {
    let plan = Fleet::on(servers).await.model(model()).set("log.level", "error");
    let Rig { fleet, site } = Rig::fill(plan.set_up().await?, load).await?;
    begin_at_the_end(&site).await?;
    let mut fleet = Watched::start(fleet).await?;
    let (without, ()) = fleet.during(quiet(commands)).await?;
    let mut lines = Vec::new();
    for store in [Store::Postgres, Store::OpenSearch] {
        let (with, loaded) = fleet.during(rebuild::load(store, &site.settings, &site.load)).await?;
        for (what, with, without) in
            [("rows", &with.rows, &without.rows), ("searches", &with.searches, &without.searches)]
        {
            let [with, without] = [with, without].map(|ages| percentile(ages, 99));
            lines.push(Line {
                bound: Some(rounded(without)),
                ratio: Some(rounded(with / without)),
                ..Line::of_value(format!("{what}, {} is rebuilt", store.name()), with, "ms")
            });
        }
        lines.push(Line::of_value(format!("{} rebuilt", store.name()), loaded.per_second(), "events/s"));
    }
    fleet.stop().await?;
    Ok(lines)
}

/// As long as so many commands take.
async fn quiet(commands: u64) -> Result<()> {
    sleep(Duration::from_secs(commands / u64::from(RATE))).await;
    Ok(())
}

/// Has the groups of the live read models begin after what stands in the topic.
async fn begin_at_the_end(site: &Site) -> Result<()> {
    let settings = site.settings()?;
    let names = Names::new(&settings.prefix);
    let topic = site.load.topic(&names)?;
    let of_views = [Worker::SyncRds, Worker::SyncSearch].map(|worker| names.view_group(worker, "orders", 1));
    for id in of_views.into_iter().chain([names.data_group()]) {
        let group = Group::new(&settings.kafka, &id, std::slice::from_ref(&topic));
        // A broker that has only just started has nobody who knows groups.
        eventually("the group begins at the end", PATIENCE, || to_the_end(&group)).await;
    }
    Ok(())
}

async fn to_the_end(group: &Group) -> Option<()> {
    let ends = group.positions().await.ok()?.into_iter().map(|at| (at.topic, at.partition, at.end));
    group.commit(ends.collect()).await.ok()
}

/// A fleet whose rows tell when they are visible.
struct Watched {
    fleet: Fleet,
    client: reqwest::Client,
    /// How many commands it was sent.
    sent: u64,
    tell: mpsc::UnboundedReceiver<(String, Instant)>,
    /// When each row was seen, by id.
    seen: HashMap<String, Instant>,
}

/// How old answers were when others saw what they answered.
#[derive(Default)]
struct Ages {
    rows: Vec<Duration>,
    searches: Vec<Duration>,
}

impl Watched {
    /// Starts the fleet and warms it up.
    async fn start(fleet: SetUp) -> Result<Watched> {
        let fleet = fleet.start().await?;
        let (told, tell) = mpsc::unbounded_channel();
        tokio::spawn(rows_seen(listen(&fleet.settings).await?, told));
        let mut watched =
            Watched { fleet, client: reqwest::Client::new(), sent: 0, tell, seen: HashMap::new() };
        // As fast as it goes, which no rate is.
        let first: Vec<_> = (0..WARM_UP).map(|_| watched.send()).collect();
        stream::iter(first).buffer_unordered(8).try_for_each(async |_| Ok(())).await?;
        Ok(watched)
    }

    /// Makes another item. Says its id, and when that was answered.
    fn send(&mut self) -> impl Future<Output = Result<(String, Instant)>> + use<> {
        let (number, url) = (self.sent, format!("{}/v1/bench/ORDER", self.fleet.api()));
        self.sent += 1;
        let id = format!("F-{number:06}");
        let body = json!({ "id": id, "attributes": attributes(number, 1) });
        let request = self.client.post(url).json(&body);
        async move {
            let answer = request.send().await?;
            let answered = Instant::now();
            ensure!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
            Ok((id, answered))
        }
    }

    /// Sends commands until `what` is done.
    async fn during<T>(&mut self, what: impl Future<Output = Result<T>>) -> Result<(Ages, T)> {
        let mut what = std::pin::pin!(what);
        let (answers, answered) = mpsc::unbounded_channel();
        let documents =
            tokio::spawn(documents_found(self.client.clone(), self.fleet.settings.clone(), answered));
        let mut sent = JoinSet::new();
        let mut ticks = interval(Duration::from_secs(1) / RATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut what => break done?,
                _ = ticks.tick() => {}
            }
            let (written, answers) = (self.send(), answers.clone());
            sent.spawn(async move {
                let (id, answered) = written.await?;
                // Fails only when the other end has failed, which says so itself.
                let _ = answers.send((id.clone(), answered));
                anyhow::Ok((id, answered))
            });
        };
        drop(answers);
        let mut ages = Ages::default();
        let sent = sent.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        let found = documents.await??;
        for (id, answered) in sent {
            ages.rows.push(self.seen(&id).await?.saturating_duration_since(answered));
            ages.searches.extend(found.get(&id).map(|at| at.saturating_duration_since(answered)));
        }
        ages.rows.sort_unstable();
        ages.searches.sort_unstable();
        Ok((ages, done))
    }

    /// When the row was seen.
    async fn seen(&mut self, id: &str) -> Result<Instant> {
        loop {
            if let Some(at) = self.seen.get(id) {
                return Ok(*at);
            }
            let told = timeout(PATIENCE, self.tell.recv()).await;
            let told = told.with_context(|| format!("no row of {id} for {PATIENCE:?}"))?;
            self.seen.extend([told.context("nobody listens any more")?]);
        }
    }

    async fn stop(self) -> Result<()> {
        self.fleet.stop().await
    }
}

fn percentiles(what: &str, ages: &[Duration]) -> Vec<Line> {
    let line =
        |percent| Line::of_value(format!("freshness of {what}, p{percent}"), percentile(ages, percent), "ms");
    [50, 99].map(line).into()
}

/// Of ages in order, in milliseconds.
fn percentile(ages: &[Duration], percent: usize) -> f64 {
    ages.get(ages.len() * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0
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

/// Tells of each row when it was seen. All the while: a notification that waits to be read tells no time.
async fn rows_seen(mut listener: PgListener, tell: mpsc::UnboundedSender<(String, Instant)>) -> Result<()> {
    loop {
        let notification = listener.recv().await?;
        tell.send((notification.payload().to_owned(), Instant::now()))?;
    }
}

/// When a search found each of the items, by id. One search counts all documents, which costs nothing until a refresh has shown
/// more; then one finds which. To search for each all the time would be a load of its own.
async fn documents_found(
    client: reqwest::Client,
    settings: Settings,
    mut answered: mpsc::UnboundedReceiver<(String, Instant)>,
) -> Result<HashMap<String, Instant>> {
    let opensearch = &settings.opensearch;
    let url = format!("{}/{}orders/_search", opensearch.url, opensearch.index_prefix);
    let search = async |query: Value| {
        let answer = client.post(&url).json(&query).send().await?.error_for_status()?;
        anyhow::Ok(answer.json::<Value>().await?)
    };
    let (mut missing, mut found) = (HashMap::<String, Instant>::new(), HashMap::new());
    let mut documents = Value::Null;
    let mut ticks = interval(SEARCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let counted = search(json!({ "size": 0, "track_total_hits": true })).await?;
        let at = Instant::now();
        while let Ok((id, answered)) = answered.try_recv() {
            missing.insert(id, answered);
        }
        let all_answered = answered.is_closed() && answered.is_empty();
        if all_answered && missing.is_empty() {
            return Ok(found);
        }
        let counted = &counted["hits"]["total"]["value"];
        // At the end in any case: what was found before its answer came was not counted for it.
        if all_answered || documents != *counted {
            documents = counted.clone();
            let ids: Vec<&String> = missing.keys().collect();
            let query = json!({ "size": ids.len(), "_source": false, "fields": ["id"], "query": { "terms": { "id": ids } } });
            let answer = search(query).await?;
            for hit in answer["hits"]["hits"].as_array().into_iter().flatten() {
                let id = hit["fields"]["id"][0].as_str().unwrap_or_default();
                if missing.remove(id).is_some() {
                    found.insert(id.to_owned(), at);
                }
            }
        }
        for (id, answered) in &missing {
            ensure!(answered.elapsed() < PATIENCE, "{id} was not found for {PATIENCE:?}");
        }
    }
}
