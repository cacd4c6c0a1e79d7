//! Handshake messages and their payloads (section 1.2). Noise, macs and cookies are computed in `engine/node`; here they are bytes.

use crate::reader::Reader;
use crate::{VERSION, WireError};

/// Whole init message.
pub const INIT_LEN: usize = 160;
/// Whole response message.
pub const RESPONSE_LEN: usize = 108;
/// Whole cookie reply.
pub const COOKIE_REPLY_LEN: usize = 56;
/// Noise message in an init: ephemeral key, sealed static key, sealed payload.
pub const INIT_NOISE_LEN: usize = 116;
/// Noise message in a response: ephemeral key, sealed payload.
pub const RESPONSE_NOISE_LEN: usize = 64;
/// Bytes before the Noise message, in both.
pub const HEADER_LEN: usize = 12;
/// One mac or cookie.
pub const MAC_LEN: usize = 16;

const INIT: u8 = 0x10;
const RESPONSE: u8 = 0x20;
const COOKIE_REPLY: u8 = 0x30;

/// View of an init.
#[derive(Clone, Copy, Debug)]
pub struct Init<'a> {
    /// Unknown bits are ignored.
    pub capabilities: u16,
    pub network: u32,
    pub sender: u32,
    pub noise: &'a [u8; INIT_NOISE_LEN],
    pub macs: Macs<'a>,
}

impl<'a> Init<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = open(message, INIT)?;
        let view = Self {
            capabilities: reader.u16()?,
            network: reader.u32()?,
            sender: reader.u32()?,
            noise: reader.array()?,
            macs: Macs::parse(message, &mut reader)?,
        };
        reader.end()?;
        Ok(view)
    }

    /// The bytes before the Noise message.
    pub const fn header(capabilities: u16, network: u32, sender: u32) -> [u8; HEADER_LEN] {
        let ([a, b], [c, d, e, f]) = (capabilities.to_be_bytes(), network.to_be_bytes());
        let [g, h, i, j] = sender.to_be_bytes();
        [INIT, VERSION, a, b, c, d, e, f, g, h, i, j]
    }
}

/// View of a response.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    pub capabilities: u16,
    pub sender: u32,
    /// The initiator's index.
    pub receiver: u32,
    pub noise: &'a [u8; RESPONSE_NOISE_LEN],
    pub macs: Macs<'a>,
}

impl<'a> Response<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = open(message, RESPONSE)?;
        let view = Self {
            capabilities: reader.u16()?,
            sender: reader.u32()?,
            receiver: reader.u32()?,
            noise: reader.array()?,
            macs: Macs::parse(message, &mut reader)?,
        };
        reader.end()?;
        Ok(view)
    }

    /// The bytes before the Noise message.
    pub const fn header(capabilities: u16, sender: u32, receiver: u32) -> [u8; HEADER_LEN] {
        let ([a, b], [c, d, e, f]) = (capabilities.to_be_bytes(), sender.to_be_bytes());
        let [g, h, i, j] = receiver.to_be_bytes();
        [RESPONSE, VERSION, a, b, c, d, e, f, g, h, i, j]
    }
}

/// The two macs at the end of an init or a response, and what they cover.
#[derive(Clone, Copy, Debug)]
pub struct Macs<'a> {
    /// The bytes before the Noise message.
    pub header: &'a [u8; HEADER_LEN],
    pub mac1: &'a [u8; MAC_LEN],
    /// Zero without a cookie.
    pub mac2: &'a [u8; MAC_LEN],
    /// Covered by mac1.
    pub before_mac1: &'a [u8],
    /// Covered by mac2.
    pub before_mac2: &'a [u8],
}

impl<'a> Macs<'a> {
    fn parse(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let length = message
            .len()
            .checked_sub(2 * MAC_LEN)
            .ok_or(WireError::Truncated)?;
        Ok(Self {
            header: message.first_chunk().ok_or(WireError::Truncated)?,
            mac1: reader.array()?,
            mac2: reader.array()?,
            before_mac1: message.get(..length).ok_or(WireError::Truncated)?,
            before_mac2: message
                .get(..length + MAC_LEN)
                .ok_or(WireError::Truncated)?,
        })
    }

    /// Whether the sender put in a cookie's mac at all.
    pub fn has_mac2(&self) -> bool {
        *self.mac2 != [0; MAC_LEN]
    }
}

/// View (and meaning) of a cookie reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieReply<'a> {
    /// The sender index of the message it answers.
    pub receiver: u32,
    pub nonce: &'a [u8; 16],
    /// Cookie (16) and tag (16).
    pub sealed: &'a [u8; 32],
}

impl<'a> CookieReply<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(message);
        match reader.u8()? {
            COOKIE_REPLY => reader.zero::<3>()?,
            byte if byte >> 4 == COOKIE_REPLY >> 4 => return Err(WireError::Reserved),
            _ => return Err(WireError::UnknownKind),
        }
        let view = Self {
            receiver: reader.u32()?,
            nonce: reader.array()?,
            sealed: reader.array()?,
        };
        reader.end()?;
        Ok(view)
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[COOKIE_REPLY, 0, 0, 0]);
        out.extend_from_slice(&self.receiver.to_be_bytes());
        out.extend_from_slice(self.nonce);
        out.extend_from_slice(self.sealed);
    }
}

/// What an initiator says under its static key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitPayload {
    pub node: u16,
    pub lane: u8,
    /// How often the node has started; persisted.
    pub boot: u64,
    /// Its monotonic clock, ns.
    pub stamp: u64,
}

impl InitPayload {
    pub const LEN: usize = 20;

    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let (node, lane) = (reader.u16()?, reader.u8()?);
        reader.zero::<1>()?;
        let payload = Self {
            node,
            lane,
            boot: reader.u64()?,
            stamp: reader.u64()?,
        };
        reader.end()?;
        Ok(payload)
    }

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..2].copy_from_slice(&self.node.to_be_bytes());
        bytes[2] = self.lane;
        bytes[4..12].copy_from_slice(&self.boot.to_be_bytes());
        bytes[12..].copy_from_slice(&self.stamp.to_be_bytes());
        bytes
    }
}

/// What a responder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePayload {
    pub node: u16,
    pub lane: u8,
    pub boot: u64,
    /// UDP source port of the init as it arrived; end to end: 0.
    pub observed_port: u16,
}

impl ResponsePayload {
    pub const LEN: usize = 16;

    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let (node, lane) = (reader.u16()?, reader.u8()?);
        reader.zero::<1>()?;
        let payload = Self {
            node,
            lane,
            boot: reader.u64()?,
            observed_port: reader.u16()?,
        };
        reader.zero::<2>()?;
        reader.end()?;
        Ok(payload)
    }

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..2].copy_from_slice(&self.node.to_be_bytes());
        bytes[2] = self.lane;
        bytes[4..12].copy_from_slice(&self.boot.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.observed_port.to_be_bytes());
        bytes
    }
}

/// Checks kind and version of an init or a response.
fn open(message: &[u8], kind: u8) -> Result<Reader<'_>, WireError> {
    let mut reader = Reader::new(message);
    let first = reader.u8()?;
    if first >> 4 != kind >> 4 {
        return Err(WireError::UnknownKind);
    }
    if first != kind {
        return Err(WireError::Reserved);
    }
    if reader.u8()? != VERSION {
        return Err(WireError::UnknownVersion);
    }
    Ok(reader)
}
