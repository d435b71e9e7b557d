//! The settings in effect as TOML, each with where it came from, secrets left out.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Layers, Settings};

const REDACTED: &str = "***";
/// A key with one of these in its name holds a secret.
const SECRET_NAMES: [&str; 7] =
    ["password", "secret", "token", "credential", "key.pem", "jaas", "oauthbearer.config"];

impl Layers {
    /// `settings`, which these layers gave, as a TOML file that can be given back, except for its secrets.
    #[must_use]
    pub fn print(&self, settings: &Settings) -> String {
        let mut text = String::new();
        if let Ok(Value::Object(root)) = serde_json::to_value(settings) {
            self.section(&mut text, "", &root);
        }
        text
    }

    fn section(&self, text: &mut String, above: &str, table: &Map<String, Value>) {
        for (key, value) in table.iter().filter(|(_, value)| !value.is_object()) {
            let name = format!("{above}{key}");
            // A JSON string, number, boolean or array of these is the same in TOML.
            let (key, value, origin) = (bare_or_quoted(key), redacted(&name, value), self.origin(&name));
            let _ = writeln!(text, "{key} = {value}  # {origin}");
        }
        for (key, value) in table {
            if let Value::Object(inner) = value {
                let name = format!("{above}{key}");
                let _ = writeln!(text, "\n[{name}]");
                self.section(text, &format!("{name}."), inner);
            }
        }
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { Value::from(key).to_string() }
}

fn redacted(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        _ if SECRET_NAMES.iter().any(|secret| name.contains(secret)) => Value::from(REDACTED),
        Value::String(text) => Value::from(without_password(text)),
        _ => value.clone(),
    }
}

/// An address without the password in it: of `scheme://user:password@host` and of `?password=…`. Up to the last `@`, so
/// that a password with reserved characters in it does not show either.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", rest),
    };
    let user = user.split_once(':').map_or(user.to_owned(), |(user, _)| format!("{user}:{REDACTED}"));
    let at = if user.is_empty() { "" } else { "@" };
    let (place, query) = host.split_once('?').map_or((host, String::new()), |(place, query)| {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, _)) if SECRET_NAMES.iter().any(|secret| key.contains(secret)) => {
                format!("{key}={REDACTED}")
            }
            _ => pair.to_owned(),
        });
        (place, format!("?{}", shown.collect::<Vec<_>>().join("&")))
    });
    format!("{scheme}://{user}{at}{place}{query}")
}
