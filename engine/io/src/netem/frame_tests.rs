//! Super-frames are cut into what a segmenting network card would have sent, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;

const SEGMENT: usize = 1_000;

#[derive(Clone, Copy, Debug)]
struct Kind {
    ipv6: bool,
    tcp: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        ipv6: false,
        tcp: true,
    },
    Kind {
        ipv6: true,
        tcp: true,
    },
    Kind {
        ipv6: false,
        tcp: false,
    },
    Kind {
        ipv6: true,
        tcp: false,
    },
];

/// A packet with `payload`, as the reference: `index` counts the packets that went before it.
/// Its checksum is finished, or holds the sum of the pseudo header only.
fn packet(kind: Kind, index: u16, flags: u8, payload: &[u8], finished: bool) -> Vec<u8> {
    let l4_header = if kind.tcp { 32 } else { 8 };
    let l4_len = l4_header + payload.len();
    let protocol = if kind.tcp { 6 } else { 17 };
    let mut p = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let addresses: Vec<u8> = if kind.ipv6 {
        p.extend([0x86, 0xdd, 0x60, 0x12, 0x34, 0x56]);
        p.extend((l4_len as u16).to_be_bytes());
        p.extend([protocol, 64]);
        (0..32).collect()
    } else {
        let mut header = vec![0x45, 0x02];
        header.extend((20 + l4_len as u16).to_be_bytes());
        header.extend(0xfffeu16.wrapping_add(index).to_be_bytes());
        header.extend([0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        p.extend([0x08, 0x00]);
        p.extend(&header[..12]);
        header[12..].to_vec()
    };
    p.extend(&addresses);
    let l4_at = p.len();
    p.extend([0x13, 0x88, 0x13, 0x89]);
    let check_at = if kind.tcp {
        let seq = 0xffff_fc00u32.wrapping_add(u32::from(index) * SEGMENT as u32);
        p.extend(seq.to_be_bytes());
        p.extend([0, 0, 0, 9, 0x80, flags, 0x01, 0x00, 0, 0, 0, 0]);
        p.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        l4_at + 16
    } else {
        p.extend((l4_len as u16).to_be_bytes());
        p.extend([0, 0]);
        l4_at + 6
    };
    p.extend(payload);
    let mut pseudo = addresses;
    pseudo.extend((l4_len as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    let sum = if finished {
        pseudo.extend(&p[l4_at..]);
        checksum(&pseudo)
    } else {
        !checksum(&pseudo)
    };
    p[check_at..check_at + 2].copy_from_slice(&sum.to_be_bytes());
    p
}

/// RFC 1071, written differently from the code under test.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for (i, byte) in bytes.iter().enumerate() {
        sum += u32::from(*byte) << if i % 2 == 0 { 8 } else { 0 };
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn transport(kind: Kind) -> u16 {
    if kind.ipv6 { 54 } else { 34 }
}

fn offload(kind: Kind) -> VnetHeader {
    let gso_type = match (kind.tcp, kind.ipv6) {
        (true, false) => vnet::GSO_TCPV4 | vnet::GSO_ECN,
        (true, true) => vnet::GSO_TCPV6 | vnet::GSO_ECN,
        (false, _) => vnet::GSO_UDP_L4,
    };
    VnetHeader {
        flags: vnet::NEEDS_CSUM,
        gso_type,
        hdr_len: 200,
        gso_size: SEGMENT as u16,
        csum_start: transport(kind),
        csum_offset: if kind.tcp { 16 } else { 6 },
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 % 251) as u8).collect()
}

/// A super-frame of `len` payload bytes that asks for CWR on the first packet, and PSH and FIN on the last.
fn super_frame(kind: Kind, len: usize) -> Frame {
    let bytes = packet(kind, 0, 0x99, &payload(len), false);
    Frame::parse(&offload(kind), &bytes).unwrap()
}

fn flags(first: bool, last: bool) -> u8 {
    0x10 | if first { 0x80 } else { 0 } | if last { 0x09 } else { 0 }
}

fn assembled(frame: &Frame, first: u16, count: u16) -> (VnetHeader, Vec<u8>) {
    let mut header = [0; HEADER_MAX];
    let (offload, len, rest) = frame.assemble(first, count, &mut header);
    (offload, [&header[..len], &frame.bytes()[rest]].concat())
}

#[test]
fn each_packet_is_the_one_a_network_card_would_send() {
    for kind in KINDS {
        let frame = super_frame(kind, 3_500);
        assert_eq!(frame.packets(), 4);
        for (index, chunk) in (0..).zip(payload(3_500).chunks(SEGMENT)) {
            let flags = flags(index == 0, index == 3);
            let (header, bytes) = assembled(&frame, index, 1);
            assert_eq!(
                bytes,
                packet(kind, index, flags, chunk, false),
                "{kind:?} {index}"
            );
            assert_eq!(
                (header.gso_type, header.flags),
                (vnet::GSO_NONE, vnet::NEEDS_CSUM)
            );
            assert_eq!(header.csum_start, transport(kind));
            assert_eq!(frame.len(index, 1) as usize, bytes.len() - ETHERNET);
        }
    }
}

#[test]
fn a_run_is_a_smaller_super_frame() {
    for kind in KINDS {
        let frame = super_frame(kind, 3_500);
        for (first, count) in [(0, 2), (1, 2), (1, 3), (0, 4)] {
            let bytes = &payload(3_500)[usize::from(first) * SEGMENT..];
            let bytes = &bytes[..bytes.len().min(usize::from(count) * SEGMENT)];
            let flags = flags(first == 0, first + count == 4);
            let (header, run) = assembled(&frame, first, count);
            assert_eq!(
                run,
                packet(kind, first, flags, bytes, false),
                "{kind:?} {first}+{count}"
            );
            assert_eq!(header.gso_size as usize, SEGMENT);
            assert_eq!(header.gso_type & vnet::GSO_ECN != 0, kind.tcp && first == 0);
            assert_eq!(usize::from(header.hdr_len), run.len() - bytes.len());
        }
    }
}

#[test]
fn wire_length_counts_the_headers_of_every_packet() {
    let frame = super_frame(KINDS[0], 3_500);
    assert_eq!(frame.len(0, 4), 4 * (20 + 32) + 3_500);
    assert_eq!(frame.len(3, 1), 20 + 32 + 500);
}

#[test]
fn a_corrupted_packet_differs_in_one_bit_from_the_finished_one() {
    for kind in KINDS {
        let frame = super_frame(kind, 3_500);
        let whole = packet(kind, 3, flags(false, true), &payload(3_500)[3_000..], true);
        for bit in [0, 7, 300, 8 * (whole.len() - ETHERNET) as u32 - 1] {
            let corrupted = frame.corrupted(3, bit);
            let difference: u32 = corrupted
                .iter()
                .zip(&whole)
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert_eq!(
                (corrupted.len(), difference),
                (whole.len(), 1),
                "{kind:?} {bit}"
            );
            let at = ETHERNET + bit as usize / 8;
            assert_eq!(corrupted[at] ^ whole[at], 0x80 >> (bit % 8));
        }
    }
}

#[test]
fn a_single_packet_goes_as_it_came_and_keeps_its_partial_checksum() {
    let bytes = packet(KINDS[0], 0, 0x18, &payload(100), false);
    let header = VnetHeader {
        gso_type: 0,
        gso_size: 0,
        hdr_len: 0,
        ..offload(KINDS[0])
    };
    let frame = Frame::parse(&header, &bytes).unwrap();
    assert_eq!(assembled(&frame, 0, 1), (header, bytes.clone()));
    assert_eq!(frame.len(0, 1) as usize, bytes.len() - ETHERNET);
    assert_eq!(frame.corrupted(0, 0).len(), bytes.len());
}

#[test]
fn only_arp_and_neighbour_discovery_are_sheltered() {
    let sheltered = |bytes: &[u8]| {
        Frame::parse(&VnetHeader::default(), bytes)
            .unwrap()
            .is_sheltered()
    };
    let mut arp = vec![0; 42];
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert!(sheltered(&arp));
    let mut icmp = vec![0; 78];
    icmp[12..14].copy_from_slice(&[0x86, 0xdd]);
    icmp[20] = 58;
    for (kind, wanted) in [
        (128, false),
        (132, false),
        (133, true),
        (137, true),
        (138, false),
    ] {
        icmp[54] = kind;
        assert_eq!(sheltered(&icmp), wanted, "{kind}");
    }
    assert!(!sheltered(&packet(KINDS[1], 0, 0, &[0; 135], true)));
    assert!(!sheltered(&[0x86; 15]));
}

#[test]
fn frames_that_contradict_themselves_are_refused() {
    let bytes = packet(KINDS[0], 0, 0x18, &payload(3_500), false);
    let good = offload(KINDS[0]);
    let refused = |header: VnetHeader, bytes: &[u8]| Frame::parse(&header, bytes).is_err();
    assert!(!refused(good, &bytes));
    assert!(refused(
        VnetHeader {
            gso_size: 0,
            ..good
        },
        &bytes
    ));
    assert!(refused(
        VnetHeader {
            gso_type: 3,
            ..good
        },
        &bytes
    ));
    assert!(refused(VnetHeader { flags: 0, ..good }, &bytes));
    assert!(refused(
        VnetHeader {
            csum_start: 20,
            ..good
        },
        &bytes
    ));
    assert!(refused(
        VnetHeader {
            csum_start: 60_000,
            ..good
        },
        &bytes
    ));
    assert!(refused(good, &bytes[..66]));
    assert!(refused(good, &bytes[..14]));
    assert!(refused(
        VnetHeader {
            csum_start: 65_535,
            gso_type: 0,
            ..good
        },
        &bytes
    ));
}

#[test]
fn any_header_on_any_bytes_is_refused_or_cut_within_bounds() {
    let mut rng = overlayd_netem::Rng::new(1, 0);
    let mut parsed = 0;
    for round in 0..20_000 {
        let kind = KINDS[round % 4];
        let mut bytes = packet(kind, 0, 0x99, &payload(200), false);
        let mut raw = offload(kind).to_bytes();
        for _ in 0..rng.below(4) {
            let at = rng.below(raw.len() as u64) as usize;
            raw[at] = rng.next_u64() as u8;
            let at = rng.below(80) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
        let Ok(frame) = Frame::parse(&VnetHeader::parse(&raw), &bytes) else {
            continue;
        };
        parsed += 1;
        frame.is_sheltered();
        for index in 0..frame.packets() {
            let len = frame.len(index, 1);
            assert_eq!(assembled(&frame, index, 1).1.len(), len as usize + ETHERNET);
            frame.corrupted(index, rng.below(u64::from(len) * 8) as u32);
        }
    }
    assert!(parsed > 5_000, "{parsed}");
}
