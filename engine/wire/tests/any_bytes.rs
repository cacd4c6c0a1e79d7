//! No bytes make a parser panic: random ones, mutated good ones, and every truncation of good ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_wire::route::{RouteView, advance, set_ce};
use overlayd_wire::{
    Body, CookieReply, Frame, Init, InitPayload, InnerPacket, Kind, Protected, Response,
    ResponsePayload, Sealed, ecn,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../examples/vectors/main.rs"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod vectors;

/// Everything that can be asked of bytes from outside.
fn ask_all(bytes: &[u8]) {
    let _ = Kind::of(bytes);
    if let Ok(view) = Sealed::parse(bytes) {
        assert!(view.counter() < overlayd_wire::envelope::COUNTER_END);
        let _ = view.receiver();
    }
    let _ = Init::parse(bytes).map(|view| view.macs.has_mac2());
    let _ = Response::parse(bytes).map(|view| view.macs.has_mac2());
    let _ = CookieReply::parse(bytes);
    let _ = InitPayload::parse(bytes);
    let _ = ResponsePayload::parse(bytes);
    let _ = Protected::of_symbol(bytes, 7, overlayd_wire::Budget::NONE);
    match Frame::parse(bytes) {
        Ok(Frame::Direct(header, rest) | Frame::Routed(header, rest)) => {
            assert_eq!(header.to_bytes(), bytes[..Protected::LEN]);
            assert!(!rest.is_empty());
        }
        Ok(Frame::Feedback(feedback)) => assert!(feedback.missing().all(|i| i < 8192)),
        _ => {}
    }
    if let Ok(Body::Bundle(bundle)) = Body::parse(bytes) {
        let total: usize = bundle.packets().map(|packet| packet.len() + 2).sum();
        assert_eq!(total + 1, bytes.len());
    }
    if let Ok((view, rest)) = RouteView::parse(bytes) {
        assert_eq!(view.wire_len() + rest.len(), bytes.len());
        let _ = (
            view.here(),
            view.next(),
            view.egress(),
            view.repr().reversed(),
        );
    }
    if let Ok(view) = InnerPacket::parse(bytes) {
        let _ = (
            view.source(),
            view.destination(),
            view.ports(),
            view.dscp(),
            view.ecn(),
            view.dont_fragment(),
        );
        assert!(view.transport_offset() <= bytes.len());
    }
    let mut copy = bytes.to_vec();
    advance(&mut copy);
    set_ce(&mut copy);
    ecn::mark_ce(&mut copy);
    ecn::set(&mut copy, 1);
    ecn::set_traffic_class(&mut copy, 0xff);
}

#[test]
fn every_truncation_of_every_vector_is_survived() {
    for bytes in vectors::all_bytes() {
        for length in 0..=bytes.len() {
            ask_all(&bytes[..length]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        ask_all(&bytes);
    }

    #[test]
    fn mutated_vectors_are_survived(which: prop::sample::Index, edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), longer in vec(any::<u8>(), 0..4)) {
        let mut all: Vec<_> = vectors::all_bytes().into_iter().filter(|bytes| !bytes.is_empty()).collect();
        let mut bytes = all.swap_remove(which.index(all.len()));
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(longer);
        ask_all(&bytes);
    }

    #[test]
    fn datagrams_up_to_64_kib_are_survived(first: u8, fill: u8, length in 0usize..65_536) {
        let mut bytes = vec![fill; length];
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        ask_all(&bytes);
    }
}
