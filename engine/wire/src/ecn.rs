//! Congestion marks of inner packets and of the underlay: how they combine at a tunnel's end (RFC 6040), and writing them. Pure.
//!
//! At a tunnel's beginning the outer header takes the inner's two bits as they are ("normal mode"). Called by `engine/node`.

use crate::InnerPacket;

/// The two low bits of the traffic class (RFC 3168).
pub const MASK: u8 = 0b11;
/// The transport does not understand marks.
pub const NOT_ECT: u8 = 0b00;
pub const ECT_1: u8 = 0b01;
pub const ECT_0: u8 = 0b10;
/// Congestion experienced.
pub const CE: u8 = 0b11;

/// What an inner packet of `inner` leaves the tunnel with when it came under a header of `outer` (RFC 6040, section 4.2).
/// `None`: it is to be dropped, which is the only mark that its transport understands.
#[inline]
pub fn combine(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (CE, _) | (_, CE) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        (inner, _) => Some(inner),
    }
}

/// What a packet of `ecn` bears where a queue marks congestion: those that do not understand it stay as they are.
#[inline]
pub fn marked(ecn: u8) -> u8 {
    if ecn & MASK == NOT_ECT { NOT_ECT } else { CE }
}

/// Sets CE on a packet whose transport understands it. True: it bears CE now.
pub fn mark_ce(packet: &mut [u8]) -> bool {
    match InnerPacket::parse(packet).map(|view| view.ecn()) {
        Ok(ecn) if ecn != NOT_ECT => set(packet, CE),
        _ => false,
    }
}

/// Sets the two bits of an IPv4 or IPv6 packet; in IPv4 the header checksum follows. False: it is neither, nothing done.
pub fn set(packet: &mut [u8], ecn: u8) -> bool {
    match *packet {
        [first, second, ..] if first >> 4 == 6 => {
            let class = first << 4 | second >> 4;
            set_traffic_class(packet, class & !MASK | ecn)
        }
        [_, class, ..] => set_traffic_class(packet, class & !MASK | ecn),
        _ => false,
    }
}

/// Sets DSCP and ECN; in IPv4 the header checksum follows (RFC 1624). False: neither IPv4 nor IPv6, nothing done.
pub fn set_traffic_class(packet: &mut [u8], class: u8) -> bool {
    match packet {
        [first, second, ..] if *first >> 4 == 6 => {
            *first = 0x60 | class >> 4;
            *second = class << 4 | (*second & 0x0f);
            true
        }
        [first, second, _, _, _, _, _, _, _, _, high, low, ..] if *first >> 4 == 4 => {
            let before = u16::from_be_bytes([*first, *second]);
            let after = u16::from_be_bytes([*first, class]);
            *second = class;
            let sum = u32::from(!u16::from_be_bytes([*high, *low]))
                + u32::from(!before)
                + u32::from(after);
            let folded = (sum & 0xffff) + (sum >> 16);
            let folded = (folded & 0xffff) + (folded >> 16);
            [*high, *low] = (!(folded as u16)).to_be_bytes();
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6040, figure 4: a row is what the inner packet bears, a column what the outer header does.
    const OUTER: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];
    const TABLE: [(u8, [Option<u8>; 4]); 4] = [
        (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
        (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ];

    #[test]
    fn marks_combine_as_the_table_of_rfc_6040_says() {
        for (inner, row) in TABLE {
            for (outer, leaves) in OUTER.into_iter().zip(row) {
                assert_eq!(
                    combine(inner, outer),
                    leaves,
                    "{inner:02b} under {outer:02b}"
                );
            }
        }
    }

    #[test]
    fn a_queue_marks_what_understands_it() {
        let after = [NOT_ECT, ECT_0, ECT_1, CE].map(marked);
        assert_eq!(after, [NOT_ECT, CE, CE, CE]);
    }
}
