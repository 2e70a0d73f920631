//! Short keyed fingerprints of tokens: what people may see instead of a secret.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Makes [`TokenPrint`]s: HMAC-SHA-256 under a key of the caller's choice. Without the key nobody can try tokens against
/// a print; with the same key equal tokens have equal prints, so that log lines and dead letters can be matched.
#[derive(Clone)]
pub struct TokenPrinter(Hmac<Sha256>);

impl TokenPrinter {
    /// A printer under `key`, of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        Self(Hmac::new_from_slice(key).expect("a key of any length"))
    }

    /// The print of a token's bytes.
    #[must_use]
    pub fn print(&self, token: &[u8]) -> TokenPrint {
        let mut mac = self.0.clone();
        mac.update(token);
        let mut print = [0; 6];
        print.copy_from_slice(&mac.finalize().into_bytes()[..6]);
        TokenPrint(print)
    }
}

impl fmt::Debug for TokenPrinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenPrinter(..)")
    }
}

/// Short keyed fingerprint of a token: 48 bits, written as 12 hex digits. Tells tokens apart, gives none away.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenPrint([u8; 6]);

impl fmt::Display for TokenPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenPrint({self})")
    }
}
