//! The ledger's entry: what an applied answer leaves behind in its outcome's headers (`docs/wire-contract.md`, section
//! 5).

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Fingerprint, Reply, Target, names};

/// An answer that the engine applied: for which attempt, what it was, and which record brought it. Topic and partition of
/// that record are those of the outcome: its `handback-source-topic` header and the number of its own partition.
///
/// As a header it has 48 bytes, all numbers big endian:
///
/// | bytes | hold |
/// |---|---|
/// | 0..16 | first 128 bits of the SHA-256 of the target key's text |
/// | 16..32 | fingerprint of the answer |
/// | 32..40 | first 64 bits of the SHA-256 of the idempotency key, 1 for 0; 0 without a key |
/// | 40..48 | offset of the record |
///
/// The layout never changes; another one would have another length, and is passed over by those who do not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Hash of the target key.
    pub target: [u8; 16],
    /// Fingerprint of the answer.
    pub fingerprint: Fingerprint,
    /// Hash of the idempotency key, if one was given.
    pub idempotency_key: Option<u64>,
    /// Offset of the record on its reply topic.
    pub offset: i64,
}

impl LedgerEntry {
    /// Bytes of an entry.
    pub const LEN: usize = 48;

    /// The entry that a reply leaves once it is applied to `target`: its own, or the token that its names stand for. `None`
    /// for a target without a key: the engine decides alone.
    #[must_use]
    pub fn of(target: &Target, reply: &Reply, offset: i64) -> Option<Self> {
        let mut key = Hashed(Sha256::new());
        if !target.write_key(&mut key) {
            return None;
        }
        let target = first(&key.0.finalize());
        let idempotency_key = reply.idempotency_key.as_deref().map(|key| u64::from_be_bytes(digest(key)).max(1));
        Some(Self { target, fingerprint: reply.fingerprint, idempotency_key, offset })
    }

    /// The header's value.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.target);
        bytes[16..32].copy_from_slice(self.fingerprint.bytes());
        bytes[32..40].copy_from_slice(&self.idempotency_key.unwrap_or(0).to_be_bytes());
        bytes[40..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    /// The entry in a header. `None` for anything else: no entry of ours, or one of a version to come.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let part = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let half = |at: usize| bytes[at..at + 16].try_into().ok();
        Some(Self {
            target: half(0)?,
            fingerprint: Fingerprint::from_bytes(half(16)?),
            idempotency_key: part(32).filter(|key| *key != 0),
            offset: i64::try_from(part(40)?).ok()?,
        })
    }

    /// The entry among an outcome's headers, and the topic that its offset is on. The last header of a name counts, also
    /// when it holds nothing.
    #[must_use]
    pub fn in_headers<'a>(
        headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> (Option<Self>, Option<&'a [u8]>) {
        let (mut entry, mut topic) = (None, None);
        for (name, value) in headers {
            if name == names::LEDGER.as_bytes() {
                entry = value.and_then(Self::parse);
            } else if name == names::SOURCE_TOPIC.as_bytes() {
                topic = value;
            }
        }
        (entry, topic)
    }
}

/// A text that is hashed as it is written: keys are asked for by their hash more often than they are read.
struct Hashed(Sha256);

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn digest<const N: usize>(text: &str) -> [u8; N] {
    first(&Sha256::digest(text.as_bytes()))
}

fn first<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&hash[..N]);
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Headers, Limits, Origin, Record, decode};

    /// Written out, because outcome topics hold entries of older versions.
    #[test]
    fn the_layout_never_changes() {
        let entry = LedgerEntry {
            target: digest("domain/workflow/run/12/0"),
            fingerprint: Fingerprint::from_bytes([7; 16]),
            idempotency_key: Some(u64::from_be_bytes(digest("key-1"))),
            offset: 1187,
        };
        let hex: String = entry.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "df5414c30ca0c40c4a454b89b15b74db07070707070707070707070707070707\
             be2974546978e37300000000000004a3"
        );
        let keyless = LedgerEntry { idempotency_key: None, ..entry };
        assert_eq!(keyless.to_bytes()[32..40], [0; 8]);
    }

    #[test]
    fn an_entry_holds_the_hash_of_the_keys_text() {
        let value = r#"{"task_token":"eyJkb21haW5JZCI6IjAxOTdiM2IwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsIndvcmtmbG93SWQiOiJvcmRlciAxNyIsInJ1bklkIjoiYjVjNWI1YzUtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDAxIiwic2NoZWR1bGVJZCI6MTIsImFjdGl2aXR5SWQiOiIzIn0=","result":1}"#;
        let origin = Origin { topic: "replies".into(), partition: 0, offset: 7, timestamp_ms: None };
        let record = Record { origin, key: None, value: Some(value.into()), headers: Headers::new() };
        let reply = decode(&record, &Limits::default()).unwrap();
        let key = reply.target.key().unwrap();
        assert!(key.as_str().contains("/order%2017/"), "{key}");
        assert_eq!(LedgerEntry::of(&reply.target, &reply, 7).unwrap().target, digest(key.as_str()));
    }

    #[test]
    fn another_length_or_an_impossible_offset_is_no_entry() {
        assert_eq!(LedgerEntry::parse(&[]), None);
        assert_eq!(LedgerEntry::parse(&[0; 47]), None);
        assert_eq!(LedgerEntry::parse(&[0; 49]), None);
        assert_eq!(LedgerEntry::parse(&[0xff; 48]), None, "a negative offset");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(target: [u8; 16], print: [u8; 16], key in proptest::option::of(1u64..), offset in 0i64..) {
            let entry =
                LedgerEntry { target, fingerprint: Fingerprint::from_bytes(print), idempotency_key: key, offset };
            prop_assert_eq!(LedgerEntry::parse(&entry.to_bytes()), Some(entry));
        }
    }
}
