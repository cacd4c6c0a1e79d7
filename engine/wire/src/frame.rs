//! Frames under a hop seal (section 2): the header of protected frames, repair, feedback, tail, path challenge, close.

use crate::WireError;
use crate::frame_type::{FrameType, type_byte};
use crate::probe::{LinkProbe, LinkProbeReply};
use crate::reader::{Reader, be24};

/// Any hop frame. Long parts are borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// With its body ([`crate::Body`]), which starts at [`Protected::LEN`].
    Direct(Protected, &'a [u8]),
    /// With its route ([`crate::RouteView`]) and end-to-end datagram, which start at [`Protected::LEN`].
    Routed(Protected, &'a [u8]),
    Repair(Repair<'a>),
    Feedback(Feedback<'a>),
    Tail(Tail),
    Probe(LinkProbe),
    ProbeReply(LinkProbeReply),
    PathChallenge([u8; 8]),
    PathResponse([u8; 8]),
    Close(u8),
}

impl<'a> Frame<'a> {
    #[inline]
    pub fn parse(plaintext: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(plaintext);
        let first = reader.u8()?;
        let class = first & 0x0f;
        let kind = FrameType::of(first)?;
        match kind {
            FrameType::Direct | FrameType::Routed => {
                let (seq, budget) = (reader.u24()?, Budget(reader.u16()?));
                let header = Protected {
                    routed: kind == FrameType::Routed,
                    class,
                    seq,
                    budget,
                };
                let rest = reader.some_rest()?;
                Ok(if header.routed {
                    Self::Routed(header, rest)
                } else {
                    Self::Direct(header, rest)
                })
            }
            FrameType::Repair => Repair::parse(class, reader).map(Self::Repair),
            FrameType::Feedback => Feedback::parse(class, reader).map(Self::Feedback),
            FrameType::Tail => {
                let next = reader.u24()?;
                reader.end()?;
                Ok(Self::Tail(Tail { class, next }))
            }
            FrameType::Probe => LinkProbe::parse(class, reader.rest()).map(Self::Probe),
            FrameType::ProbeReply => {
                LinkProbeReply::parse(class, reader.rest()).map(Self::ProbeReply)
            }
            FrameType::PathChallenge => whole(reader).map(|nonce| Self::PathChallenge(*nonce)),
            FrameType::PathResponse => whole(reader).map(|nonce| Self::PathResponse(*nonce)),
            FrameType::Close => whole(reader).map(|[reason]| Self::Close(*reason)),
        }
    }
}

/// Header of a direct or routed frame: what repair works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protected {
    pub routed: bool,
    /// Class of service, 0–15.
    pub class: u8,
    /// Low 24 bits of the sequence number of (link, class); see [`nearest`].
    pub seq: u32,
    pub budget: Budget,
}

impl Protected {
    pub const LEN: usize = 6;

    #[inline]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let [a, b, c] = be24(self.seq);
        let [d, e] = self.budget.0.to_be_bytes();
        [self.first_byte(), a, b, c, d, e]
    }

    /// The source symbol of the frame is this byte followed by all behind the header.
    #[inline]
    pub fn first_byte(&self) -> u8 {
        let kind = if self.routed {
            FrameType::Routed
        } else {
            FrameType::Direct
        };
        type_byte(kind, self.class)
    }

    /// Header of a frame that was recovered as a symbol; the frame is this header and the symbol behind its first byte.
    pub fn of_symbol(symbol: &[u8], seq: u32, budget: Budget) -> Result<Self, WireError> {
        let first = *symbol.first().ok_or(WireError::Truncated)?;
        let routed = match FrameType::of(first)? {
            FrameType::Direct => false,
            FrameType::Routed => true,
            _ => return Err(WireError::UnknownType),
        };
        Ok(Self {
            routed,
            class: first & 0x0f,
            seq: seq & SEQ_MASK,
            budget,
        })
    }
}

/// Delay that repair and queueing may still add, in units of 100 µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget(pub u16);

impl Budget {
    /// No deadline.
    pub const NONE: Self = Self(u16::MAX);
    const UNIT_NS: u64 = 100_000;
    const MOST: u64 = u16::MAX as u64 - 1;

    /// Rounds to the nearest unit; more than 6.5534 s is 6.5534 s. `None`: no deadline.
    pub fn from_ns(deadline_ns: Option<u64>) -> Self {
        let Some(ns) = deadline_ns else {
            return Self::NONE;
        };
        let units = (ns.saturating_add(Self::UNIT_NS / 2) / Self::UNIT_NS).min(Self::MOST);
        Self(units as u16)
    }

    pub fn to_ns(self) -> Option<u64> {
        (self != Self::NONE).then(|| u64::from(self.0) * Self::UNIT_NS)
    }

    /// What is left after a frame was held for `held_ns`; never below zero. No deadline stays none.
    pub fn less(self, held_ns: u64) -> Self {
        match self.to_ns() {
            Some(ns) => Self::from_ns(Some(ns.saturating_sub(held_ns))),
            None => Self::NONE,
        }
    }
}

/// Bits of a sequence number that are sent.
pub const SEQ_MASK: u32 = 0x00ff_ffff;

/// The 32-bit number with these low 24 bits that is nearest to `highest`. Numbers wrap: compare them by difference.
#[inline]
pub const fn nearest(seq: u32, highest: u32) -> u32 {
    let ahead = (seq.wrapping_sub(highest) << 8).cast_signed() >> 8;
    highest.wrapping_add_signed(ahead)
}

const REPAIR_HEADER_LEN: usize = 8;

/// A repair symbol of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair<'a> {
    pub class: u8,
    /// Of the oldest source symbol covered.
    pub budget: Budget,
    /// Low 24 bits.
    pub first: u32,
    /// 1–128 sequence numbers from `first`.
    pub span: u8,
    /// 0–31: row of the mother code.
    pub row: u8,
    pub symbol: &'a [u8],
}

