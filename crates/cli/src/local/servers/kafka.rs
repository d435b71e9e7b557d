//! Kafka: one process that is broker and controller.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;

use super::{Launch, Workplace};
use crate::local::artefacts::KAFKA;
use crate::local::ports;

const SETTINGS: &str = include_str!("../../../../../deploy/local/kafka/server.properties");
const LOGGING: &str = include_str!("../../../../../deploy/local/log4j2.properties");

pub(super) async fn prepare(workplace: &Workplace) -> Result<Launch> {
    let port = ports::free()?;
    let data = workplace.folder.join("data");
    let settings = workplace.folder.join("server.properties");
    let logging = workplace.folder.join("log4j2.properties");
    let filled = SETTINGS
        .replace("{port}", &port.to_string())
        .replace("{controller_port}", &ports::free()?.to_string())
        .replace("{data}", &data.display().to_string());
    fs::write(&settings, filled)?;
    fs::write(&logging, LOGGING)?;
    let jars = workplace.artefacts.folder(KAFKA);
    let settings = settings.display().to_string();
    let logging = format!("-Dlog4j2.configurationFile={}", logging.display());

    if !data.join("meta.properties").exists() {
        // Kafka writes a cluster id as the bytes of a UUID in URL-safe base64.
        let cluster = URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
        // An id may begin with a dash: the equals sign keeps it an argument.
        let cluster = format!("--cluster-id={cluster}");
        let format = [
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            &logging,
            "kafka.tools.StorageTool",
            "format",
            &cluster,
            "-c",
            &settings,
        ];
        let format = workplace.java("kafka format", &jars, &format.map(str::to_owned))?;
        workplace.nursery.run(&format, super::START_PATIENCE).await?;
    }
    let arguments = ["-Xms256m", "-Xmx512m", &logging, "kafka.Kafka", &settings];
    let spec = workplace.java("kafka", &jars, &arguments.map(str::to_owned))?;
    Ok(Launch { spec, address: format!("127.0.0.1:{port}"), stop: Signal::TERM })
}

/// The broker tells its metadata.
pub(super) async fn answers(brokers: String) -> bool {
    let ask = move || {
        // librdkafka reports every refused connection; at start they are expected.
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", brokers).set("log_level", "0").create().ok()?;
        client
            .fetch_metadata(None, Duration::from_secs(2))
            .ok()
            .filter(|metadata| !metadata.brokers().is_empty())?;
        Some(())
    };
    matches!(tokio::task::spawn_blocking(ask).await, Ok(Some(())))
}
