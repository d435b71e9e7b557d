//! The identity of an item, and how it is written in keys.
//!
//! `pk` = `{TENANT}#{TYPE}`, `sk` = `{TYPE}#{ID}`, and both joined by `|` are the key of its Kafka records. In an id
//! the reserved `#`, `|` and `%` are percent-encoded, so that every key parses back to exactly one identity.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::text::checked_text;

const SK_LIMIT: usize = 255;
/// Characters of an id that stand encoded in keys.
const RESERVED: [char; 3] = ['#', '%', '|'];

/// A name that breaks the rules for names in keys. The message says which rule, and is fit for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error(
        "tenant {0:?} is not valid: lower-case letters, digits and '-', at most 63, not starting with '-'"
    )]
    Tenant(String),
    /// Not `[A-Z][A-Z0-9_]{0,62}`.
    #[error("type {0:?} is not valid: capital letters, digits and '_', at most 63, starting with a letter")]
    TypeName(String),
    /// Empty, with control characters, `.` or `..` (no URL can name those).
    #[error("id {0:?} is not valid: {1}")]
    ItemId(String, &'static str),
    /// The encoded sort key is longer than 255 bytes.
    #[error("the id is too long: with its type it takes {0} bytes in keys, the limit is 255")]
    TooLong(usize),
    /// Not a key that [`ItemKey`] writes.
    #[error("{0:?} is not an item key: expected TENANT#TYPE|TYPE#ID")]
    Key(String),
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 80 {
        text.to_owned()
    } else {
        text.chars().take(80).chain("…".chars()).collect()
    }
}

fn check_tenant(text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let valid = (1..=63).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed);
    if valid { Ok(()) } else { Err(NameError::Tenant(shortened(text))) }
}

fn check_type_name(text: &str) -> Result<(), NameError> {
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
    let valid = text.len() <= 63 && starts_well && text.bytes().all(allowed);
    if valid { Ok(()) } else { Err(NameError::TypeName(shortened(text))) }
}

fn check_item_id(text: &str) -> Result<(), NameError> {
    let refuse = |why| Err(NameError::ItemId(shortened(text), why));
    if text.is_empty() {
        refuse("it is empty")
    } else if text.chars().any(char::is_control) {
        refuse("it has control characters")
    } else if text == "." || text == ".." {
        refuse("no URL can name it")
    } else if text.len() > SK_LIMIT {
        Err(NameError::TooLong(text.len()))
    } else {
        Ok(())
    }
}

checked_text! {
    /// Whose item it is: `[a-z0-9][a-z0-9-]{0,62}`.
    Tenant, NameError, check_tenant
}

checked_text! {
    /// The type of an item, which names its model file: `[A-Z][A-Z0-9_]{0,62}`.
    TypeName, NameError, check_type_name
}

checked_text! {
    /// The id of an item within its tenant and type, not encoded: any Unicode without control characters, short
    /// enough for the key.
    ItemId, NameError, check_item_id
}

impl TypeName {
    /// The type as it stands in topic names and default view names: lower case.
    #[must_use]
    pub fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// The identity of one item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    tenant: Tenant,
    type_name: TypeName,
    id: ItemId,
}

impl ItemKey {
    /// Joins the parts. Fails when the encoded sort key would be longer than 255 bytes.
    pub fn new(tenant: Tenant, type_name: TypeName, id: ItemId) -> Result<ItemKey, NameError> {
        let key = ItemKey { tenant, type_name, id };
        let length = key.sk().len();
        if length > SK_LIMIT { Err(NameError::TooLong(length)) } else { Ok(key) }
    }

    /// Reads the two halves that [`pk`](ItemKey::pk) and [`sk`](ItemKey::sk) write.
    pub fn from_pk_sk(pk: &str, sk: &str) -> Result<ItemKey, NameError> {
        let malformed = || NameError::Key(shortened(&format!("{pk}|{sk}")));
        let (tenant, type_name) = pk.split_once('#').ok_or_else(malformed)?;
        let (sk_type, encoded) = sk.split_once('#').ok_or_else(malformed)?;
        let id = percent_decode_str(encoded).decode_utf8().map_err(|_| malformed())?;
        let key = ItemKey { tenant: tenant.parse()?, type_name: type_name.parse()?, id: id.parse()? };
        let canonical = key.sk();
        if canonical.len() > SK_LIMIT {
            return Err(NameError::TooLong(canonical.len()));
        }
        // Only the canonical spelling is a key, or one item would have two.
        if sk_type == type_name && canonical == sk { Ok(key) } else { Err(malformed()) }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The type.
    #[must_use]
    pub fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// The id, not encoded.
    #[must_use]
    pub fn id(&self) -> &ItemId {
        &self.id
    }

    /// `{TENANT}#{TYPE}`.
    #[must_use]
    pub fn pk(&self) -> String {
        format!("{}#{}", self.tenant, self.type_name)
    }

    /// `{TYPE}#{ID}`, reserved characters of the id percent-encoded; at most 255 bytes.
    #[must_use]
    pub fn sk(&self) -> String {
        let mut sk = String::with_capacity(self.type_name.0.len() + 1 + self.id.0.len());
        self.push_sk(&mut sk);
        sk
    }

    fn push_sk(&self, key: &mut String) {
        key.push_str(&self.type_name.0);
        key.push('#');
        let mut id = self.id.0.as_str();
        while let Some(at) = id.find(RESERVED) {
            key.push_str(&id[..at]);
            key.push_str(match id.as_bytes()[at] {
                b'#' => "%23",
                b'%' => "%25",
                _ => "%7C",
            });
            id = &id[at + 1..];
        }
        key.push_str(id);
    }

    /// `pk|sk`: the partition key of the `events` table and the key of the item's Kafka records.
    #[must_use]
    pub fn pk_sk(&self) -> String {
        let mut key = self.pk();
        key.reserve(2 + self.type_name.0.len() + self.id.0.len());
        key.push('|');
        self.push_sk(&mut key);
        key
    }

    /// Whether `text` is its [`pk_sk`](ItemKey::pk_sk). Every record of every worker asks this, so none is made where the id needs no
    /// encoding.
    #[must_use]
    pub fn is_pk_sk(&self, text: &[u8]) -> bool {
        let id = self.id.0.as_str();
        if id.contains(RESERVED) {
            return self.pk_sk().as_bytes() == text;
        }
        let before = [&self.tenant.0, "#", &self.type_name.0, "|", &self.type_name.0, "#"];
        let rest = before.iter().try_fold(text, |rest, part| rest.strip_prefix(part.as_bytes()));
        rest == Some(id.as_bytes())
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pk_sk())
    }
}

impl FromStr for ItemKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ItemKey, NameError> {
        let (pk, sk) = text.split_once('|').ok_or_else(|| NameError::Key(shortened(text)))?;
        ItemKey::from_pk_sk(pk, sk)
    }
}
