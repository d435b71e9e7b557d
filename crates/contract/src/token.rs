//! What a write returns, so that a later read can ask for "at least this".

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::{ItemKey, Version};

/// `{pk, sk, version}` of one write. Opaque to clients: base64url of that JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The item that was written.
    pub key: ItemKey,
    /// The version that was written.
    pub version: Version,
}

/// Text that no write returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token: send back, unchanged, the token that a write returned")]
pub struct TokenError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    pk: String,
    sk: String,
    version: Version,
}

impl Token {
    /// The text a client gets.
    #[must_use]
    pub fn encode(&self) -> String {
        let wire = serde_json::json!({ "pk": self.key.pk(), "sk": self.key.sk(), "version": self.version });
        URL_SAFE_NO_PAD.encode(wire.to_string())
    }

    /// Reads the text back.
    pub fn decode(text: &str) -> Result<Token, TokenError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError)?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| TokenError)?;
        let key = ItemKey::from_pk_sk(&wire.pk, &wire.sk).map_err(|_| TokenError)?;
        Ok(Token { key, version: wire.version })
    }
}
