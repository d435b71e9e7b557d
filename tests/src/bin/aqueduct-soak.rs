//! A fleet under traffic, and faults picked at random, for as long as it is told.
//!
//! It starts servers of its own, a fleet with two of each worker whose connections pass proxies, and one fault after the other,
//! by a seed. After each fault no committed offset may be ahead of its effects; at the end every store must hold what the
//! API answered, `aqueduct verify` must agree, and nothing may have been set aside. What it did and saw goes to standard
//! output, a line a fault.

#![expect(clippy::print_stdout, reason = "the report is what it is for")]

use std::time::{Duration, Instant};

use anyhow::Result;
use aqueduct_tests::{Fleet, Network, Private, Refusal, Refusing, Server, Traffic, Weather, under_traffic};
use clap::Parser;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::time::sleep;

/// Soaks a fleet in traffic and faults, and says whether it came out right
#[derive(Parser)]
struct Arguments {
    /// How long faults go on
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Picks the faults and the commands; the same seed picks the same [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Commands a second
    #[arg(long, default_value_t = 60)]
    rate: u32,
}

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A process is killed.
    Kill(usize),
    /// A process is told to end.
    Term(usize),
    /// A worker is stopped for longer than its session, and goes on.
    Zombie(usize),
    /// The network to the servers.
    Network(Weather),
    /// OpenSearch refuses.
    Refuse(Refusal),
    /// DynamoDB refuses writes.
    Throttle,
    /// A server is stopped and started again.
    Restart(Server),
}

struct Rig {
    servers: Private,
    fleet: Fleet,
    network: Network,
    refusing_opensearch: Refusing,
    refusing_dynamodb: Refusing,
    processes: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("soak: {} minutes, seed {seed}, {} commands/s", arguments.minutes, arguments.rate);
    let rig = Rig::start().await?;
    let begun = Instant::now();
    let faults = async |traffic: &Traffic| {
        let mut random = StdRng::seed_from_u64(seed);
        while begun.elapsed() < Duration::from_secs(60 * arguments.minutes) {
            let fault = rig.pick(&mut random);
            let (at, commands) = (begun.elapsed(), traffic.commands());
            rig.inflict(fault, Duration::from_secs(random.random_range(2..8))).await?;
            let after = traffic.commands() - commands;
            traffic.flows(u64::from(arguments.rate)).await;
            let compared = rig.fleet.commits_follow_effects().await?;
            println!(
                "{:6.1} s  {fault:?}: {after} commands meanwhile, {compared} positions checked",
                at.as_secs_f64()
            );
        }
        println!("{} commands; no more faults", traffic.commands());
        Ok(())
    };
    let outcome = under_traffic(&rig.fleet, arguments.rate, seed, faults).await;
    let outcome = match outcome {
        Ok(()) => rig.fleet.nothing_was_set_aside().await,
        failed => failed,
    };
    match &outcome {
        Ok(()) => println!("soak: all stores agree after {:.0} s", begun.elapsed().as_secs_f64()),
        Err(_) => println!("soak: FAILED with seed {seed}\n{}", rig.fleet.logs()),
    }
    outcome
}

impl Rig {
    async fn start() -> Result<Rig> {
        let servers = Private::start(&Server::ALL).await?;
        let refusing_opensearch = Refusing::of(&servers.servers.opensearch).await?;
        let refusing_dynamodb = Refusing::of(&servers.servers.dynamodb).await?;
        let network = Network::of(
            servers.broker_behind_proxy().await?,
            &servers.servers.postgres,
            &refusing_opensearch.address.to_string(),
            &refusing_dynamodb.address.to_string(),
        )
        .await?;
        let plan = Fleet::on(&servers.servers).await.workers(2).short_sessions().through(&network);
        let fleet = plan.start().await?;
        let processes = fleet.processes();
        Ok(Rig { servers, fleet, network, refusing_opensearch, refusing_dynamodb, processes })
    }

    fn pick(&self, random: &mut StdRng) -> Fault {
        let process = random.random_range(0..self.processes.len());
        let worker = random.random_range(1..self.processes.len());
        let weather = [
            Weather::Reset,
            Weather::HalfOpen,
            Weather::Late(Duration::from_millis(200)),
            Weather::Narrow(20_000),
        ];
        let refusals = [
            Refusal::Bulk(429),
            Refusal::Bulk(503),
            Refusal::Items(429),
            Refusal::Items(503),
            Refusal::Truncated,
            Refusal::Larger(3_000),
        ];
        let servers = [Server::Kafka, Server::Postgres, Server::OpenSearch];
        let faults = [
            Fault::Kill(process),
            Fault::Term(process),
            Fault::Zombie(worker),
            Fault::Network(*weather.choose(random).unwrap_or(&Weather::Reset)),
            Fault::Refuse(*refusals.choose(random).unwrap_or(&Refusal::Truncated)),
            Fault::Throttle,
            Fault::Restart(*servers.choose(random).unwrap_or(&Server::Kafka)),
        ];
        *faults.choose(random).unwrap_or(&Fault::Throttle)
    }

    async fn inflict(&self, fault: Fault, lasts: Duration) -> Result<()> {
        match fault {
            Fault::Kill(process) | Fault::Term(process) => {
                let name = &self.processes[process];
                // One that ended a moment ago by an earlier fault is on its way back.
                if self.fleet.member(name).pid.is_some() {
                    let before = self.fleet.member(name).restarts;
                    let signal = if matches!(fault, Fault::Kill(_)) { Signal::KILL } else { Signal::TERM };
                    self.fleet.signal(name, signal);
                    self.fleet.restarted(name, before + 1).await;
                }
            }
            Fault::Zombie(worker) => {
                let name = &self.processes[worker];
                if self.fleet.member(name).pid.is_some() {
                    self.fleet.signal(name, Signal::STOP);
                    sleep(Duration::from_secs(12)).await;
                    self.fleet.signal(name, Signal::CONT);
                }
            }
            Fault::Network(weather) => self.network.spell(weather, lasts).await,
            Fault::Refuse(refusal) => {
                self.refusing_opensearch.set(refusal);
                sleep(lasts).await;
                self.refusing_opensearch.set(Refusal::None);
            }
            Fault::Throttle => {
                self.refusing_dynamodb.set(Refusal::Throttled);
                sleep(lasts).await;
                self.refusing_dynamodb.set(Refusal::None);
            }
            Fault::Restart(server) => {
                self.servers.stop(server).await?;
                sleep(lasts).await;
                self.servers.start_again(server).await?;
            }
        }
        Ok(())
    }
}