impl<'a> Repair<'a> {
    /// Bytes before the symbol.
    pub const HEADER_LEN: usize = REPAIR_HEADER_LEN;
    pub const SPAN_MAX: u8 = 128;
    pub const ROWS: u8 = 32;

    fn parse(class: u8, mut reader: Reader<'a>) -> Result<Self, WireError> {
        let budget = Budget(reader.u16()?);
        let (first, span, row) = (reader.u24()?, reader.u8()?, reader.u8()?);
        if span == 0 || span > Self::SPAN_MAX || row >= Self::ROWS {
            return Err(WireError::BadValue);
        }
        Ok(Self {
            class,
            budget,
            first,
            span,
            row,
            symbol: reader.some_rest()?,
        })
    }

    /// Header of the frame; the symbol is to follow it.
    pub fn header(&self) -> [u8; REPAIR_HEADER_LEN] {
        let ([a, b], [c, d, e]) = (self.budget.0.to_be_bytes(), be24(self.first));
        [
            type_byte(FrameType::Repair, self.class),
            a,
            b,
            c,
            d,
            e,
            self.span,
            self.row,
        ]
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        out.extend_from_slice(self.symbol);
    }
}

/// What a receiver of protected frames has and misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feedback<'a> {
    pub class: u8,
    /// Highest received + 1, low 24 bits.
    pub next: u32,
    /// All below is settled, low 24 bits.
    pub base: u32,
    pub answers_tail: bool,
    /// Bit i, most significant first: `base + i` is missing and wanted.
    pub bitmap: &'a [u8],
}

impl<'a> Feedback<'a> {
    pub const HEADER_LEN: usize = 8;
    /// Room for the frames that are missing of 8,192: a tenth of a second at 80,000 frames/s.
    pub const BITMAP_MAX: usize = 1024;
    const ANSWERS_TAIL: u8 = 1;

    fn parse(class: u8, mut reader: Reader<'a>) -> Result<Self, WireError> {
        let (next, base, flags) = (reader.u24()?, reader.u24()?, reader.u8()?);
        if flags & !Self::ANSWERS_TAIL != 0 {
            return Err(WireError::Reserved);
        }
        let bitmap = reader.rest();
        if bitmap.len() > Self::BITMAP_MAX {
            return Err(WireError::BadLength);
        }
        Ok(Self {
            class,
            next,
            base,
            answers_tail: flags & Self::ANSWERS_TAIL != 0,
            bitmap,
        })
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(type_byte(FrameType::Feedback, self.class));
        out.extend_from_slice(&be24(self.next));
        out.extend_from_slice(&be24(self.base));
        out.push(if self.answers_tail {
            Self::ANSWERS_TAIL
        } else {
            0
        });
        out.extend_from_slice(self.bitmap);
    }

    /// Distances from `base` of all that is missing and wanted, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> + 'a {
        self.bitmap.iter().zip(0u32..).flat_map(|(byte, i)| {
            (0..8)
                .filter(move |bit| byte & (0x80 >> bit) != 0)
                .map(move |bit| 8 * i + bit)
        })
    }
}

/// "Have you got all below `next`?"
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub class: u8,
    /// Low 24 bits.
    pub next: u32,
}

impl Tail {
    pub const LEN: usize = 4;

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let [a, b, c] = be24(self.next);
        [type_byte(FrameType::Tail, self.class), a, b, c]
    }
}

/// A path challenge frame: proves that the remote address of a link receives what we send.
pub fn path_challenge(nonce: [u8; 8]) -> [u8; 9] {
    with_nonce(FrameType::PathChallenge, nonce)
}

/// Its answer, sent to where the challenge came from.
pub fn path_response(nonce: [u8; 8]) -> [u8; 9] {
    with_nonce(FrameType::PathResponse, nonce)
}

/// The sender is about to forget the session. The reason is for logs; all values are understood alike.
pub fn close(reason: u8) -> [u8; 2] {
    [type_byte(FrameType::Close, 0), reason]
}

fn with_nonce(kind: FrameType, nonce: [u8; 8]) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = nonce;
    [type_byte(kind, 0), a, b, c, d, e, f, g, h]
}

/// All that is left, as an array of exactly this size.
fn whole<'a, const N: usize>(mut reader: Reader<'a>) -> Result<&'a [u8; N], WireError> {
    let bytes = reader.array()?;
    reader.end()?;
    Ok(bytes)
}
