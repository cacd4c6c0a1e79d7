//! A frame as AF_PACKET hands it over, and the single packets that a wire would have carried in its place.
//!
//! A sender with segmentation offload hands the device one super-frame of up to 64 KB. Here it is cut, by
//! arithmetic and without copying, into the packets that its kernel or network card would have made. A
//! *run* of them (those that survive the link and leave it together) is put back under one header, again as
//! a super-frame, so that the cost per packet stays small. Pure; called by `shell`.

use super::checksum::{add, fold};
use crate::vnet::{self, VnetHeader};
use std::ops::Range;

/// Bytes of the Ethernet header; the link model counts what follows it.
pub(super) const ETHERNET: usize = 14;
/// Room for the headers of a super-frame: Ethernet, IP with options or extensions, TCP with options.
pub(super) const HEADER_MAX: usize = 192;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const IPV6_HEADER: usize = 40;
const ICMPV6: u8 = 58;
const NEIGHBOUR_DISCOVERY: Range<u8> = 133..138;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN_PSH: u8 = 0x01 | 0x08;
const CWR: u8 = 0x80;

/// One frame in memory, with what is known of its inside.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Box<[u8]>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A packet as it is on the wire; a partial checksum still has to be finished at the place given.
    Single { partial: Option<Partial> },
    /// Many packets under one header.
    Super(Super),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partial {
    start: usize,
    offset: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Super {
    gso_type: u8,
    ipv6: bool,
    tcp: bool,
    transport: usize,
    header_len: usize,
    segment_len: usize,
}

/// A frame that cannot be cut as its own header says, and is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Frame {
    /// Takes a received frame; `bytes` start with the Ethernet header.
    pub(super) fn parse(header: &VnetHeader, bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() <= ETHERNET {
            return Err(Malformed);
        }
        let shape = if header.gso_type == vnet::GSO_NONE {
            Shape::Single {
                partial: partial(header, bytes.len())?,
            }
        } else {
            Shape::Super(Super::parse(header, bytes)?)
        };
        Ok(Self {
            bytes: bytes.into(),
            shape,
        })
    }

    /// How many packets the frame stands for.
    pub(super) fn packets(&self) -> u16 {
        match self.shape {
            Shape::Single { .. } => 1,
            Shape::Super(s) => (self.bytes.len() - s.header_len).div_ceil(s.segment_len) as u16,
        }
    }

    /// Layer-3 bytes of the packets `first..first + count`, each with its own headers.
    pub(super) fn len(&self, first: u16, count: u16) -> u32 {
        let len = match self.shape {
            Shape::Single { .. } => self.bytes.len() - ETHERNET,
            Shape::Super(s) => {
                usize::from(count) * (s.header_len - ETHERNET) + self.payload(first, count).len()
            }
        };
        len as u32
    }

    /// Whether the frame belongs to the first metre: ARP or neighbour discovery.
    pub(super) fn is_sheltered(&self) -> bool {
        match ethertype(&self.bytes) {
            ETHERTYPE_ARP => true,
            ETHERTYPE_IPV6 => {
                self.bytes.get(ETHERNET + 6) == Some(&ICMPV6)
                    && self
                        .bytes
                        .get(ETHERNET + IPV6_HEADER)
                        .is_some_and(|kind| NEIGHBOUR_DISCOVERY.contains(kind))
            }
            _ => false,
        }
    }

    /// Puts the packets `first..first + count` under one header, written to `header`.
    ///
    /// Answers the offload header, the length of `header` in use and the range of the frame that follows it.
    pub(super) fn assemble(
        &self,
        first: u16,
        count: u16,
        header: &mut [u8; HEADER_MAX],
    ) -> (VnetHeader, usize, Range<usize>) {
        let payload = self.payload(first, count);
        match self.shape {
            Shape::Single { partial } => (single_header(partial), 0, payload),
            Shape::Super(s) => {
                let header = &mut header[..s.header_len];
                header.copy_from_slice(&self.bytes[..s.header_len]);
                let last = first + count == self.packets();
                s.rewrite(header, first, last, payload.len());
                (s.offload_header(first, count), s.header_len, payload)
            }
        }
    }

    /// One packet as bytes with finished checksums and, in its layer-3 part, one bit flipped.
    pub(super) fn corrupted(&self, index: u16, bit: u32) -> Vec<u8> {
        let mut header = [0; HEADER_MAX];
        let (offload, header_len, payload) = self.assemble(index, 1, &mut header);
        let mut packet = Vec::with_capacity(header_len + payload.len());
        packet.extend_from_slice(&header[..header_len]);
        packet.extend_from_slice(&self.bytes[payload]);
        if let Ok(Some(place)) = partial(&offload, packet.len()) {
            finish_checksum(&mut packet, place);
        }
        if let Some(byte) = packet.get_mut(ETHERNET + bit as usize / 8) {
            *byte ^= 0x80 >> (bit % 8);
        }
        packet
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the frame lies what follows the rewritten header; a single packet goes whole.
    fn payload(&self, first: u16, count: u16) -> Range<usize> {
        match self.shape {
            Shape::Single { .. } => 0..self.bytes.len(),
            Shape::Super(s) => {
                let at = |index: u16| s.header_len + usize::from(index) * s.segment_len;
                at(first)..at(first + count).min(self.bytes.len())
            }
        }
    }
}

impl Super {
    fn parse(header: &VnetHeader, bytes: &[u8]) -> Result<Self, Malformed> {
        let transport = usize::from(header.csum_start);
        let tcp = match header.gso_type & !vnet::GSO_ECN {
            vnet::GSO_TCPV4 | vnet::GSO_TCPV6 => true,
            vnet::GSO_UDP_L4 => false,
            _ => return Err(Malformed),
        };
        let ipv6 = match ethertype(bytes) {
            ETHERTYPE_IPV4 => false,
            ETHERTYPE_IPV6 => true,
            _ => return Err(Malformed),
        };
        let shortest_ip = if ipv6 { IPV6_HEADER } else { 20 };
        let transport_len = if tcp {
            usize::from(bytes.get(transport + 12).ok_or(Malformed)? >> 4) * 4
        } else {
            8
        };
        let header_len = transport + transport_len;
        let segment_len = usize::from(header.gso_size);
        let sound = header.flags & vnet::NEEDS_CSUM != 0
            && transport >= ETHERNET + shortest_ip
            && transport_len >= if tcp { 20 } else { 8 }
            && header_len <= HEADER_MAX
            && header_len < bytes.len()
            && segment_len > 0;
        sound
            .then_some(Self {
                gso_type: header.gso_type,
                ipv6,
                tcp,
                transport,
                header_len,
                segment_len,
            })
            .ok_or(Malformed)
    }

    /// Turns the copied header of the super-frame into that of a run starting with packet `first`.
    fn rewrite(&self, header: &mut [u8], first: u16, last: bool, payload_len: usize) {
        let l3_len = self.header_len - ETHERNET + payload_len;
        let l4_len = (self.header_len - self.transport + payload_len) as u16;
        if self.ipv6 {
            put(header, ETHERNET + 4, (l3_len - IPV6_HEADER) as u16);
        } else {
            put(header, ETHERNET + 2, l3_len as u16);
            put(
                header,
                ETHERNET + 4,
                get(header, ETHERNET + 4).wrapping_add(first),
            );
            put(header, ETHERNET + 10, 0);
            let sum = !fold(add(0, &header[ETHERNET..self.transport]));
            put(header, ETHERNET + 10, sum);
        }
        let at = self.transport;
        if self.tcp {
            let skipped = u32::from(first) * self.segment_len as u32;
            let seq = u32::from(get(header, at + 4)) << 16 | u32::from(get(header, at + 6));
            let seq = seq.wrapping_add(skipped);
            put(header, at + 4, (seq >> 16) as u16);
            put(header, at + 6, seq as u16);
            // As any segmenting device does: FIN and PSH on the last packet, CWR on the first.
            let cleared = if last { 0 } else { FIN_PSH } | if first == 0 { 0 } else { CWR };
            header[at + 13] &= !cleared;
        } else {
            put(header, at + 4, l4_len);
        }
        let sum = self.pseudo_sum(header, l4_len);
        put(header, at + self.checksum_offset(), sum);
    }

    /// The sum over the pseudo header, which a partial checksum starts from.
    fn pseudo_sum(&self, header: &[u8], l4_len: u16) -> u16 {
        let addresses = if self.ipv6 {
            ETHERNET + 8..ETHERNET + 40
        } else {
            ETHERNET + 12..ETHERNET + 20
        };
        let protocol = if self.tcp { TCP } else { UDP };
        fold(add(
            u64::from(l4_len) + u64::from(protocol),
            &header[addresses],
        ))
    }

    fn checksum_offset(&self) -> usize {
        if self.tcp { 16 } else { 6 }
    }

    fn offload_header(&self, first: u16, count: u16) -> VnetHeader {
        let mut header = single_header(Some(Partial {
            start: self.transport,
            offset: self.checksum_offset(),
        }));
        if count > 1 {
            let kept = if first == 0 { u8::MAX } else { !vnet::GSO_ECN };
            header.gso_type = self.gso_type & kept;
            header.gso_size = self.segment_len as u16;
            header.hdr_len = self.header_len as u16;
        }
        header
    }
}

fn single_header(partial: Option<Partial>) -> VnetHeader {
    partial.map_or_else(VnetHeader::default, |place| VnetHeader {
        flags: vnet::NEEDS_CSUM,
        csum_start: place.start as u16,
        csum_offset: place.offset as u16,
        ..VnetHeader::default()
    })
}

fn partial(header: &VnetHeader, len: usize) -> Result<Option<Partial>, Malformed> {
    if header.flags & vnet::NEEDS_CSUM == 0 {
        return Ok(None);
    }
    let place = Partial {
        start: usize::from(header.csum_start),
        offset: usize::from(header.csum_offset),
    };
    if place.start + place.offset + 2 > len {
        Err(Malformed)
    } else {
        Ok(Some(place))
    }
}

fn finish_checksum(packet: &mut [u8], place: Partial) {
    // The field holds the sum of the pseudo header already, so it is summed with the rest.
    let sum = !fold(add(0, &packet[place.start..]));
    // A UDP checksum of zero would mean "none"; its other form is all ones (RFC 768).
    put(
        packet,
        place.start + place.offset,
        if sum == 0 { 0xffff } else { sum },
    );
}

fn ethertype(bytes: &[u8]) -> u16 {
    get(bytes, 12)
}

fn get(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
