//! The partitions that a member of a group has, as the group's protocol writes them: a version, then the topics, each with
//! its partitions. Kafka's clients write it for each other, and brokers hand it to whoever asks.

/// The partitions; none of what cannot be read, which another kind of client may have written.
pub(super) fn partitions(bytes: &[u8]) -> Vec<(String, i32)> {
    read(&mut Reader(bytes)).unwrap_or_default()
}

fn read(reader: &mut Reader<'_>) -> Option<Vec<(String, i32)>> {
    let _version = reader.take(2)?;
    let mut found = Vec::new();
    for _ in 0..reader.int()? {
        let length = reader.take(2)?.try_into().map(i16::from_be_bytes).ok()?;
        let topic = std::str::from_utf8(reader.take(usize::try_from(length).ok()?)?).ok()?;
        for _ in 0..reader.int()? {
            found.push((topic.to_owned(), reader.int()?));
        }
    }
    Some(found)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn int(&mut self) -> Option<i32> {
        self.take(4)?.try_into().map(i32::from_be_bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn partitions_are_read_by_topic() {
        let bytes = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x03\0\x02bc\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff";
        assert_eq!(partitions(bytes), [("a".to_owned(), 0), ("a".to_owned(), 3), ("bc".to_owned(), 7)]);
        assert_eq!(partitions(&bytes[..20]), [], "what breaks off is not read by half");
        assert_eq!(partitions(b""), [], "a member that has just come has none yet");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            partitions(&bytes);
        }
    }
}
