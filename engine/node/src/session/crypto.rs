//! BLAKE2s in the three forms that the wire format names, and the keys of one node. Pure.

use blake2::digest::{Mac, Update, consts::U16, consts::U32};
use blake2::{Blake2s256, Blake2sMac, Digest};
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub(super) type Key = [u8; 32];

/// BLAKE2s-256.
pub(super) fn hash(parts: &[&[u8]]) -> Key {
    let mut hash = Blake2s256::new();
    for part in parts {
        Digest::update(&mut hash, part);
    }
    hash.finalize().into()
}

/// Keyed BLAKE2s-256.
pub(super) fn mac256(key: &Key, parts: &[&[u8]]) -> Key {
    let mut mac = <Blake2sMac<U32> as blake2::digest::KeyInit>::new(&(*key).into());
    for part in parts {
        Update::update(&mut mac, part);
    }
    mac.finalize().into_bytes().into()
}

/// Keyed BLAKE2s-128; the key has up to 32 bytes.
pub(super) fn mac128<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 16] {
    const { assert!(N <= 32, "the longest key of BLAKE2s") };
    let Ok(mut mac) = <Blake2sMac<U16> as blake2::digest::KeyInit>::new_from_slice(key) else {
        unreachable!("a key of {N} bytes is not too long");
    };
    for part in parts {
        Update::update(&mut mac, part);
    }
    mac.finalize().into_bytes().into()
}

/// In time that does not depend on where the two differ.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// What everybody computes from a node's public key, to prove that it knows that key.
#[derive(Clone)]
pub(super) struct PublicKeys {
    pub(super) key: Key,
    mac1: Key,
    cookie: Key,
}

impl PublicKeys {
    pub(super) fn new(key: Key) -> Self {
        let (mac1, cookie) = (
            hash(&[b"overlayd/1 mac1", &key]),
            hash(&[b"overlayd/1 cookie", &key]),
        );
        Self { key, mac1, cookie }
    }

    /// mac1 of a message *to* the owner of the key.
    pub(super) fn mac1(&self, before_mac1: &[u8]) -> [u8; 16] {
        mac128(&self.mac1, &[before_mac1])
    }

    /// Key of cookie replies *from* the owner of the key.
    pub(super) fn cookie_key(&self, nonce: &[u8; 16]) -> Key {
        mac256(&self.cookie, &[nonce])
    }
}

/// The static keys of this node.
pub(super) struct Identity {
    pub(super) private: Zeroizing<Key>,
    pub(super) public: PublicKeys,
}

impl Identity {
    pub(super) fn new(private: Key) -> Self {
        Self {
            private: Zeroizing::new(private),
            public: PublicKeys::new(public_key(&private)),
        }
    }
}

/// X25519 public key of a private key.
pub fn public_key(private: &[u8; 32]) -> [u8; 32] {
    let mut public = [0; 32];
    if let Some(mut dh) = DefaultResolver.resolve_dh(&DHChoice::Curve25519) {
        dh.set(private);
        public.copy_from_slice(dh.pubkey());
    }
    public
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn blake2s_is_that_of_rfc_7693() {
        let expected = hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
        assert_eq!(hash(&[b"a", b"bc"]).to_vec(), expected);
    }

    #[test]
    fn keyed_blake2s_agrees_with_another_implementation() {
        // Python: hashlib.blake2s(b"overlayd", key=bytes(range(32)), digest_size=…); the last with a 16-byte key.
        let key: Key = std::array::from_fn(|i| i as u8);
        let short: [u8; 16] = std::array::from_fn(|i| i as u8);
        assert_eq!(
            mac256(&key, &[b"over", b"layd"]).to_vec(),
            hex("e27dcdde64550e22e3c48a65f75d1a6351c7e0ee6dc5aa2edff24fd2955137a8")
        );
        assert_eq!(
            mac128(&key, &[b"overlayd"]).to_vec(),
            hex("83694acda714e4d8856a53f8213dc9b3")
        );
        assert_eq!(
            mac128(&short, &[b"overlayd"]).to_vec(),
            hex("da64be9925f57356e8318f2a3454585c")
        );
    }

    #[test]
    fn public_key_is_that_of_rfc_7748() {
        let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        assert_eq!(
            public_key(&alice.try_into().unwrap()).to_vec(),
            hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        );
    }
}
