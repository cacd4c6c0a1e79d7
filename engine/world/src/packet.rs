//! The inner packets of streams: UDP over IPv4 or IPv6 with a payload that tells its stream and number, and whether it was altered. Pure.

use std::net::IpAddr;

const MAGIC: [u8; 4] = *b"ovlw";
/// Magic, stream, number.
pub(crate) const PAYLOAD_BYTES_MIN: usize = 16;
const UDP: usize = 8;

/// Appends one packet of `payload_bytes` behind the UDP header.
pub(crate) fn write(
    out: &mut Vec<u8>,
    source: IpAddr,
    destination: IpAddr,
    dscp: u8,
    stream: u32,
    number: u64,
    payload_bytes: usize,
) {
    let payload_bytes = payload_bytes.max(PAYLOAD_BYTES_MIN);
    let udp_bytes = UDP + payload_bytes;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let start = out.len();
            out.extend([0x45, dscp << 2]);
            out.extend(((20 + udp_bytes) as u16).to_be_bytes());
            out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
            out.extend(source.octets());
            out.extend(destination.octets());
            let sum = checksum(&out[start..start + 20], 0);
            out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        }
        (source, destination) => {
            out.extend((0x6000_0000_u32 | u32::from(dscp) << 22).to_be_bytes());
            out.extend((udp_bytes as u16).to_be_bytes());
            out.extend([17, 64]);
            out.extend(as_v6(source));
            out.extend(as_v6(destination));
        }
    }
    let udp = out.len();
    out.extend(40_000_u16.to_be_bytes());
    out.extend(40_000_u16.to_be_bytes());
    out.extend((udp_bytes as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(MAGIC);
    out.extend(stream.to_be_bytes());
    out.extend(number.to_be_bytes());
    out.extend((PAYLOAD_BYTES_MIN..payload_bytes).map(|i| filler(number, i)));
    let mut pseudo: u32 = 17 + udp_bytes as u32;
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => pseudo += words(&address.octets()),
            IpAddr::V6(address) => pseudo += words(&address.octets()),
        }
    }
    let sum = match checksum(&out[udp..], pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    out[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
}

/// (stream, number) of a packet that [`write`] made; `Err` if it is one but was altered, `None` if it is none.
pub(crate) fn read(packet: &[u8]) -> Option<Result<(u32, u64), ()>> {
    let header = match packet.first()? >> 4 {
        4 => 20,
        6 => 40,
        _ => return None,
    };
    let payload = packet.get(header + UDP..)?;
    if payload.get(..4)? != MAGIC {
        return Some(Err(()));
    }
    let stream = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
    let number = u64::from_be_bytes(payload.get(8..16)?.try_into().ok()?);
    let whole = payload
        .iter()
        .enumerate()
        .skip(PAYLOAD_BYTES_MIN)
        .all(|(i, byte)| *byte == filler(number, i));
    Some(if whole { Ok((stream, number)) } else { Err(()) })
}

fn filler(number: u64, index: usize) -> u8 {
    (number as usize)
        .wrapping_mul(31)
        .wrapping_add(index.wrapping_mul(7)) as u8
}

fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn words(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum()
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start + words(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_packet_tells_its_stream_and_number_and_an_altered_one_is_noticed() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let mut packet = Vec::new();
            write(
                &mut packet,
                source.parse().unwrap(),
                destination.parse().unwrap(),
                46,
                7,
                9,
                100,
            );
            assert_eq!(read(&packet), Some(Ok((7, 9))));
            *packet.last_mut().unwrap() ^= 1;
            assert_eq!(read(&packet), Some(Err(())));
        }
    }
}
