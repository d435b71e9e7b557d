//! Every connection of the fleet encrypted and with a password, and what is said where that fails.

mod certificates;
mod kafka;
mod postgres;
mod proxy;
mod signature;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use aqueduct_tests::{
    Fleet, PATIENCE, Private, Program, Scratch, Server, binaries, eventually, servers, unique,
};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::service::{MODEL, NOBODY, Run, Running, text};

use self::certificates::Certificates;
use self::kafka::Listeners;
use self::postgres::Postgres;
use self::proxy::{Guard, Proxy};

const USER: &str = "fleet";
const PASSWORD: &str = "s3cret";

/// One broker for all tests here, each with a user of its own.
struct Broker {
    server: Private,
    listeners: Listeners,
    certificates: Certificates,
    _folder: Scratch,
}

async fn broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    let start = || async {
        let folder = Scratch::new().unwrap();
        let certificates = Certificates::new(folder.path());
        let server = Private::start(&[Server::Kafka]).await.unwrap();
        let listeners = kafka::secure(&server, &certificates, folder.path()).await;
        Broker { server, listeners, certificates, _folder: folder }
    };
    BROKER.get_or_init(start).await
}

fn properties(user: &str, password: &str, ca: &Path) -> [(&'static str, String); 6] {
    [
        ("security.protocol", "sasl_ssl".to_owned()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", user.to_owned()),
        ("sasl.password", password.to_owned()),
        ("ssl.ca.location", ca.display().to_string()),
        // The broker listens on 127.0.0.1 alone, `localhost` is also ::1.
        ("broker.address.family", "v4".to_owned()),
    ]
}

/// Lets in who has this password.
fn basic(password: &str) -> Guard {
    // As curl writes it for `fleet:s3cret`, and for nobody.
    let expected = if password == PASSWORD { "Basic ZmxlZXQ6czNjcmV0" } else { "Basic none" };
    Box::new(move |asked| asked.header("authorization") == expected)
}

fn with_user(url: &str, password: &str) -> String {
    url.replacen("https://", &format!("https://{USER}:{password}@"), 1)
}

/// What a process answers to whether it is ready.
async fn readiness(fleet: &Fleet, member: &str) -> String {
    let url = format!("http://{}/readyz", fleet.member(member).admin);
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

async fn said(fleet: &Fleet, member: &str, what: &str) {
    eventually(&format!("{member} says: {what}"), PATIENCE, || async {
        std::fs::read_to_string(fleet.member(member).log).unwrap().contains(what).then_some(())
    })
    .await;
}

async fn create(fleet: &Fleet, id: &str) -> StatusCode {
    let url = format!("{}/v1/acme/PRODUCT", fleet.api());
    let body = json!({ "id": id, "attributes": { "name": "Desk lamp", "price": "24.90" } });
    reqwest::Client::new().post(url).json(&body).send().await.unwrap().status()
}

/// So many products are rows and documents.
async fn arrives(fleet: &Fleet, products: i64) {
    let search = fleet.settings.opensearch.client().unwrap();
    let index = format!("{}products", fleet.settings.opensearch.index_prefix);
    eventually("a row and a document", PATIENCE, || async {
        let rows = fleet.rows("acme", "products").await.ok()?;
        let count = search.count(opensearch::CountParts::Index(&[&index])).send().await.ok()?;
        let documents: Value = count.json().await.ok()?;
        (rows == products && documents["count"] == products).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_works_encrypted_and_refused_credentials_are_an_outage_of_which_nothing_is_lost() -> Result<()>
{
    let Broker { server, listeners, certificates, .. } = broker().await;
    let (shared, own) = (servers().await, Private::start(&[Server::Postgres]).await?);
    let user = unique();
    kafka::set_password(&server.servers.kafka, &user, PASSWORD).await;
    let postgres = Postgres::secure(&own, &certificates.valid).await;
    let proxy =
        Proxy::start(&certificates.valid, &shared.opensearch, StatusCode::UNAUTHORIZED, basic(PASSWORD))
            .await;

    let mut plan = Fleet::on(&shared.but(&own))
        .await
        .set("kafka.brokers", listeners.secure.clone())
        .set("postgres.url", postgres::url(&own.servers.database().await, PASSWORD, &certificates.ca))
        .set("opensearch.url", with_user(&proxy.url, PASSWORD))
        .set("opensearch.ca_file", certificates.ca.display().to_string())
        .set("engine.retry_backoff_max", "1s");
    for (name, value) in properties(&user, PASSWORD, &certificates.ca) {
        plan = plan.set(&format!("kafka.properties.\"{name}\""), value);
    }
    let fleet = plan.start().await?;
    assert_eq!(create(&fleet, "LAMP-1").await, StatusCode::CREATED);
    arrives(&fleet, 1).await;
    let (clear, encrypted) = postgres.connections().await;
    assert!(clear == 0 && encrypted > 0, "{clear} {encrypted}");

    kafka::set_password(&server.servers.kafka, &user, "another").await;
    postgres.present(&certificates.expired).await;
    postgres.set_password("another").await;
    proxy.guard(basic("another"));
    for member in ["command-api", "projector-1", "sync-rds-1", "sync-search-1"] {
        said(&fleet, member, "SASL authentication error").await;
    }
    said(&fleet, "sync-rds-1", "the store does not answer: Postgres").await;
    assert_eq!(
        create(&fleet, "LAMP-2").await,
        StatusCode::CREATED,
        "the store takes it, Kafka gets it later"
    );

    kafka::set_password(&server.servers.kafka, &user, PASSWORD).await;
    said(&fleet, "sync-search-1", "OpenSearch answered 401").await;
    said(&fleet, "sync-rds-1", "certificate expired").await;
    postgres.present(&certificates.valid).await;
    said(&fleet, "sync-rds-1", "Postgres refuses the login that `postgres.url` gives").await;
    assert!(readiness(&fleet, "sync-rds-1").await.contains("refuses the login"));
    assert!(readiness(&fleet, "sync-search-1").await.contains("401"));

    postgres.set_password(PASSWORD).await;
    proxy.guard(basic(PASSWORD));
    arrives(&fleet, 2).await;
    for member in ["command-api", "projector-1", "sync-rds-1", "sync-search-1"] {
        assert_eq!(fleet.member(member).restarts, 0, "{member}");
    }
    fleet.agrees(PATIENCE).await
}

/// A process of the fleet with a server that does not let it in, or that it does not trust.
struct Case {
    program: &'static str,
    environment: Vec<(String, String)>,
    /// What it says: where, what, and what to do.
    says: Vec<String>,
}

fn variable(key: &str, value: &str) -> (String, String) {
    (format!("AQUEDUCT__{}", key.to_uppercase().replace('.', "__")), value.to_owned())
}

impl Case {
    fn kafka(program: &'static str, broker: &str, properties: &[(&str, String)], says: &[&str]) -> Case {
        let property = |(name, value): &(&str, String)| {
            variable(&format!("kafka.properties.{}", name.replace('.', "_")), value)
        };
        let mut environment: Vec<_> = properties.iter().map(property).collect();
        environment.push(variable("kafka.brokers", broker));
        Case { program, environment, says: says.iter().map(|says| (*says).to_owned()).collect() }
    }

    fn postgres(url: &str, says: &[&str]) -> Case {
        let environment = vec![variable("postgres.url", url)];
        Case { program: "sync-rds", environment, says: says.iter().map(|says| (*says).to_owned()).collect() }
    }

    fn opensearch(url: &str, ca: &Path, says: &[&str]) -> Case {
        let environment =
            vec![variable("opensearch.url", url), variable("opensearch.ca_file", &ca.display().to_string())];
        Case {
            program: "sync-search",
            environment,
            says: says.iter().map(|says| (*says).to_owned()).collect(),
        }
    }

    /// Credentials that a server refuses are a mistake in the settings: it stops, and says so.
    async fn exits_with_2(self) {
        let run = Run::new(self.program, MODEL).await;
        let ended = run.command().envs(self.environment).output().await.unwrap();
        let log = text(&ended.stdout);
        assert_eq!(ended.status.code(), Some(2), "{}: {log}", self.program);
        let last = log.lines().last().unwrap();
        assert!(
            self.says.iter().all(|says| last.contains(says)),
            "{}: {:?}: {last}",
            self.program,
            self.says
        );
        assert!(!log.contains("not-the-password"), "{log}");
    }

    /// A certificate that is not accepted may be replaced by one that is: it waits, as for a server that is down.
    async fn waits(self) {
        let run = Run::new(self.program, MODEL).await;
        let mut command = run.command();
        command.envs(self.environment);
        let mut running = Running::start(command);
        let listening = running.logged("its address", |line| line["message"] == "admin listening").await;
        let what = format!("{:?}", self.says);
        running
            .logged(&what, |line| {
                let line = line.to_string();
                self.says.iter().all(|says| line.contains(says))
            })
            .await;
        let admin = format!("http://{}", listening["addr"].as_str().unwrap());
        for (probe, status) in [("livez", 200), ("readyz", 503)] {
            assert_eq!(reqwest::get(format!("{admin}/{probe}")).await.unwrap().status(), status, "{probe}");
        }
        assert_eq!(running.terminate().await, Some(0), "{}", self.program);
    }
}

#[tokio::test]
async fn a_password_that_kafka_refuses_at_start_is_exit_code_2_and_a_certificate_waits() {
    let Broker { server, listeners, certificates, .. } = broker().await;
    let user = unique();
    kafka::set_password(&server.servers.kafka, &user, PASSWORD).await;
    let wrong = properties(&user, "not-the-password", &certificates.ca);
    let refused = ["Kafka at localhost:", "refuses the credentials of kafka.properties", "SCRAM-SHA-512"];
    let shared = servers().await;
    let stores = [
        variable("postgres.url", &shared.database().await),
        variable("opensearch.url", &shared.opensearch),
        variable("opensearch.index_prefix", &format!("{user}-")),
        variable("opensearch.replicas", "0"),
    ];
    for program in ["command-api", "projector", "sync-rds", "sync-search"] {
        let mut case = Case::kafka(program, &listeners.secure, &wrong, &refused);
        case.environment.extend(stores.clone());
        case.exits_with_2().await;
    }
    let other_ca = properties(&user, PASSWORD, &certificates.other_ca);
    let untrusted = ["Kafka at localhost:", "verify that ssl.ca.location is correctly configured"];
    Case::kafka("projector", &listeners.secure, &other_ca, &untrusted).waits().await;
    let right = properties(&user, PASSWORD, &certificates.ca);
    let expired = ["Kafka at localhost:", "certificate verify failed", "or has expired"];
    Case::kafka("command-api", &listeners.expired, &right, &expired).waits().await;
}

#[tokio::test]
async fn a_password_that_postgres_refuses_at_start_is_exit_code_2_and_a_certificate_waits() {
    let certificates = &broker().await.certificates;
    let own = Private::start(&[Server::Postgres]).await.unwrap();
    let postgres = Postgres::secure(&own, &certificates.valid).await;
    let database = own.servers.database().await;
    let url = |password: &str, ca: &Path| postgres::url(&database, password, ca);

    let refused = [
        "localhost:",
        "Postgres refuses the login that `postgres.url` gives",
        "password authentication failed",
    ];
    Case::postgres(&url("not-the-password", &certificates.ca), &refused).exits_with_2().await;
    let unencrypted = url(PASSWORD, &certificates.ca).replace("verify-full", "disable");
    Case::postgres(&unencrypted, &["Postgres refuses the login", "pg_hba.conf"]).exits_with_2().await;
    let untrusted =
        ["localhost:", "UnknownIssuer", "The authority that signed it has to be in `sslrootcert`"];
    Case::postgres(&url(PASSWORD, &certificates.other_ca), &untrusted).waits().await;
    let another_name = url(PASSWORD, &certificates.ca).replace("@localhost:", "@127.0.0.1:");
    Case::postgres(&another_name, &["127.0.0.1:", "not valid for name"]).waits().await;
    postgres.present(&certificates.expired).await;
    let expired = ["localhost:", "certificate expired", "The server needs a new certificate"];
    Case::postgres(&url(PASSWORD, &certificates.ca), &expired).waits().await;
}

#[tokio::test]
async fn a_password_that_opensearch_refuses_at_start_is_exit_code_2_and_a_certificate_waits() {
    let certificates = &broker().await.certificates;
    let proxy = |certificate| {
        let behind = format!("http://{NOBODY}");
        async move { Proxy::start(certificate, &behind, StatusCode::UNAUTHORIZED, basic(PASSWORD)).await.url }
    };
    let (valid, expired) = (proxy(&certificates.valid).await, proxy(&certificates.expired).await);
    let (ca, other_ca) = (&certificates.ca, &certificates.other_ca);

    let refused = [valid.as_str(), "OpenSearch refuses the credentials that `opensearch.url`", "401"];
    Case::opensearch(&with_user(&valid, "not-the-password"), ca, &refused).exits_with_2().await;
    let untrusted =
        [valid.as_str(), "UnknownIssuer", "The authority that signed it has to be in `opensearch.ca_file`"];
    Case::opensearch(&with_user(&valid, PASSWORD), other_ca, &untrusted).waits().await;
    let over = [expired.as_str(), "certificate expired", "The server needs a new certificate"];
    Case::opensearch(&with_user(&expired, PASSWORD), ca, &over).waits().await;
}

/// AWS credentials, as a process finds them in its environment.
fn with_keys(command: &mut Command) {
    command.env("AWS_ACCESS_KEY_ID", signature::KEY_ID);
    command.env("AWS_SECRET_ACCESS_KEY", signature::SECRET).env("AWS_SESSION_TOKEN", signature::SESSION);
}

/// What is before it checks every signature, so what arrives was asked for and written by signed requests alone.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_opensearch_are_signed_for_aws() -> Result<()> {
    let certificates = &broker().await.certificates;
    let shared = servers().await;
    let signed: Guard = Box::new(|asked| signature::holds(asked, "eu-central-1", "es"));
    let proxy = Proxy::start(&certificates.valid, &shared.opensearch, StatusCode::FORBIDDEN, signed).await;
    let fleet = Fleet::on(shared).await.programs(&[Program::CommandApi, Program::SyncRds]).start().await?;

    let mut command = Command::new(binaries().await?.join("aqueduct-sync-search"));
    with_keys(command.arg("--config").arg(&fleet.settings_file).kill_on_drop(true));
    command.envs([
        variable("admin.listen", "127.0.0.1:0"),
        variable("opensearch.url", &proxy.url),
        variable("opensearch.auth", "sigv4"),
        variable("opensearch.region", "eu-central-1"),
        // As to a remote one: what is signed is what is sent.
        variable("opensearch.gzip", "always"),
        variable("opensearch.ca_file", &certificates.ca.display().to_string()),
    ]);
    let mut running = Running::start(command);
    running.logged("its start", |line| line["message"] == "started").await;
    assert_eq!(create(&fleet, "LAMP-1").await, StatusCode::CREATED);
    arrives(&fleet, 1).await;
    assert_eq!(running.terminate().await, Some(0));
    Ok(())
}

/// Without an endpoint DynamoDB is AWS's, here a listener that checks signatures and has no table.
#[tokio::test]
async fn requests_to_dynamodb_are_signed_with_the_credentials_of_the_environment_or_of_a_profile() {
    let Broker { server, certificates, .. } = broker().await;
    let signed = Arc::new(AtomicUsize::new(0));
    let count = signed.clone();
    let guard: Guard = Box::new(move |asked| {
        count.fetch_add(signature::holds(asked, "eu-central-1", "dynamodb").into(), Ordering::Relaxed);
        false
    });
    let behind = format!("http://{NOBODY}");
    let proxy = Proxy::start(&certificates.valid, &behind, StatusCode::FORBIDDEN, guard).await;
    let run = Run::new("projector", MODEL).await;
    let (profiles, nobody) = (run.folder.path().join("credentials"), run.folder.path().join("none"));
    let (id, secret, session) = (signature::KEY_ID, signature::SECRET, signature::SESSION);
    let two = format!(
        "[theirs]\naws_access_key_id = OTHER\naws_secret_access_key = other\n\
         [ours]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {session}\n"
    );
    std::fs::write(&profiles, two).unwrap();
    let to_aws = || {
        let mut command = run.command();
        command.envs([variable("dynamodb.endpoint", ""), variable("dynamodb.region", "eu-central-1")]);
        command.envs([variable("kafka.brokers", &server.servers.kafka)]);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &proxy.url).env("SSL_CERT_FILE", &certificates.ca);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command
    };

    let mut of_the_environment = to_aws();
    with_keys(&mut of_the_environment);
    let mut of_a_profile = to_aws();
    of_a_profile.env("AWS_SHARED_CREDENTIALS_FILE", &profiles).env("AWS_PROFILE", "ours");
    for command in [of_the_environment, of_a_profile] {
        signed.store(0, Ordering::Relaxed);
        let running = Running::start(command);
        let asked = eventually("a signed request", PATIENCE, || async {
            (signed.load(Ordering::Relaxed) > 0).then_some(())
        });
        asked.await;
        assert_eq!(running.terminate().await, Some(0));
    }

    let mut of_nobody = to_aws();
    of_nobody.env("AWS_SHARED_CREDENTIALS_FILE", &nobody).env("AWS_CONFIG_FILE", &nobody);
    let mut running = Running::start(of_nobody);
    let listening = running.logged("its address", |line| line["message"] == "admin listening").await;
    let ready = format!("http://{}/readyz", listening["addr"].as_str().unwrap());
    eventually("that there are no credentials", PATIENCE, || async {
        let why = reqwest::get(&ready).await.ok()?.text().await.ok()?;
        why.contains("credential").then_some(())
    })
    .await;
    assert_eq!(running.terminate().await, Some(0));
}
