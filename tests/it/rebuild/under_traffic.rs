//! The shop's model changes, and both stores are rebuilt while commands come in and readers read, whatever kills the rebuild.
//!
//! Readers poll the public names without pause: an order with its lines in Postgres, products in OpenSearch. Each poll is one
//! statement or one search, and says of each item its version and which generation wrote it: a column, a column of the child
//! table, the index. What a poll does not show any more must have been deleted before it ended.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aqueduct_cli::local::shop;
use aqueduct_contract::Names;
use aqueduct_store::kafka;
use aqueduct_tests::{Fleet, PATIENCE, Scratch, Traffic, binaries, servers, under_traffic};
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const TYPES: [&str; 4] = ["ORDER", "CREDIT_NOTE", "PRODUCT", "CUSTOMER"];
/// What a rebuild says on its way, of each generation.
const SAYS: [&str; 5] = [
    ": loading ",
    ": making key and indexes",
    ": loaded: ",
    ": comparing with the event store",
    " set aside in ",
];
/// A rebuild is killed within so long of having said it.
const SOON: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_one_whole_generation_while_rebuilds_are_killed() -> Result<()> {
    the_shop_changes("topics", 40, 1, 60, 1).await
}

/// `tests/soak --rebuild` runs it: it takes minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes minutes"]
async fn readers_see_the_same_after_the_topics_were_truncated() -> Result<()> {
    the_shop_changes("store", 100, 3, 200, 2).await
}

/// `tests/soak --rebuild` runs it: it takes many minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes many minutes"]
#[expect(clippy::disallowed_methods, reason = "a test has no other argument")]
async fn readers_see_one_whole_generation_while_rebuilds_are_killed_ten_times() -> Result<()> {
    let seed = match std::env::var("AQUEDUCT_SOAK_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => rand::random_range(0..1_000_000),
    };
    println!("AQUEDUCT_SOAK_SEED={seed} does the same again");
    the_shop_changes("topics", 100, 10, 2000, seed).await?;
    the_shop_changes("store", 100, 10, 2000, seed + 1).await
}

/// `rate` commands a second; `commands` between the steps.
async fn the_shop_changes(source: &str, rate: u32, kills: usize, commands: u64, seed: u64) -> Result<()> {
    let model = Scratch::new()?;
    shop::write(model.path())?;
    let fleet = Fleet::on(servers().await).await.model(model.path()).start().await?;
    if source == "store" {
        under_traffic(&fleet, rate, seed + 100, async |traffic| {
            traffic.flows(commands).await;
            Ok(())
        })
        .await?;
        truncate(&fleet).await?;
    }
    let mut rebuilds =
        Rebuilds { fleet: &fleet, model: &model, source, round: 1, random: StdRng::seed_from_u64(seed) };
    let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
    under_traffic(&fleet, rate, seed, async |traffic| {
        let stop = CancellationToken::new();
        let steps = async {
            let done = rebuilds.all(traffic, kills, commands).await;
            stop.cancel();
            done
        };
        let (shown, orders, products) =
            tokio::try_join!(steps, watch(&stop, || orders(&pool)), watch(&stop, || products(&fleet)))?;
        for (table, seen) in [("orders", orders), ("products", products)] {
            eprintln!(
                "{table}: {} polls, {} items, {} deleted",
                seen.polls,
                seen.items.len(),
                seen.gone.len()
            );
            ensure!(seen.polls > 20, "{table} was read {} times", seen.polls);
            ensure!(seen.generations == shown, "readers of {table} saw generations {:?}", seen.generations);
            seen.was_right_about_the_gone(&fleet, table).await?;
        }
        Ok(())
    })
    .await
}

