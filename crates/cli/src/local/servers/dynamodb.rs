//! DynamoDB Local, started by Jetty's launcher: its own main class listens on every address.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::{Launch, Workplace};
use crate::local::artefacts::DYNAMODB;
use crate::local::ports;

const SETTINGS: &str = include_str!("../../../../../deploy/local/dynamodb/server.xml");
/// It wants a signature and does not check it.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=local/20000101/local/dynamodb/aws4_request, SignedHeaders=host, Signature=0";

pub(super) fn prepare(workplace: &Workplace) -> Result<Launch> {
    let port = ports::free()?;
    let settings = workplace.folder.join("server.xml");
    fs::write(&settings, SETTINGS)?;
    let jars = workplace.artefacts.folder(DYNAMODB);
    let mut arguments = vec![
        "-Xmx512m".to_owned(),
        "--enable-native-access=ALL-UNNAMED".to_owned(),
        // Where it finds the native library of SQLite.
        format!("-Djava.library.path={}", jars.display()),
        "org.eclipse.jetty.xml.XmlConfiguration".to_owned(),
        // Properties count for the files after them.
        format!("port={port}"),
        format!("memory={}", !workplace.durable),
    ];
    if workplace.durable {
        let data = workplace.folder.join("data");
        fs::create_dir_all(&data)?;
        arguments.push(format!("path={}", data.display()));
    }
    arguments.push(settings.display().to_string());
    let spec = workplace.java("dynamodb", &jars, &arguments)?;
    Ok(Launch { spec, address: format!("http://127.0.0.1:{port}"), stop: Signal::TERM })
}

/// It lists its tables.
pub(super) async fn answers(url: &str) -> bool {
    let request = reqwest::Client::new()
        .post(url)
        .timeout(Duration::from_secs(2))
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .header("content-type", "application/x-amz-json-1.0")
        .header("authorization", AUTHORIZATION)
        .body("{}");
    request.send().await.is_ok_and(|response| response.status().is_success())
}
