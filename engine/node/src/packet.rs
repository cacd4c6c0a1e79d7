//! What a shell hands in: packets of the TUN and datagrams of the sockets. Pure.

use std::net::SocketAddr;
use std::ops::Range;

/// An inner packet or super-packet from the TUN.
pub struct Packet<'a> {
    pub bytes: &'a [u8],
    pub offload: Offload,
}

/// A datagram from a UDP socket. It is opened where it lies.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub uplink: u8,
    pub remote: SocketAddr,
    /// The two ECN bits of the outer header.
    pub ecn: u8,
    /// In the bytes that were received.
    pub range: Range<usize>,
}

/// What the kernel still has to do for a packet (or did not yet do, on the way in): the meaning of a virtio network header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Transport checksum is partial: (start of the transport header, offset of the checksum in it).
    pub partial_checksum: Option<(u16, u16)>,
    /// A super-packet: cut into segments of this payload size.
    pub segment: Option<Segment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub kind: SegmentKind,
    /// Bytes of all headers, repeated in every segment.
    pub header_len: u16,
    /// Payload bytes of every segment but the last.
    pub size: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    TcpV4,
    TcpV6,
    Udp,
}
