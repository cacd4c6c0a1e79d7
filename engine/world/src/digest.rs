//! One number for all that a run did: equal runs have equal digests. Pure.

use std::fmt::Write;

use blake2::{Blake2s256, Digest as _};

/// BLAKE2s over a sequence of records.
#[derive(Clone)]
pub(crate) struct Digest(Blake2s256);

impl Digest {
    pub(crate) fn new() -> Self {
        Self(Blake2s256::new())
    }

    pub(crate) fn record(&mut self, kind: u8, numbers: &[u64], bytes: &[u8]) {
        self.0.update([kind]);
        for number in numbers {
            self.0.update(number.to_be_bytes());
        }
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// Adds all that another digest has recorded so far.
    pub(crate) fn join(&mut self, other: &Self) {
        self.0.update(other.0.clone().finalize());
    }

    /// The digest of all records so far, in hex.
    pub(crate) fn hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0.clone().finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
