//! What stands in a dead letter for bytes that are too many to be written (`docs/wire-contract.md`, section 6).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Headers;

/// Size and hash of a value or a key that a dead letter does not hold. As the value of a header it is
/// `size=10485760;sha256=<64 hexadecimal digits>`: enough to know the original when it is read from its reply topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Omitted {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

impl Omitted {
    /// What stands for these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }
}

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size={};sha256=", self.size)?;
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Omitted {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FAULT: &str = "must be size=<bytes>;sha256=<64 hexadecimal digits>";
        let (size, hash) = text.strip_prefix("size=").and_then(|rest| rest.split_once(";sha256=")).ok_or(FAULT)?;
        if hash.len() != 64 || !hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(FAULT);
        }
        let mut sha256 = [0; 32];
        for (at, byte) in sha256.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).map_err(|_| FAULT)?;
        }
        Ok(Self { size: size.parse().map_err(|_| FAULT)?, sha256 })
    }
}

/// What stands for headers: `count=12;size=1048576`, the bytes of names and values.
pub(super) fn omitted_headers(headers: &Headers) -> String {
    let size: usize = headers.iter().map(|(name, value)| name.as_bytes().len() + value.map_or(0, Bytes::len)).sum();
    format!("count={};size={size}", headers.len())
}
