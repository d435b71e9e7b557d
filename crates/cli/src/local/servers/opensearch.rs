//! OpenSearch: the server's jars on the class path, and the folder layout that it expects of an installation.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{Launch, Workplace};
use crate::local::artefacts::{NETTY4, OPENSEARCH};
use crate::local::ports;

const SETTINGS: &str = include_str!("../../../../../deploy/local/opensearch/opensearch.yml");
const DESCRIPTOR: &str =
    include_str!("../../../../../deploy/local/opensearch/netty4/plugin-descriptor.properties");
const LOGGING: &str = include_str!("../../../../../deploy/local/log4j2.properties");

pub(super) fn prepare(workplace: &Workplace) -> Result<Launch> {
    let port = ports::free()?;
    let data = workplace.own_folder("data")?;
    let logs = workplace.own_folder("logs")?;
    // It writes a keystore there.
    let settings = workplace.own_folder("config")?;
    let home = workplace.folder.join("home");
    let filled = SETTINGS
        .replace("{port}", &port.to_string())
        .replace("{transport_port}", &ports::free()?.to_string())
        .replace("{data}", &data.display().to_string())
        .replace("{logs}", &logs.display().to_string());
    fs::write(settings.join("opensearch.yml"), filled)?;
    fs::write(settings.join("log4j2.properties"), LOGGING)?;
    fs::write(settings.join("jvm.options"), "")?;
    let jars = workplace.artefacts.folder(OPENSEARCH);
    install_network_module(
        &jars,
        &workplace.artefacts.folder(NETTY4),
        &home.join("modules/transport-netty4"),
    )?;

    let mut arguments =
        vec!["-Xms512m".to_owned(), "-Xmx1g".to_owned(), "--enable-native-access=ALL-UNNAMED".to_owned()];
    if workplace.java.as_ref().is_some_and(|java| java.has_vector_module) {
        arguments.push("--add-modules=jdk.incubator.vector".to_owned());
    }
    arguments.extend([
        format!("-Dopensearch.path.home={}", home.display()),
        format!("-Dopensearch.path.conf={}", settings.display()),
        "-Dopensearch.distribution.type=tar".to_owned(),
        // The native access library unpacks itself there; the default may be mounted without the right to execute.
        format!("-Djava.io.tmpdir={}", workplace.own_folder("tmp")?.display()),
        "org.opensearch.bootstrap.OpenSearch".to_owned(),
    ]);
    let mut spec = workplace.java("opensearch", &jars, &arguments)?;
    spec.user = workplace.user;
    Ok(Launch { spec, address: format!("http://127.0.0.1:{port}"), stop: Signal::TERM })
}

/// Jars that the server has itself are left out: it refuses to start when it finds a class twice.
fn install_network_module(server_jars: &Path, module_jars: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut version = None;
    for entry in fs::read_dir(module_jars)? {
        let jar = entry?;
        let name = jar.file_name().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix("transport-netty4-client-") {
            version = rest.strip_suffix(".jar").map(str::to_owned);
        }
        if !server_jars.join(&name).exists() {
            fs::copy(jar.path(), folder.join(&name))?;
        }
    }
    let version = version.context("no transport-netty4-client among the jars of the network module")?;
    fs::write(folder.join("plugin-descriptor.properties"), DESCRIPTOR.replace("{version}", &version))?;
    Ok(())
}

/// The cluster has recovered what it kept.
pub(super) async fn answers(url: &str) -> bool {
    let health = format!("{url}/_cluster/health?wait_for_status=yellow&timeout=1s");
    let request = reqwest::Client::new().get(health).timeout(Duration::from_secs(3));
    request.send().await.is_ok_and(|response| response.status().is_success())
}