/// As retention does, of everything.
async fn truncate(fleet: &Fleet) -> Result<()> {
    let names = Names::new(&fleet.settings.prefix);
    let topics = TYPES.map(|name| names.events_topic(&name.parse().unwrap()));
    let group = kafka::Group::new(&fleet.settings.kafka, &names.data_group(), &topics);
    let mut gone = TopicPartitionList::new();
    for position in group.positions().await? {
        gone.add_partition_offset(&position.topic, position.partition, Offset::Offset(position.end))?;
    }
    let admin: AdminClient<DefaultClientContext> = fleet.settings.kafka.client_config().create()?;
    for partition in admin.delete_records(&gone, &AdminOptions::new()).await?.elements() {
        partition.error()?;
    }
    Ok(())
}

/// Rebuilds of a shop, one change of the model after the other.
struct Rebuilds<'a> {
    fleet: &'a Fleet,
    model: &'a Scratch,
    source: &'a str,
    /// The number of the newest generation.
    round: i64,
    random: StdRng,
}

impl Rebuilds<'_> {
    /// Returns the generations that readers have seen then.
    async fn all(&mut self, traffic: &Traffic, kills: usize, commands: u64) -> Result<Vec<i64>> {
        traffic.flows(commands).await;
        let (mut shown, mut left) = (vec![1], kills);
        while left > 0 || self.round == 1 {
            self.change_the_model()?;
            if self.source == "store" && self.round == 2 {
                let refused = self.fleet.aqueduct(&["rebuild"]).await?;
                ensure!(
                    refused.code == Some(1) && refused.err.contains("Say `--from store`"),
                    "{}",
                    refused.err
                );
            }
            left -= self.rebuild(left).await?;
            shown.push(self.round);
        }
        traffic.flows(50).await;
        self.fleet.agrees(PATIENCE).await?;
        for view in ["orders", "products"] {
            let store = if view == "orders" { "postgres" } else { "opensearch" };
            self.says(&["rollback", view, "--in", store], "see generation").await?;
        }
        shown.push(self.round - 1);
        traffic.flows(100).await;
        for sink in
            [format!("postgres orders.g{}", self.round), format!("opensearch products.g{}", self.round)]
        {
            self.says(&["verify"], &sink).await?;
        }
        self.fleet.nothing_was_set_aside().await?;
        Ok(shown)
    }

    /// Orders get a column more and another child table, products other words to be found by.
    fn change_the_model(&mut self) -> Result<()> {
        self.round += 1;
        shop::write(self.model.path())?;
        let round = self.round;
        let analyzer = "          analyzer: { names: { type: custom, tokenizer: standard, filter: [lowercase, noise] } }\n";
        for (file, from, to) in [
            (
                "order.yaml",
                "        invoice_no: {",
                format!("        round: {{ type: integer, from: \"{round}\" }}\n        invoice_no: {{"),
            ),
            (
                "order.yaml",
                "            price: { type: \"numeric(14,4)\", from: it.price }\n",
                format!(
                    "            price: {{ type: \"numeric(16,{})\", from: it.price }}\n            \
                     round: {{ type: integer, from: \"{round}\" }}\n",
                    4 + round % 2
                ),
            ),
            (
                "product.yaml",
                analyzer,
                format!(
                    "          analyzer:\n            names: {{ type: custom, tokenizer: standard, filter: [lowercase, noise] }}\n            \
                     plain{round}: {{ type: custom, tokenizer: standard, filter: [lowercase] }}\n"
                ),
            ),
            (
                "product.yaml",
                "{ type: text, analyzer: names,",
                format!("{{ type: text, analyzer: plain{round},"),
            ),
        ] {
            let path = self.model.path().join(file);
            let text = fs::read_to_string(&path)?;
            ensure!(text.matches(from).count() == 1, "{file} has not one {from}");
            fs::write(path, text.replace(from, &to))?;
        }
        Ok(())
    }

    /// Rebuilds what has changed, and is killed at so many moments at most, each in another of its steps; returns at how many.
    async fn rebuild(&mut self, kills: usize) -> Result<usize> {
        let of_store = |store| SAYS.map(|says| (store, says));
        let mut moments =
            [vec![("", "")], of_store("postgres").to_vec(), of_store("opensearch").to_vec()].concat();
        while moments.len() > kills {
            moments.remove(self.random.random_range(0..moments.len()));
        }
        let mut killed = 0;
        loop {
            let mut rebuild = Running::start(self.fleet, self.source).await?;
            let reached = match moments.first() {
                Some(("", _)) => Some(0),
                _ => rebuild.says_any(&moments).await,
            };
            let Some(reached) = reached else {
                let status = rebuild.process.wait().await?;
                ensure!(status.success(), "{status}: {:#?}\n{}", rebuild.said, self.fleet.logs());
                return Ok(killed);
            };
            let delay = SOON.mul_f64(self.random.random());
            tokio::time::sleep(delay).await;
            // It may have ended by itself.
            if rebuild.process.try_wait()?.is_none() {
                rebuild.process.kill().await?;
                eprintln!("killed {delay:?} after {:?}", rebuild.said.last());
                killed += 1;
            }
            moments.drain(..=reached);
        }
    }

    async fn says(&self, arguments: &[&str], what: &str) -> Result<()> {
        let ended = self.fleet.aqueduct(arguments).await?;
        let said = format!("{}{}", ended.out, ended.err);
        ensure!(ended.code == Some(0) && said.contains(what), "{arguments:?}: {said}");
        Ok(())
    }
}

