//! Checks a request's AWS signature as AWS documents it (Signature Version 4), without the client's own code.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::proxy::Asked;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

pub(super) const KEY_ID: &str = "AKIDTHEFLEET";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYTHEFLEET";
pub(super) const SESSION: &str = "the-session-of-a-role";

/// Whether the request was signed with the key above, in its session, for a service in a region.
pub(super) fn holds(asked: &Asked, region: &str, service: &str) -> bool {
    let authorization = asked.header("authorization");
    let Some(parts) = authorization.strip_prefix("AWS4-HMAC-SHA256 ") else { return false };
    let parts: BTreeMap<&str, &str> = parts.split(", ").filter_map(|part| part.split_once('=')).collect();
    let time = asked.header("x-amz-date");
    let Some((day, _)) = time.split_once('T') else { return false };
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let signed = parts["SignedHeaders"];
    let must_be_signed = ["host", "x-amz-date", "x-amz-security-token"];

    let (path, query) = asked.path_and_query.split_once('?').unwrap_or((&asked.path_and_query, ""));
    let headers = signed.split(';').map(|name| format!("{name}:{}\n", asked.header(name).trim()));
    let canonical = [
        asked.method.clone(),
        // Every service but S3 encodes the path a second time.
        utf8_percent_encode(path, PATH).to_string(),
        canonical_query(query),
        headers.collect(),
        signed.to_owned(),
        hex(&Sha256::digest(&asked.body)),
    ]
    .join("\n");
    let to_sign =
        format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let key = [day, region, service, "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| digest(&key, part));

    parts["Credential"] == format!("{KEY_ID}/{scope}")
        && parts["Signature"] == hex(&digest(&key, &to_sign))
        && must_be_signed.iter().all(|name| signed.split(';').any(|signed| signed == *name))
        && asked.header("x-amz-security-token") == SESSION
}

fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8_lossy().into_owned();
        utf8_percent_encode(&decoded, UNRESERVED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    pairs.join("&")
}

fn digest(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(text.as_bytes()).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
