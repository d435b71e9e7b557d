//! `aqueduct trace`: what one request wrote and caused, and how far each version has come, as a tree.
//!
//! It asks command-api, which knows; what it prints with `--json` is the API's own answer.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;

use crate::fleet::settings;
use aqueduct_service::SettingsFile;

/// `aqueduct trace`
#[derive(clap::Args, Clone, Debug)]
pub struct Trace {
    #[command(flatten)]
    file: SettingsFile,
    /// The correlation id, from `X-Correlation-Id` of the answer
    id: String,
    /// Whose write it was
    #[arg(long)]
    tenant: String,
    /// Where command-api is, such as http://127.0.0.1:8080; `api.listen` of the settings unless given
    #[arg(long)]
    api: Option<String>,
    /// Print what the API answers instead of a tree
    #[arg(long)]
    json: bool,
}

impl Trace {
    /// Prints it. Fails when nothing was written with that id.
    pub async fn run(self) -> Result<()> {
        let api = match &self.api {
            Some(api) => api.clone(),
            None => format!("http://{}", settings(&self.file)?.api.listen),
        };
        let mut url: reqwest::Url = api.parse().with_context(|| format!("--api {api}"))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", &self.tenant, "writes", &self.id]);
        }
        let response = reqwest::get(url).await.with_context(|| format!("command-api at {api}"))?;
        let found = response.status().is_success();
        let answer: Value = response.json().await.with_context(|| format!("the answer of {api}"))?;
        if !found {
            bail!("{}", answer["detail"].as_str().unwrap_or("the API refused"));
        }
        let text = if self.json { format!("{answer}\n") } else { tree(&answer) };
        std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
        Ok(())
    }
}

/// The events as a tree by what caused them, each with where it stands.
fn tree(answer: &Value) -> String {
    let events: Vec<&Value> = answer["events"].as_array().into_iter().flatten().collect();
    let begun = events.first().and_then(|event| time(event));
    let mut out = format!("{}\n", text(&answer["correlationId"]));
    let is_caused = |event: &Value| events.iter().any(|other| other["event"]["id"] == event["causationId"]);
    let roots: Vec<&Value> = events.iter().copied().filter(|event| !is_caused(event)).collect();
    for (index, root) in roots.iter().enumerate() {
        draw(&mut out, "", index + 1 == roots.len(), root, &events, begun);
    }
    if answer["more"] == true {
        out.push_str("… and more\n");
    }
    out
}

fn draw(out: &mut String, before: &str, last: bool, event: &Value, all: &[&Value], begun: Option<Timestamp>) {
    let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    let after = time(event).zip(begun).map_or(String::new(), |(time, begun)| {
        format!("  +{} ms", (time - begun).total(jiff::Unit::Millisecond).unwrap_or_default())
    });
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{before}{branch}{} {} version {} {}  {}{after}",
        text(&event["type"]),
        text(&event["id"]),
        event["version"],
        text(&event["event"]["type"]),
        text(&event["writtenAt"]),
    );
    let before = format!("{before}{below}");
    let mut lines = vec![match &event["published"] {
        Value::Null => "not published yet".to_owned(),
        at => format!("published {}-{} offset {}", text(&at["topic"]), at["partition"], at["offset"]),
    }];
    lines.extend(event["readModels"].as_array().into_iter().flatten().map(read_model));
    let caused = |other: &&&Value| other["causationId"] == event["event"]["id"];
    let caused: Vec<&Value> = all.iter().filter(caused).copied().collect();
    for (index, line) in lines.iter().enumerate() {
        let end = caused.is_empty() && index + 1 == lines.len();
        let _ = writeln!(out, "{before}{}{line}", if end { "└─ " } else { "├─ " });
    }
    for (index, event) in caused.iter().enumerate() {
        draw(out, &before, index + 1 == caused.len(), event, all, begun);
    }
}

fn read_model(model: &Value) -> String {
    let generation = model["generation"].as_u64().map_or(String::new(), |number| format!(".g{number}"));
    let version =
        model["version"].as_u64().map_or(String::new(), |version| format!(" (holds version {version})"));
    let letter = &model["letter"];
    let letter = letter["code"]
        .as_str()
        .map_or(String::new(), |code| format!(": {code}, letter {}", text(&letter["state"])));
    format!(
        "{} {}{generation} {}{letter}{version}",
        text(&model["store"]),
        text(&model["view"]),
        text(&model["state"])
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn time(event: &Value) -> Option<Timestamp> {
    event["writtenAt"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::tree;

    #[test]
    fn what_was_caused_stands_below_its_cause() {
        let event = |id: &str, cause: Option<&str>, of: &str, time: &str, models: serde_json::Value| {
            json!({
                "event": { "id": id, "type": "Created" }, "type": of, "id": format!("{of}-1"), "version": 1,
                "causationId": cause, "writtenAt": time, "readModels": models,
                "published": { "topic": format!("aqueduct.{}.events", of.to_lowercase()), "partition": 5, "offset": 12 },
            })
        };
        let letter = json!({ "version": 1, "code": "RowRefused", "state": "open" });
        let models = json!([
            { "store": "dynamodb", "view": "data", "generation": null, "state": "applied", "version": 2 },
            { "store": "postgres", "view": "orders", "generation": 1, "state": "deadLettered", "version": null, "letter": letter },
            { "store": "opensearch", "view": "orders", "generation": 1, "state": "pending", "version": null },
        ]);
        let mut second = event("c", Some("a"), "AUDIT", "2026-11-21T13:15:00.200000Z", json!([]));
        second["published"] = json!(null);
        let answer = json!({ "correlationId": "tour-1", "more": false, "events": [
            event("a", None, "ORDER", "2026-11-21T13:15:00.000000Z", models),
            event("b", Some("a"), "ACCOUNT", "2026-11-21T13:15:00.120500Z", json!([])),
            second,
            event("d", Some("elsewhere"), "NOTE", "2026-11-21T13:15:01.000000Z", json!([])),
        ] });
        insta::assert_snapshot!(tree(&answer));
    }
}
