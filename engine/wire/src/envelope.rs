//! The outside of a datagram (section 1): its kind, and the envelope of a sealed one. Sealing itself is in `engine/node`.

use crate::WireError;
use crate::reader::Reader;

/// Bytes before the ciphertext; all of them are associated data.
pub const HEADER_LEN: usize = 8;
/// Bytes of the tag behind the ciphertext.
pub const TAG_LEN: usize = 16;
/// What a seal adds to its plaintext.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// Counters are smaller than this; a session ends here.
pub const COUNTER_END: u32 = 1 << 28;

/// High nibble of the first byte of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Init,
    Response,
    CookieReply,
    Sealed,
}

impl Kind {
    /// Reads no more than the first byte.
    #[inline]
    pub fn of(datagram: &[u8]) -> Result<Self, WireError> {
        match datagram.first().ok_or(WireError::Truncated)? >> 4 {
            1 => Ok(Self::Init),
            2 => Ok(Self::Response),
            3 => Ok(Self::CookieReply),
            4 => Ok(Self::Sealed),
            _ => Err(WireError::UnknownKind),
        }
    }
}

/// View of a sealed datagram: 8 bytes, ciphertext, tag.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    pub header: &'a [u8; HEADER_LEN],
    /// Ciphertext and tag; at least a tag.
    pub ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, WireError> {
        if Kind::of(datagram)? != Kind::Sealed {
            return Err(WireError::UnknownKind);
        }
        let mut reader = Reader::new(datagram);
        let header = reader.array()?;
        let ciphertext = reader.rest();
        if ciphertext.len() < TAG_LEN {
            return Err(WireError::Truncated);
        }
        Ok(Self { header, ciphertext })
    }

    /// 28 bits: the whole counter.
    #[inline]
    pub fn counter(&self) -> u32 {
        let [a, b, c, d, ..] = *self.header;
        u32::from_be_bytes([a & 0x0f, b, c, d])
    }

    /// Index that the receiver gave to its session.
    #[inline]
    pub fn receiver(&self) -> u32 {
        let [.., a, b, c, d] = *self.header;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The eight bytes before a ciphertext. Bits of the counter above the 28th are not sent.
#[inline]
pub const fn header(counter: u32, receiver: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = counter.to_be_bytes();
    let [e, f, g, h] = receiver.to_be_bytes();
    [0x40 | (a & 0x0f), b, c, d, e, f, g, h]
}

/// AEAD nonce of a counter: 8 zero bytes, then the counter.
#[inline]
pub const fn nonce(counter: u32) -> [u8; 12] {
    let [a, b, c, d] = counter.to_be_bytes();
    [0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
}
