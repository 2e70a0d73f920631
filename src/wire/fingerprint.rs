//! The fingerprint of an answer.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{Answer, FailureStyle};

/// First 128 bits of a SHA-256 over the parts of an answer; equal exactly when the engine would be told the same.
///
/// The bytes that are hashed, each length as eight bytes, big endian:
///
/// | part | bytes |
/// |---|---|
/// | action | length, name on the wire (`complete`) |
/// | payload | `00` without one; `01`, length, bytes with one |
/// | reason | length, text; length 0 unless it is a failure |
/// | style | length, name on the wire (`custom`); length 0 unless it is a failure |
///
/// Payload and reason are those that the engine is given: for style generic the message and `cadenceInternal:Generic`, for
/// style java without details the exception that is built. The layout never changes: fingerprints of different versions
/// of handback meet in the outcome topic and in the engine's history.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of an answer.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        let mut hash = Sha256::new();
        sized(&mut hash, answer.action().as_str().as_bytes());
        let built;
        let (payload, reason, style) = match answer {
            Answer::Complete { result: payload }
            | Answer::Cancel { details: payload }
            | Answer::Heartbeat { details: payload } => (payload.as_ref(), "".into(), None),
            Answer::Fail(failure) => {
                built = failure.engine_details();
                (built.as_ref(), failure.engine_reason(), Some(failure.style))
            }
        };
        match payload {
            None => hash.update([0]),
            Some(bytes) => {
                hash.update([1]);
                sized(&mut hash, bytes);
            }
        }
        sized(&mut hash, reason.as_bytes());
        sized(&mut hash, style.map_or("", FailureStyle::as_str).as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        Self(first)
    }

    /// The sixteen bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its text, 32 lower-case hex digits, in `buffer`. The formatting machinery takes ten times as long, and every
    /// record has its fingerprint written twice.
    pub(crate) fn hex<'a>(&self, buffer: &'a mut [u8; 32]) -> &'a str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (pair, byte) in buffer.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        std::str::from_utf8(buffer).unwrap_or_default()
    }

    /// A fingerprint from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A fingerprint from its text, 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.hex(&mut [0; 32]))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

fn sized(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}
