//! Ingress: tells the senders of inner packets what fits into one datagram of their path: by ICMP (RFC 1191, RFC 8201), and by the MSS in TCP's
//! SYN for those that ICMP does not reach.
//!
//! It is advice: the packet itself goes out in two pieces. Nothing is said below what IPv6 and hosts of IPv4 have to carry, nor while a larger
//! size is being tried. Pure.

use overlayd_wire::{InnerPacket, Run};

use crate::checksum::{self, TCP};
use crate::output::Piece;
use crate::packet::Offload;
use crate::packet::Packet;
use crate::way::Way;
use crate::{Nanos, Node};

/// To one peer's senders no more often.
const AGAIN: Nanos = 1_000_000;
/// What every IPv6 link, and every host of IPv4, takes.
const LEAST_V4: usize = 576;
const LEAST_V6: usize = 1280;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const TCP_HEADER: usize = 20;
const SYN: u8 = 0x02;
const END_OF_OPTIONS: u8 = 0;
const PADDING: u8 = 1;
const MSS: u8 = 2;

impl Node {
    /// `packet` does not fit: says to its sender what would.
    pub(crate) fn advise(&mut self, now: Nanos, way: &Way, packet: &[u8]) {
        let fits = way.room.saturating_sub(Run::HEADER_LEN);
        if now < self.peers[way.peer].advised_at + AGAIN || !self.is_settled(way) {
            return;
        }
        self.end_run();
        let bytes = &mut self.output.packet_bytes;
        let start = bytes.len();
        if too_big(packet, fits, bytes) {
            self.peers[way.peer].advised_at = now;
            self.tally.advised += 1;
            let place = self.output.pieces.len();
            let piece = Piece::Made(start..self.output.packet_bytes.len());
            self.output.pieces.push(piece);
            self.output.push_packet(place, Offload::default());
        }
    }

    /// Sends a packet that opens a connection, with an MSS that fits.
    pub(crate) fn open_fitting(
        &mut self,
        now: Nanos,
        way: &Way,
        packet: &Packet<'_>,
    ) -> Result<(), crate::DropReason> {
        let mut copy = std::mem::take(&mut self.opening);
        copy.clear();
        copy.extend_from_slice(packet.bytes);
        if self.is_settled(way) {
            let partial = packet.offload.partial_checksum.is_some();
            clamp(&mut copy, way.room.saturating_sub(Run::HEADER_LEN), partial);
        }
        let fitting = Packet {
            bytes: &copy,
            offload: packet.offload,
        };
        let sent = self.cut(now, way, &fitting);
        self.opening = copy;
        sent
    }

    /// Whether the room on the way will stay for a while.
    fn is_settled(&self, way: &Way) -> bool {
        let link = self.links[way.leg.link].as_deref();
        link.is_some_and(|link| link.mtu.is_settled())
            && way
                .set
                .is_none_or(|set| self.routes.sets[set].active().mtu.is_settled())
    }
}

/// Whether a packet opens a TCP connection.
#[inline]
pub(crate) fn opens(view: &InnerPacket<'_>, packet: &[u8]) -> bool {
    view.protocol() == TCP
        && !view.is_fragment()
        && packet
            .get(view.transport_offset() + 13)
            .is_some_and(|flags| flags & SYN != 0)
}

