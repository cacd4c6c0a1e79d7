//! Probes of a link (hop frames) and of a path (bodies), section 5. When to send them and what follows from them is not here.

use crate::WireError;
use crate::frame_type::{FrameType, type_byte};
use crate::reader::{Reader, be24};

/// Asks the far end of a link to answer; padding behind it makes it as long as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkProbe {
    /// How many steps the sender's budget for probes has made it slower, 0–15.
    pub pace: u8,
    /// Low 24 bits.
    pub seq: u32,
    /// Sender's clock, ns.
    pub sent_ns: u64,
    /// Datagrams sent on this link so far, this one included.
    pub sent: u32,
}

impl LinkProbe {
    /// Without padding.
    pub const LEN: usize = 16;

    /// `rest`: the frame behind its first byte. Padding is not looked at.
    pub(crate) fn parse(pace: u8, rest: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(rest);
        Ok(Self {
            pace,
            seq: reader.u24()?,
            sent_ns: reader.u64()?,
            sent: reader.u32()?,
        })
    }

    /// Appends the frame; `len` below [`Self::LEN`] means no padding.
    pub fn emit(&self, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(type_byte(FrameType::Probe, self.pace));
        out.extend_from_slice(&be24(self.seq));
        out.extend_from_slice(&self.sent_ns.to_be_bytes());
        out.extend_from_slice(&self.sent.to_be_bytes());
        out.resize(start + len.max(Self::LEN), 0);
    }
}

/// Answer to a link probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkProbeReply {
    /// Of the responder.
    pub pace: u8,
    pub seq: u32,
    /// As in the probe.
    pub sent_ns: u64,
    /// Between arrival of the probe and leaving of the reply.
    pub hold_ns: u32,
    /// Responder's clock at arrival, ns.
    pub received_ns: u64,
    /// As in the probe.
    pub sent: u32,
    /// Datagrams received on this link so far.
    pub received: u32,
    /// Bytes of the UDP payload that the probe arrived in.
    pub received_size: u16,
    /// The reply asks back: it is a probe too.
    pub counterprobe: Option<Counterprobe>,
}

/// What a reply needs more to be a probe as well; its time of sending it tells already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counterprobe {
    /// Low 24 bits.
    pub seq: u32,
    /// Datagrams that the responder has sent on this link so far, this one included.
    pub sent: u32,
}

impl Counterprobe {
    pub const LEN: usize = 7;
}

impl LinkProbeReply {
    /// Without a counterprobe.
    pub const LEN: usize = 34;

    pub(crate) fn parse(pace: u8, rest: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(rest);
        let mut reply = Self {
            pace,
            seq: reader.u24()?,
            sent_ns: reader.u64()?,
            hold_ns: reader.u32()?,
            received_ns: reader.u64()?,
            sent: reader.u32()?,
            received: reader.u32()?,
            received_size: reader.u16()?,
            counterprobe: None,
        };
        if !reader.rest().is_empty() {
            reply.counterprobe = Some(Counterprobe {
                seq: reader.u24()?,
                sent: reader.u32()?,
            });
            reader.end()?;
        }
        Ok(reply)
    }

    /// The probe that the reply is as well.
    pub fn as_probe(&self) -> Option<LinkProbe> {
        self.counterprobe
            .map(|Counterprobe { seq, sent }| LinkProbe {
                pace: self.pace,
                seq,
                sent_ns: self.received_ns.wrapping_add(self.hold_ns.into()),
                sent,
            })
    }

    pub fn emit(&self, out: &mut Vec<u8>) {
        out.push(type_byte(FrameType::ProbeReply, self.pace));
        out.extend_from_slice(&be24(self.seq));
        out.extend_from_slice(&self.sent_ns.to_be_bytes());
        out.extend_from_slice(&self.hold_ns.to_be_bytes());
        out.extend_from_slice(&self.received_ns.to_be_bytes());
        out.extend_from_slice(&self.sent.to_be_bytes());
        out.extend_from_slice(&self.received.to_be_bytes());
        out.extend_from_slice(&self.received_size.to_be_bytes());
        if let Some(Counterprobe { seq, sent }) = self.counterprobe {
            out.extend_from_slice(&be24(seq));
            out.extend_from_slice(&sent.to_be_bytes());
        }
    }
}

/// Asks the egress of a path to answer; padding behind it makes it as long as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbe {
    /// Which of the ingress's paths to this egress: chosen by the ingress, repeated by the egress.
    pub slot: u8,
    pub seq: u32,
    pub sent_ns: u64,
    /// End-to-end datagrams sent so far.
    pub sent: u32,
}

impl PathProbe {
    /// With the shape byte.
    pub const LEN: usize = 18;

    /// Padding is not looked at.
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(rest);
        Ok(Self {
            slot: reader.u8()?,
            seq: reader.u32()?,
            sent_ns: reader.u64()?,
            sent: reader.u32()?,
        })
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.slot);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.sent_ns.to_be_bytes());
        out.extend_from_slice(&self.sent.to_be_bytes());
    }
}

/// Answer to a path probe; travels the reversed segment list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbeReply {
    pub slot: u8,
    pub seq: u32,
    pub sent_ns: u64,
    pub hold_ns: u32,
    pub sent: u32,
    pub received: u32,
}

impl PathProbeReply {
    /// With the shape byte.
    pub const LEN: usize = 26;

    pub(crate) fn parse(rest: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(rest);
        let reply = Self {
            slot: reader.u8()?,
            seq: reader.u32()?,
            sent_ns: reader.u64()?,
            hold_ns: reader.u32()?,
            sent: reader.u32()?,
            received: reader.u32()?,
        };
        reader.end()?;
        Ok(reply)
    }

    pub(crate) fn emit(&self, out: &mut Vec<u8>) {
        out.push(self.slot);
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.sent_ns.to_be_bytes());
        out.extend_from_slice(&self.hold_ns.to_be_bytes());
        out.extend_from_slice(&self.sent.to_be_bytes());
        out.extend_from_slice(&self.received.to_be_bytes());
    }
}
