//! Bodies (section 4): what the end-to-end seal covers, and the rest of a direct frame.

use crate::WireError;
use crate::probe::{PathProbe, PathProbeReply};
use crate::reader::Reader;

const PACKET: u8 = 1;
const BUNDLE: u8 = 2;
const RUN: u8 = 3;
const PIECE: u8 = 4;
const PATH_PROBE: u8 = 5;
const PATH_PROBE_REPLY: u8 = 6;

const PARTIAL_CHECKSUM: u8 = 1;
const RUN_FIRST: u8 = 2;
const RUN_LAST: u8 = 4;
const PIECE_SECOND: u8 = 1;

const RUN_HEADER_LEN: usize = 3;
const PIECE_HEADER_LEN: usize = 3;

/// Any body. Inner packets are bytes here; [`crate::InnerPacket`] looks into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    Packet {
        partial_checksum: bool,
        packet: &'a [u8],
    },
    Bundle(Bundle<'a>),
    Run(Run<'a>),
    Piece(Piece<'a>),
    PathProbe(PathProbe),
    PathProbeReply(PathProbeReply),
}

/// One packet of a super-packet that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    pub partial_checksum: bool,
    pub first: bool,
    pub last: bool,
    /// Number of the run; wraps.
    pub run: u8,
    /// Place in the run, from 0.
    pub index: u8,
    pub packet: &'a [u8],
}

/// Half of a packet that is longer than the path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    pub second: bool,
    pub id: u16,
    pub bytes: &'a [u8],
}

impl<'a> Body<'a> {
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let first = reader.u8()?;
        let flags = |known: u8| {
            let flags = first & 0x0f;
            if flags & !known == 0 {
                Ok(flags)
            } else {
                Err(WireError::Reserved)
            }
        };
        match first >> 4 {
            PACKET => Ok(Self::Packet {
                partial_checksum: flags(PARTIAL_CHECKSUM)? != 0,
                packet: reader.some_rest()?,
            }),
            BUNDLE => {
                flags(0)?;
                Bundle::parse(reader.rest()).map(Self::Bundle)
            }
            RUN => {
                let flags = flags(PARTIAL_CHECKSUM | RUN_FIRST | RUN_LAST)?;
                Ok(Self::Run(Run {
                    partial_checksum: flags & PARTIAL_CHECKSUM != 0,
                    first: flags & RUN_FIRST != 0,
                    last: flags & RUN_LAST != 0,
                    run: reader.u8()?,
                    index: reader.u8()?,
                    packet: reader.some_rest()?,
                }))
            }
            PIECE => Ok(Self::Piece(Piece {
                second: flags(PIECE_SECOND)? != 0,
                id: reader.u16()?,
                bytes: reader.some_rest()?,
            })),
            PATH_PROBE => {
                flags(0)?;
                PathProbe::parse(reader.rest()).map(Self::PathProbe)
            }
            PATH_PROBE_REPLY => {
                flags(0)?;
                PathProbeReply::parse(reader.rest()).map(Self::PathProbeReply)
            }
            _ => Err(WireError::UnknownShape),
        }
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        match self {
            Self::Packet {
                partial_checksum,
                packet,
            } => {
                out.push(packet_byte(*partial_checksum));
                out.extend_from_slice(packet);
            }
            Self::Bundle(bundle) => {
                out.push(BUNDLE_BYTE);
                out.extend_from_slice(bundle.0);
            }
            Self::Run(run) => {
                out.extend_from_slice(&run.header());
                out.extend_from_slice(run.packet);
            }
            Self::Piece(piece) => {
                out.extend_from_slice(&piece.header());
                out.extend_from_slice(piece.bytes);
            }
            Self::PathProbe(probe) => {
                out.push(PATH_PROBE << 4);
                probe.emit(out);
            }
            Self::PathProbeReply(reply) => {
                out.push(PATH_PROBE_REPLY << 4);
                reply.emit(out);
            }
        }
    }
}

/// First byte of a body with one packet; the packet is to follow.
#[inline]
pub const fn packet_byte(partial_checksum: bool) -> u8 {
    PACKET << 4
        | if partial_checksum {
            PARTIAL_CHECKSUM
        } else {
            0
        }
}

/// First byte of a bundle; [`bundle_item`] and its packet are to follow, once or more.
pub const BUNDLE_BYTE: u8 = BUNDLE << 4;

/// What stands before each packet in a bundle; `None`: longer than 65,535.
#[inline]
pub fn bundle_item(packet: &[u8]) -> Option<[u8; 2]> {
    u16::try_from(packet.len()).ok().map(u16::to_be_bytes)
}

impl Run<'_> {
    pub const HEADER_LEN: usize = RUN_HEADER_LEN;

    #[inline]
    pub const fn header(&self) -> [u8; RUN_HEADER_LEN] {
        let partial = if self.partial_checksum {
            PARTIAL_CHECKSUM
        } else {
            0
        };
        let first = if self.first { RUN_FIRST } else { 0 };
        let last = if self.last { RUN_LAST } else { 0 };
        [RUN << 4 | partial | first | last, self.run, self.index]
    }
}

impl Piece<'_> {
    pub const HEADER_LEN: usize = PIECE_HEADER_LEN;

    pub const fn header(&self) -> [u8; PIECE_HEADER_LEN] {
        let [a, b] = self.id.to_be_bytes();
        [
            PIECE << 4 | if self.second { PIECE_SECOND } else { 0 },
            a,
            b,
        ]
    }
}

/// View of a bundle's packets; checked whole, so walking it cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundle<'a>(&'a [u8]);

impl<'a> Bundle<'a> {
    /// `bytes`: behind the shape byte. At least one packet, none empty.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        loop {
            let length = reader.u16()?;
            if length == 0 {
                return Err(WireError::BadLength);
            }
            reader.take(usize::from(length))?;
            if reader.rest().is_empty() {
                return Ok(Self(bytes));
            }
        }
    }

    pub fn packets(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let length = reader.u16().ok()?;
            reader.take(usize::from(length)).ok()
        })
    }
}