/// Appends the ICMP packet that says `fits` to the sender of `packet`. False: it cannot be told, or would not listen.
fn too_big(packet: &[u8], fits: usize, out: &mut Vec<u8>) -> bool {
    let Ok(view) = InnerPacket::parse(packet) else {
        return false;
    };
    let kind = packet.get(view.transport_offset()).copied();
    let is_error = match view.protocol() {
        ICMP => !matches!(kind, Some(0 | 8)),
        ICMP_V6 => kind.is_none_or(|kind| kind < 128),
        _ => false,
    };
    let least = if view.is_v6() { LEAST_V6 } else { LEAST_V4 };
    if is_error || fits < least || !view.dont_fragment() || view.is_fragment() {
        return false;
    }
    let start = out.len();
    let mtu = (fits as u32).to_be_bytes();
    if view.is_v6() {
        let quoted = &packet[..packet.len().min(LEAST_V6 - V6_HEADER - ICMP_HEADER)];
        let length = (ICMP_HEADER + quoted.len()) as u16;
        out.extend_from_slice(&[0x60, 0, 0, 0]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[ICMP_V6, 64]);
        out.extend_from_slice(&packet[24..40]);
        out.extend_from_slice(&packet[8..24]);
        out.extend_from_slice(&[2, 0, 0, 0]);
        out.extend_from_slice(&mtu);
        out.extend_from_slice(quoted);
        let sum = checksum::pseudo_header(&out[start..], ICMP_V6, length.into());
        out[start + V6_HEADER + 2..start + V6_HEADER + 4].copy_from_slice(&sum.to_be_bytes());
        checksum::complete(&mut out[start..], (V6_HEADER as u16, 2))
    } else {
        let quoted = &packet[..packet.len().min(LEAST_V4 - V4_HEADER - ICMP_HEADER)];
        let length = (V4_HEADER + ICMP_HEADER + quoted.len()) as u16;
        out.extend_from_slice(&[0x45, 0]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 0, 64, ICMP, 0, 0]);
        out.extend_from_slice(&packet[16..20]);
        out.extend_from_slice(&packet[12..16]);
        checksum::set_v4_header(&mut out[start..]);
        out.extend_from_slice(&[3, 4, 0, 0]);
        out.extend_from_slice(&mtu);
        out.extend_from_slice(quoted);
        checksum::complete(&mut out[start..], (V4_HEADER as u16, 2))
    }
}

/// Lowers the MSS of a SYN to what leaves packets of at most `fits` bytes. `partial`: its checksum is.
fn clamp(packet: &mut [u8], fits: usize, partial: bool) {
    let Ok(view) = InnerPacket::parse(packet) else {
        return;
    };
    let (transport, v6) = (view.transport_offset(), view.is_v6());
    let network = if v6 { V6_HEADER } else { V4_HEADER };
    let most = fits.saturating_sub(network + TCP_HEADER);
    let Some(tcp) = packet.get_mut(transport..) else {
        return;
    };
    let end = usize::from(tcp.get(12).copied().unwrap_or(0) >> 4) * 4;
    let mut at = TCP_HEADER;
    while at + 1 < end.min(tcp.len()) {
        match (tcp[at], usize::from(tcp[at + 1])) {
            (END_OF_OPTIONS, _) => return,
            (PADDING, _) => at += 1,
            (MSS, 4) if at + 4 <= end.min(tcp.len()) => {
                return lower(tcp, at + 2, most as u16, partial);
            }
            (_, length) if length >= 2 => at += length,
            _ => return,
        }
    }
}

