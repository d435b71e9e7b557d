//! The settings in effect as TOML, each with where it came from, secrets left out.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Layers, Problems};

const REDACTED: &str = "***";
/// A key with one of these in its name holds a secret.
const SECRET_NAMES: [&str; 7] =
    ["password", "secret", "token", "credential", "key.pem", "jaas", "oauthbearer.config"];

impl Layers {
    /// The values in effect, as they were given, as a TOML file that can be given back except for its secrets.
    pub fn print(&self) -> Result<String, Problems> {
        let mut text = String::new();
        self.section(&mut text, "", &self.merged()?);
        Ok(text)
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

#[cfg(test)]
mod tests {
    use super::{redacted, without_password};
    use serde_json::json;

    #[test]
    fn an_address_shows_its_user_and_host_but_no_password() {
        for (address, shown) in [
            ("postgres://aqueduct:s3cret@db:5432/reads", "postgres://aqueduct:***@db:5432/reads"),
            ("postgres://aqueduct:s3/cr@t?@db/reads", "postgres://aqueduct:***@db/reads"),
            ("postgres://db/reads?user=a&password=s3cret", "postgres://db/reads?user=a&password=***"),
            ("postgres://db/reads?sslmode=require", "postgres://db/reads?sslmode=require"),
            ("https://search:9200", "https://search:9200"),
            ("info,aqueduct=debug", "info,aqueduct=debug"),
        ] {
            assert_eq!(without_password(address), shown);
        }
    }

    #[test]
    fn properties_that_hold_secrets_show_that_they_are_set_and_no_more() {
        for name in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            assert_eq!(redacted(&format!("kafka.properties.{name}"), &json!("s3cret")), json!("***"));
        }
        assert_eq!(redacted("kafka.properties.sasl.username", &json!("fleet")), json!("fleet"));
        assert_eq!(redacted("kafka.properties.sasl.password", &json!("")), json!(""));
    }
}
