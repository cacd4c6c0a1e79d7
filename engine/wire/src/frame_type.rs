//! The first byte of a hop frame: its type and its class.

use crate::WireError;

/// High nibble of the first byte of a hop frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameType {
    Direct = 1,
    Routed = 2,
    Repair = 3,
    Feedback = 4,
    Tail = 5,
    Probe = 6,
    ProbeReply = 7,
    PathChallenge = 8,
    PathResponse = 9,
    Close = 10,
}

impl FrameType {
    pub(crate) fn of(byte: u8) -> Result<Self, WireError> {
        Ok(match byte >> 4 {
            1 => Self::Direct,
            2 => Self::Routed,
            3 => Self::Repair,
            4 => Self::Feedback,
            5 => Self::Tail,
            6 => Self::Probe,
            7 => Self::ProbeReply,
            8 => Self::PathChallenge,
            9 => Self::PathResponse,
            10 => Self::Close,
            _ => return Err(WireError::UnknownType),
        })
    }
}

/// The first byte; `class` is of service, or what the type has in its place.
#[inline]
pub(crate) const fn type_byte(kind: FrameType, class: u8) -> u8 {
    (kind as u8) << 4 | (class & 0x0f)
}
