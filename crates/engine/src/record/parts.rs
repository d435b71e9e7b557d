//! Strings of bytes in one piece of memory: of each its length, and then its bytes.

use std::sync::Arc;

/// The length of what is absent.
const ABSENT: u32 = u32::MAX;
const LENGTH: usize = size_of::<u32>();

/// What [`written`] wrote, one after the other.
pub(super) struct Parts<'p>(pub(super) &'p [u8]);

/// Writes parts. All lengths fit: Kafka counts them in 31 bits.
pub(super) fn written<'p>(parts: impl Iterator<Item = Option<&'p [u8]>> + Clone) -> Arc<[u8]> {
    let size = parts.clone().map(|part| LENGTH + part.map_or(0, <[u8]>::len)).sum();
    let mut bytes = Vec::with_capacity(size);
    for part in parts {
        let length = part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part.unwrap_or_default());
    }
    bytes.into()
}

impl<'p> Iterator for Parts<'p> {
    type Item = Option<&'p [u8]>;

    fn next(&mut self) -> Option<Option<&'p [u8]>> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (part, rest) = match u32::from_le_bytes(*length) {
            ABSENT => (None, rest),
            length => {
                let (part, rest) = rest.split_at_checked(length as usize)?;
                (Some(part), rest)
            }
        };
        self.0 = rest;
        Some(part)
    }
}
