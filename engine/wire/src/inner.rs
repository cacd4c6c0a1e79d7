//! Inner IPv4 and IPv6 packets: the little that classifying and routing need. Options and payload are left alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{WireError, ecn};

const V4_HEADER_MIN: usize = 20;
const V6_HEADER: usize = 40;
/// Extension headers that are walked through to find the transport; more are not worth the time.
const EXTENSIONS_MAX: usize = 8;

const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

/// View of one inner packet whose length field says what it has.
#[derive(Clone, Copy, Debug)]
pub struct InnerPacket<'a> {
    bytes: &'a [u8],
    protocol: u8,
    transport: usize,
    fragment: bool,
    /// A fragment that does not start the transport header.
    later_fragment: bool,
}

impl<'a> InnerPacket<'a> {
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        match bytes.first().ok_or(WireError::Truncated)? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => Err(WireError::BadInner),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, WireError> {
        let header = bytes
            .first_chunk::<V4_HEADER_MIN>()
            .ok_or(WireError::Truncated)?;
        let transport = usize::from(header[0] & 0x0f) * 4;
        if transport < V4_HEADER_MIN || transport > bytes.len() {
            return Err(WireError::BadInner);
        }
        if usize::from(u16::from_be_bytes([header[2], header[3]])) != bytes.len() {
            return Err(WireError::BadLength);
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]);
        Ok(Self {
            bytes,
            protocol: header[9],
            transport,
            fragment: fragment & 0x3fff != 0,
            later_fragment: fragment & 0x1fff != 0,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, WireError> {
        let header = bytes
            .first_chunk::<V6_HEADER>()
            .ok_or(WireError::Truncated)?;
        if V6_HEADER + usize::from(u16::from_be_bytes([header[4], header[5]])) != bytes.len() {
            return Err(WireError::BadLength);
        }
        let mut packet = Self {
            bytes,
            protocol: header[6],
            transport: V6_HEADER,
            fragment: false,
            later_fragment: false,
        };
        for _ in 0..EXTENSIONS_MAX {
            if !packet.skip_extension()? {
                break;
            }
        }
        Ok(packet)
    }

    /// Steps over one IPv6 extension header; false: there is none.
    fn skip_extension(&mut self) -> Result<bool, WireError> {
        if self.later_fragment {
            return Ok(false);
        }
        let length = match self.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION => 8 + 8 * usize::from(self.extension()?[1]),
            AUTHENTICATION => 8 + 4 * usize::from(self.extension()?[1]),
            FRAGMENT => {
                let [_, _, high, low, ..] = *self.extension()?;
                self.fragment = true;
                self.later_fragment = u16::from_be_bytes([high, low]) & 0xfff8 != 0;
                8
            }
            _ => return Ok(false),
        };
        self.protocol = self.extension()?[0];
        self.transport += length;
        if self.transport > self.bytes.len() {
            return Err(WireError::BadInner);
        }
        Ok(true)
    }

    fn extension(&self) -> Result<&'a [u8; 8], WireError> {
        self.bytes
            .get(self.transport..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(WireError::BadInner)
    }

    #[inline]
    pub fn is_v6(&self) -> bool {
        self.bytes.first().is_some_and(|first| first >> 4 == 6)
    }

    #[inline]
    pub fn source(&self) -> IpAddr {
        if self.is_v6() {
            self.v6_at(8)
        } else {
            self.v4_at(12)
        }
    }

    #[inline]
    pub fn destination(&self) -> IpAddr {
        if self.is_v6() {
            self.v6_at(24)
        } else {
            self.v4_at(16)
        }
    }

    /// IP protocol number of the transport, behind any IPv6 extension headers.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Where the transport header starts.
    #[inline]
    pub fn transport_offset(&self) -> usize {
        self.transport
    }

    /// Source and destination port of TCP, UDP, SCTP, DCCP and UDP-Lite, where the packet has them.
    #[inline]
    pub fn ports(&self) -> Option<(u16, u16)> {
        if self.later_fragment || !matches!(self.protocol, TCP | UDP | SCTP | DCCP | UDP_LITE) {
            return None;
        }
        let [a, b, c, d] = *self.bytes.get(self.transport..)?.first_chunk()?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Whether it is any fragment of a longer packet.
    pub fn is_fragment(&self) -> bool {
        self.fragment
    }

    /// Whether the sender forbids fragments: IPv6, or IPv4 with DF.
    pub fn dont_fragment(&self) -> bool {
        self.is_v6() || self.bytes.get(6).is_some_and(|flags| flags & 0x40 != 0)
    }

    /// Six bits.
    #[inline]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// Two bits.
    #[inline]
    pub fn ecn(&self) -> u8 {
        self.traffic_class() & ecn::MASK
    }

    #[inline]
    pub fn traffic_class(&self) -> u8 {
        match *self.bytes {
            [first, second, ..] if first >> 4 == 6 => first << 4 | second >> 4,
            [_, second, ..] => second,
            _ => 0,
        }
    }

    fn v4_at(&self, at: usize) -> IpAddr {
        let address: [u8; 4] = self
            .bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or_default();
        Ipv4Addr::from(address).into()
    }

    fn v6_at(&self, at: usize) -> IpAddr {
        let address: [u8; 16] = self
            .bytes
            .get(at..)
            .and_then(<[u8]>::first_chunk)
            .copied()
            .unwrap_or_default();
        Ipv6Addr::from(address).into()
    }
}