/// Lowers the number at `at`; the checksum follows (RFC 1624).
fn lower(tcp: &mut [u8], at: usize, most: u16, partial: bool) {
    let before = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if before <= most {
        return;
    }
    tcp[at..at + 2].copy_from_slice(&most.to_be_bytes());
    if !partial {
        // The checksum is over pairs that begin at even places.
        let turned = |value: u16| {
            if at.is_multiple_of(2) {
                value
            } else {
                value.swap_bytes()
            }
        };
        let field = u16::from_be_bytes([tcp[16], tcp[17]]);
        let field = checksum::changed(field, turned(before), turned(most));
        tcp[16..18].copy_from_slice(&field.to_be_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    /// A SYN with `options`, of IPv4 or IPv6, with a whole checksum.
    fn syn(v6: bool, options: &[u8]) -> Vec<u8> {
        let length = TCP_HEADER + options.len();
        let mut packet = match v6 {
            true => {
                let mut header = vec![0x60, 0, 0, 0, 0, length as u8, TCP, 64];
                header.extend((1..=32).map(|byte: u8| byte.wrapping_mul(37)));
                header
            }
            false => {
                let total = (V4_HEADER + length) as u8;
                vec![
                    0x45, 0, 0, total, 9, 9, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
                ]
            }
        };
        let transport = packet.len();
        packet.extend([0; TCP_HEADER]);
        packet[transport + 1] = 80;
        packet[transport + 12] = ((length / 4) << 4) as u8;
        packet[transport + 13] = SYN;
        packet.extend(options);
        checked(packet, transport)
    }

    fn checked(mut packet: Vec<u8>, transport: usize) -> Vec<u8> {
        let sum = checksum::pseudo_header(&packet, TCP, packet.len() - transport);
        packet[transport + 16..transport + 18].copy_from_slice(&sum.to_be_bytes());
        assert!(checksum::complete(&mut packet, (transport as u16, 16)));
        packet
    }

    #[test]
    fn an_mss_is_lowered_wherever_it_stands_and_the_checksum_follows() {
        for v6 in [false, true] {
            for (before, behind) in [(0, 0), (1, 3), (2, 2), (3, 1)] {
                let mut options = vec![PADDING; before];
                options.extend([MSS, 4, 1460_u16.to_be_bytes()[0], 1460_u16.to_be_bytes()[1]]);
                options.extend(vec![PADDING; behind]);
                let (mut packet, mut partial) = (syn(v6, &options), syn(v6, &options));
                let fits = 1200;
                let network = if v6 { V6_HEADER } else { V4_HEADER };
                clamp(&mut packet, fits, false);
                clamp(&mut partial, fits, true);
                let most = ((fits - network - TCP_HEADER) as u16).to_be_bytes();
                options[before + 2..before + 4].copy_from_slice(&most);
                assert_eq!(packet, syn(v6, &options), "{before} before");
                assert_eq!(partial[network + TCP_HEADER..], options);
                assert_eq!(
                    partial[network + 16..network + 18],
                    syn(v6, &{
                        let mut first = options.clone();
                        first[before + 2..before + 4].copy_from_slice(&1460_u16.to_be_bytes());
                        first
                    })[network + 16..network + 18]
                );
            }
        }
    }

    #[test]
    fn a_small_mss_and_broken_options_are_left_alone() {
        for options in [
            &[MSS, 4, 2, 0][..],
            &[MSS, 0, 0xff, 0xff],
            &[END_OF_OPTIONS, MSS, 4, 0xff],
            &[99, 1, MSS, 4],
            &[PADDING, PADDING, MSS, 4],
            &[],
        ] {
            let mut packet = syn(false, options);
            clamp(&mut packet, 1200, false);
            assert_eq!(packet, syn(false, options));
        }
    }

    #[test]
    fn nobody_is_told_who_would_not_listen() {
        let said = |packet: &[u8], fits| too_big(packet, fits, &mut Vec::new());
        let df = syn(false, &[]);
        assert!(said(&df, 1200));
        assert!(!said(&df, 575));
        let mut may_be_cut = df.clone();
        may_be_cut[6] = 0;
        assert!(!said(&may_be_cut, 1200));
        let mut of_icmp = df.clone();
        of_icmp[9] = ICMP;
        of_icmp[20] = 3;
        assert!(!said(&of_icmp, 1200), "an error about an error");
        of_icmp[20] = 8;
        assert!(said(&of_icmp, 1200));
        let v6 = syn(true, &[]);
        assert!(said(&v6, 1280));
        assert!(!said(&v6, 1279));
    }

    #[test]
    fn what_is_said_is_a_packet_whose_checksums_are_right() {
        for v6 in [false, true] {
            let packet = syn(v6, &[]);
            let mut out = vec![7; 3];
            assert!(too_big(&packet, 1300, &mut out));
            let said = &out[3..];
            let view = InnerPacket::parse(said).unwrap();
            let of = InnerPacket::parse(&packet).unwrap();
            assert_eq!(
                (view.source(), view.destination()),
                (of.destination(), of.source())
            );
            let icmp = &said[view.transport_offset()..];
            assert_eq!(icmp[..2], if v6 { [2, 0] } else { [3, 4] });
            assert_eq!(icmp[4..8], 1300_u32.to_be_bytes());
            assert_eq!(icmp[8..], packet);
            let mut again = said.to_vec();
            let at = view.transport_offset();
            let sum = if v6 {
                checksum::pseudo_header(said, ICMP_V6, icmp.len())
            } else {
                0
            };
            again[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
            assert!(checksum::complete(&mut again, (at as u16, 2)));
            assert_eq!(again, said);
        }
    }
}
