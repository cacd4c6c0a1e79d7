//! The seal of one direction of one session: AEAD in place over the envelope of a datagram. Hop and end to end alike. Pure.

use std::ops::Range;

use overlayd_wire::envelope::{self, HEADER_LEN, OVERHEAD, TAG_LEN};
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::crypto::Key;
use crate::DropReason;
use crate::snapshot::Suite;

/// A key of one direction. It does not remember counters: whoever holds it must never seal twice with one.
pub struct Seal(LessSafeKey);

impl Seal {
    pub fn new(suite: Suite, key: &Key) -> Result<Self, DropReason> {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::Chacha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| DropReason::BadHandshake)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals `datagram`: 8 bytes for the header, the plaintext, 16 bytes for the tag.
    #[inline]
    pub fn seal(&self, counter: u32, receiver: u32, datagram: &mut [u8]) -> Result<(), DropReason> {
        let (header, rest) = datagram
            .split_first_chunk_mut()
            .ok_or(DropReason::Truncated)?;
        let (plaintext, tag) = rest
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(DropReason::Truncated)?;
        *header = envelope::header(counter, receiver);
        let made = self
            .0
            .seal_in_place_separate_tag(nonce(counter), Aad::from(&*header), plaintext)
            .map_err(|_| DropReason::SessionSpent)?;
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    /// Opens a sealed datagram in place and tells where the plaintext is. Where the tag does not fit, nothing of the bytes is left.
    #[inline]
    pub fn open(&self, counter: u32, datagram: &mut [u8]) -> Result<Range<usize>, DropReason> {
        let end = datagram
            .len()
            .checked_sub(TAG_LEN)
            .ok_or(DropReason::Truncated)?;
        let (header, ciphertext) = datagram
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(DropReason::Truncated)?;
        if ciphertext.len() < OVERHEAD - HEADER_LEN {
            return Err(DropReason::Truncated);
        }
        match self
            .0
            .open_in_place(nonce(counter), Aad::from(&*header), ciphertext)
        {
            Ok(_) => Ok(HEADER_LEN..end),
            Err(_) => {
                ciphertext.fill(0);
                Err(DropReason::BadTag)
            }
        }
    }
}

#[inline]
fn nonce(counter: u32) -> Nonce {
    Nonce::assume_unique_for_key(envelope::nonce(counter))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use overlayd_wire::Sealed;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::Chacha20Poly1305];

    fn sealed(seal: &Seal, counter: u32, receiver: u32, plaintext: &[u8]) -> Vec<u8> {
        let mut datagram = [&[0; HEADER_LEN], plaintext, &[0; TAG_LEN]].concat();
        seal.seal(counter, receiver, &mut datagram).unwrap();
        datagram
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_its_header_can_be_read(key: Key, counter in 0..envelope::COUNTER_END, receiver: u32, plaintext in vec(any::<u8>(), 0..200)) {
            for suite in SUITES {
                let seal = Seal::new(suite, &key).unwrap();
                let mut datagram = sealed(&seal, counter, receiver, &plaintext);
                let view = Sealed::parse(&datagram).unwrap();
                prop_assert_eq!((view.counter(), view.receiver()), (counter, receiver));
                let range = seal.open(counter, &mut datagram).unwrap();
                prop_assert_eq!(&datagram[range], &plaintext[..]);
            }
        }

        #[test]
        fn any_flipped_bit_is_found_and_no_plaintext_is_left(key: Key, plaintext in vec(1u8.., 1..60), bit: prop::sample::Index) {
            for suite in SUITES {
                let seal = Seal::new(suite, &key).unwrap();
                let mut datagram = sealed(&seal, 7, 9, &plaintext);
                let bit = bit.index(datagram.len() * 8);
                datagram[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(seal.open(7, &mut datagram), Err(DropReason::BadTag));
                prop_assert!(datagram[HEADER_LEN..].iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn another_counter_or_key_does_not_open() {
        let seal = Seal::new(Suite::Aes256Gcm, &[1; 32]).unwrap();
        let datagram = sealed(&seal, 7, 9, b"hello");
        assert_eq!(seal.open(8, &mut datagram.clone()), Err(DropReason::BadTag));
        let other = Seal::new(Suite::Aes256Gcm, &[2; 32]).unwrap();
        assert_eq!(
            other.open(7, &mut datagram.clone()),
            Err(DropReason::BadTag)
        );
        let other = Seal::new(Suite::Chacha20Poly1305, &[1; 32]).unwrap();
        assert_eq!(
            other.open(7, &mut datagram.clone()),
            Err(DropReason::BadTag)
        );
    }

    #[test]
    fn short_datagrams_are_refused() {
        let seal = Seal::new(Suite::Aes256Gcm, &[1; 32]).unwrap();
        for length in 0..OVERHEAD {
            assert_eq!(
                seal.seal(0, 0, &mut vec![0; length]),
                Err(DropReason::Truncated)
            );
            assert_eq!(
                seal.open(0, &mut vec![0; length]),
                Err(DropReason::Truncated)
            );
        }
    }

    #[test]
    fn aes_gcm_is_that_of_other_libraries() {
        // Python: AESGCM(bytes(range(32))).encrypt(bytes(8) + bytes([0, 0, 1, 2]), b"overlayd", header)
        let seal = Seal::new(Suite::Aes256Gcm, &std::array::from_fn(|i| i as u8)).unwrap();
        let datagram = sealed(&seal, 0x0102, 0xa0b0_c0d0, b"overlayd");
        let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "40000102a0b0c0d0625e75e408fd6935897fecfec533e4001e1868fd3c0a6ca6"
        );
    }
}
