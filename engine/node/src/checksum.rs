//! Checksums of inner packets (RFC 1071): the IPv4 header's, and the partial ones that kernels hand over with offloads. Pure.

use overlayd_wire::InnerPacket;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Where the transport checksum stands: (start of the transport header, offset in it).
pub(crate) fn place(packet: &InnerPacket<'_>) -> Option<(u16, u16)> {
    let start = packet.transport_offset() as u16;
    match packet.protocol() {
        TCP => Some((start, 16)),
        UDP => Some((start, 6)),
        _ => None,
    }
}

/// Computes the IPv4 header checksum anew. `packet` has a whole IPv4 header.
pub(crate) fn set_v4_header(packet: &mut [u8]) {
    let length = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let checksum = !fold(sum(&packet[..length]));
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Adapts the partial checksum at `field` to another length of the transport. All else in it stays: the pseudo-header of a packet with a source
/// route has a destination that its IP header does not have yet.
pub(crate) fn resize(packet: &mut [u8], field: usize, before: usize, after: usize) {
    let partial = u16::from_be_bytes([packet[field], packet[field + 1]]);
    let sum = u64::from(partial) + u64::from(!(before as u16)) + after as u64;
    packet[field..field + 2].copy_from_slice(&fold(sum).to_be_bytes());
}

/// Sum of the pseudo-header: what the field of a partial checksum holds. `packet` has a whole IP header.
pub(crate) fn pseudo_header(packet: &[u8], protocol: u8, transport_length: usize) -> u16 {
    let addresses = if packet[0] >> 4 == 4 {
        &packet[12..20]
    } else {
        &packet[8..40]
    };
    fold(sum(addresses) + u64::from(protocol) + transport_length as u64)
}

/// Completes a partial checksum. False: the place is outside the packet.
pub fn complete(packet: &mut [u8], (start, offset): (u16, u16)) -> bool {
    let start = usize::from(start);
    let field = start + usize::from(offset);
    if field + 2 > packet.len() {
        return false;
    }
    let checksum = match !fold(sum(&packet[start..])) {
        0 if offset == 6 => 0xffff,
        checksum => checksum,
    };
    packet[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
    true
}

/// A checksum after one of the words under it has changed (RFC 1624).
pub(crate) fn changed(checksum: u16, before: u16, after: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!before) + u64::from(after))
}

/// Of 16-bit words in one's complement, not yet folded.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let whole: u64 = words
        .iter()
        .map(|word| u64::from(u16::from_be_bytes(*word)))
        .sum();
    whole + rest.first().map_or(0, |last| u64::from(*last) << 8)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
