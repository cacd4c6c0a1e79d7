//! Inner packets: what is read from headers, and that marking keeps the IPv4 checksum right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_wire::ecn::{CE, mark_ce, set, set_traffic_class};
use overlayd_wire::{InnerPacket, WireError};
use proptest::collection::vec;
use proptest::prelude::*;

fn v4(protocol: u8, class: u8, flags_offset: u16, options: usize, payload: &[u8]) -> Vec<u8> {
    let header = 20 + 4 * options;
    let mut packet = vec![0x40 | (header / 4) as u8, class];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(flags_offset.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.resize(header, 1);
    let checksum = !ones_complement(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

fn v6(protocol: u8, class: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60 | class >> 4, class << 4 | 0x0a, 0xbc, 0xde];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(payload);
    packet
}

fn ones_complement(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const PORTS: [u8; 8] = [0x12, 0x34, 0x00, 0x50, 0, 8, 0, 0];

#[test]
fn ipv4_udp_is_read() {
    let packet = v4(17, 0xb9, 0x4000, 0, &PORTS);
    let view = InnerPacket::parse(&packet).unwrap();
    assert_eq!(view.source().to_string(), "10.0.0.1");
    assert_eq!(view.destination().to_string(), "10.0.0.2");
    assert_eq!((view.protocol(), view.ports()), (17, Some((0x1234, 80))));
    assert_eq!(
        (view.dscp(), view.ecn(), view.transport_offset()),
        (46, 1, 20)
    );
    assert!(view.dont_fragment() && !view.is_fragment() && !view.is_v6());
}

#[test]
fn ipv4_options_move_the_transport() {
    let packet = v4(6, 0, 0, 3, &PORTS);
    let view = InnerPacket::parse(&packet).unwrap();
    assert_eq!(
        (view.transport_offset(), view.ports()),
        (32, Some((0x1234, 80)))
    );
}

#[test]
fn only_the_first_fragment_has_ports() {
    let first = v4(17, 0, 0x2000, 0, &PORTS);
    let later = v4(17, 0, 0x0010, 0, &PORTS);
    let first = InnerPacket::parse(&first).unwrap();
    let later = InnerPacket::parse(&later).unwrap();
    assert_eq!(
        (first.is_fragment(), first.ports()),
        (true, Some((0x1234, 80)))
    );
    assert_eq!((later.is_fragment(), later.ports()), (true, None));
}

#[test]
fn protocols_without_ports_have_none() {
    assert_eq!(
        InnerPacket::parse(&v4(1, 0, 0, 0, &PORTS)).unwrap().ports(),
        None
    );
    assert_eq!(
        InnerPacket::parse(&v4(17, 0, 0, 0, &[1, 2, 3]))
            .unwrap()
            .ports(),
        None
    );
}

#[test]
fn ipv6_is_read_through_its_extension_headers() {
    let mut payload = vec![43, 0, 0, 0, 0, 0, 0, 0];
    payload.extend([60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend([51, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend([17, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend(PORTS);
    let packet = v6(0, 0xb8, &payload);
    let view = InnerPacket::parse(&packet).unwrap();
    assert_eq!(view.source().to_string(), "fd00::1");
    assert_eq!(view.destination().to_string(), "fd00::2");
    assert_eq!((view.protocol(), view.ports()), (17, Some((0x1234, 80))));
    assert_eq!(
        (view.dscp(), view.ecn(), view.transport_offset()),
        (46, 0, 88)
    );
    assert!(view.is_v6() && view.dont_fragment());
}

#[test]
fn ipv6_fragments_are_told_apart() {
    let fragment = |offset: u16| {
        let [high, low] = (offset << 3 | 1).to_be_bytes();
        let mut payload = vec![6, 0, high, low, 0, 0, 0, 1];
        payload.extend(PORTS);
        v6(44, 0, &payload)
    };
    let (first, later) = (fragment(0), fragment(100));
    let (first, later) = (
        InnerPacket::parse(&first).unwrap(),
        InnerPacket::parse(&later).unwrap(),
    );
    assert_eq!(
        (first.is_fragment(), first.protocol(), first.ports()),
        (true, 6, Some((0x1234, 80)))
    );
    assert_eq!(
        (later.is_fragment(), later.protocol(), later.ports()),
        (true, 6, None)
    );
}

#[test]
fn unsound_headers_are_refused() {
    let refused = |bytes: &[u8]| InnerPacket::parse(bytes).err();
    let mut longer = v4(17, 0, 0, 0, &PORTS);
    longer.push(0);
    assert_eq!(refused(&longer), Some(WireError::BadLength));
    let mut longer = v6(17, 0, &PORTS);
    longer.push(0);
    assert_eq!(refused(&longer), Some(WireError::BadLength));
    let mut short_header = v4(17, 0, 0, 0, &PORTS);
    short_header[0] = 0x44;
    assert_eq!(refused(&short_header), Some(WireError::BadInner));
    let mut long_header = v4(17, 0, 0, 0, &PORTS);
    long_header[0] = 0x4f;
    assert_eq!(refused(&long_header), Some(WireError::BadInner));
    assert_eq!(
        refused(&v6(0, 0, &[17, 9, 0, 0, 0, 0, 0, 0])),
        Some(WireError::BadInner)
    );
    assert_eq!(refused(&v6(0, 0, &[17, 0, 0])), Some(WireError::BadInner));
    assert_eq!(refused(&[0x50; 60]), Some(WireError::BadInner));
    assert_eq!(refused(&[]), Some(WireError::Truncated));
    assert_eq!(refused(&[0x45; 19]), Some(WireError::Truncated));
    assert_eq!(refused(&[0x60; 39]), Some(WireError::Truncated));
}

#[test]
fn ce_is_put_only_on_what_understands_it() {
    for (class, marked) in [
        (0x00, false),
        (0x01, true),
        (0x02, true),
        (0x03, true),
        (0xb8, false),
    ] {
        for mut packet in [v4(6, class, 0, 0, &PORTS), v6(6, class, &PORTS)] {
            assert_eq!(mark_ce(&mut packet), marked);
            let expected = if marked { class | CE } else { class };
            assert_eq!(
                InnerPacket::parse(&packet).unwrap().traffic_class(),
                expected
            );
        }
    }
    assert!(!mark_ce(&mut [0x45, 3]));
}

proptest! {
    #[test]
    fn traffic_class_is_set_and_nothing_else(before: u8, after: u8, payload in vec(any::<u8>(), 0..40), id: u16) {
        let mut packet = v4(17, before, id & 0x4000, 0, &payload);
        prop_assert!(set_traffic_class(&mut packet, after));
        prop_assert_eq!(ones_complement(&packet[..20]), 0xffff);
        prop_assert_eq!(InnerPacket::parse(&packet).unwrap().traffic_class(), after);
        prop_assert!(set_traffic_class(&mut packet, before));
        prop_assert_eq!(packet, v4(17, before, id & 0x4000, 0, &payload));

        let mut packet = v6(17, before, &payload);
        prop_assert!(set_traffic_class(&mut packet, after));
        prop_assert_eq!(packet, v6(17, after, &payload));
    }

    #[test]
    fn congestion_bits_are_set_and_nothing_else(class: u8, ecn in 0..4u8, payload in vec(any::<u8>(), 0..40)) {
        let after = class & 0xfc | ecn;
        let mut packet = v4(17, class, 0, 0, &payload);
        prop_assert!(set(&mut packet, ecn));
        prop_assert_eq!(packet, v4(17, after, 0, 0, &payload));
        let mut packet = v6(17, class, &payload);
        prop_assert!(set(&mut packet, ecn));
        prop_assert_eq!(packet, v6(17, after, &payload));
    }
}