/// A rebuild that runs, and what it says line by line.
struct Running {
    process: Child,
    lines: mpsc::UnboundedReceiver<String>,
    said: Vec<String>,
}

impl Running {
    async fn start(fleet: &Fleet, source: &str) -> Result<Running> {
        let mut command = Command::new(binaries().await?.join("aqueduct"));
        command.args(["rebuild", "--from", source, "--config"]).arg(&fleet.settings_file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let (send, lines) = mpsc::unbounded_channel();
        tokio::spawn(forward(process.stdout.take().context("stdout")?, send.clone()));
        tokio::spawn(forward(process.stderr.take().context("stderr")?, send));
        Ok(Running { process, lines, said: Vec::new() })
    }

    /// Which of these lines it says first; none when it ends before.
    async fn says_any(&mut self, moments: &[(&str, &str)]) -> Option<usize> {
        while let Some(line) = self.lines.recv().await {
            let reached = moments.iter().position(|(of, says)| line.starts_with(of) && line.contains(says));
            self.said.push(line);
            if reached.is_some() {
                return reached;
            }
        }
        None
    }
}

async fn forward(from: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // Nobody listens any more once the process was killed.
        drop(to.send(line));
    }
}

/// An item as a poll shows it.
struct Shown {
    item: String,
    version: i64,
    generation: i64,
}

/// What a reader has seen.
#[derive(Default)]
struct Seen {
    polls: usize,
    items: HashMap<String, i64>,
    /// When the first poll without them ended.
    gone: HashMap<String, Timestamp>,
    /// One after the other.
    generations: Vec<i64>,
}

/// Polls without pause until `stop`.
async fn watch<Poll>(stop: &CancellationToken, poll: impl Fn() -> Poll) -> Result<Seen>
where
    Poll: Future<Output = Result<Vec<Shown>>>,
{
    let mut seen = Seen::default();
    while !stop.is_cancelled() {
        let shown = poll().await?;
        seen.add(shown, Timestamp::now())?;
    }
    Ok(seen)
}

impl Seen {
    fn add(&mut self, shown: Vec<Shown>, at: Timestamp) -> Result<()> {
        let generations: BTreeSet<i64> = shown.iter().map(|one| one.generation).collect();
        ensure!(generations.len() <= 1, "one poll shows generations {generations:?}");
        let count = shown.len();
        let items: HashMap<String, i64> = shown.into_iter().map(|one| (one.item, one.version)).collect();
        ensure!(items.len() == count, "one poll shows an item twice");
        for (item, before) in &self.items {
            match items.get(item) {
                Some(now) => ensure!(now >= before, "{item} went back from version {before} to {now}"),
                None => drop(self.gone.insert(item.clone(), at)),
            }
        }
        let back = items.keys().find(|item| self.gone.contains_key(*item));
        ensure!(back.is_none(), "{back:?} was missing from a poll");
        self.generations.extend(generations.first().filter(|one| self.generations.last() != Some(one)));
        (self.items, self.polls) = (items, self.polls + 1);
        Ok(())
    }

    /// Each was deleted before a poll was without it.
    async fn was_right_about_the_gone(&self, fleet: &Fleet, view: &str) -> Result<()> {
        let pool: PgPool = fleet.settings.postgres.connect_lazy()?;
        let deleted = format!(
            "SELECT tenant || '|' || id, (extract(epoch FROM updated_at) * 1000000)::bigint FROM {view}__g1 WHERE deleted"
        );
        let deleted: HashMap<String, i64> =
            sqlx::query_as(AssertSqlSafe(deleted)).fetch_all(&pool).await?.into_iter().collect();
        for (item, missed) in &self.gone {
            let deleted =
                deleted.get(item).with_context(|| format!("{item} was missing from a poll of {view}"))?;
            ensure!(
                *deleted <= missed.as_microsecond(),
                "{item} was missing from a poll before it was deleted"
            );
        }
        Ok(())
    }
}

/// Orders as the public SQL views show them in one statement, each with all of its lines.
async fn orders(pool: &PgPool) -> Result<Vec<Shown>> {
    let all = "SELECT o.tenant || '|' || o.id, o.item_version, coalesce((to_jsonb(o) ->> 'round')::bigint, 1), o.lines, \
                 (SELECT coalesce(jsonb_agg(jsonb_build_array(i.item_version, coalesce((to_jsonb(i) ->> 'round')::bigint, 1), \
                    i.position)), '[]') FROM order_items i WHERE i.tenant = o.tenant AND i.id = o.id) \
               FROM orders o";
    let rows: Vec<(String, i64, i64, i32, Value)> = sqlx::query_as(all).fetch_all(pool).await?;
    let shown = rows.into_iter().map(|(item, version, generation, lines, children)| {
        let children = children.as_array().context("an array")?;
        let positions: BTreeSet<i64> = children.iter().filter_map(|line| line[2].as_i64()).collect();
        let own = |line: &Value| line[0] == version && line[1] == generation;
        ensure!(
            children.iter().all(own)
                && children.len() == usize::try_from(lines)?
                && positions.len() == children.len(),
            "{item}, version {version} of generation {generation} with {lines} lines, has {children:?}"
        );
        Ok(Shown { item, version, generation })
    });
    shown.collect()
}

/// Products as a search of the public alias shows them.
async fn products(fleet: &Fleet) -> Result<Vec<Shown>> {
    const MOST: usize = 10_000;
    let settings = &fleet.settings.opensearch;
    let url = format!(
        "{}/{}products/_search?size={MOST}&_source=tenant,id,item_version",
        settings.url, settings.index_prefix
    );
    let found: Value = reqwest::get(url).await?.error_for_status()?.json().await?;
    ensure!(found["timed_out"] == false && found["_shards"]["failed"] == 0, "a search in part: {found}");
    let hits = found["hits"]["hits"].as_array().context("hits")?;
    ensure!(hits.len() < MOST, "more products than one search shows");
    let shown = hits.iter().map(|hit| {
        let source = &hit["_source"];
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        let index = text(&hit["_index"])?;
        Ok(Shown {
            item: format!("{}|{}", text(&source["tenant"])?, text(&source["id"])?),
            version: source["item_version"].as_i64().context("a version")?,
            generation: index.rsplit_once("-g").context("an index of a generation")?.1.parse()?,
        })
    });
    shown.collect()
}
