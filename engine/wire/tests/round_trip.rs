//! Meaning to bytes and back, for every repr; and bytes to meaning and back, for whatever a parser accepts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use overlayd_wire::frame::{self, SEQ_MASK, nearest};
use overlayd_wire::route::{RouteRepr, RouteView, advance, set_ce};
use overlayd_wire::{
    Body, Budget, Bundle, CookieReply, Counterprobe, Feedback, Frame, Init, InitPayload, LinkProbe,
    LinkProbeReply, PathProbe, PathProbeReply, Piece, Protected, Repair, Response, ResponsePayload,
    Run, Sealed, Tail, WireError, body, envelope,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn emit_frame(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match frame {
        Frame::Direct(header, rest) | Frame::Routed(header, rest) => {
            out.extend_from_slice(&header.to_bytes());
            out.extend_from_slice(rest);
        }
        Frame::Repair(repair) => repair.emit(&mut out),
        Frame::Feedback(feedback) => feedback.emit(&mut out),
        Frame::Tail(tail) => out.extend_from_slice(&tail.to_bytes()),
        Frame::Probe(probe) => probe.emit(0, &mut out),
        Frame::ProbeReply(reply) => reply.emit(&mut out),
        Frame::PathChallenge(nonce) => out.extend_from_slice(&frame::path_challenge(*nonce)),
        Frame::PathResponse(nonce) => out.extend_from_slice(&frame::path_response(*nonce)),
        Frame::Close(reason) => out.extend_from_slice(&frame::close(*reason)),
    }
    out
}

fn emit_body(body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    body.emit(&mut out);
    out
}

fn seq() -> impl Strategy<Value = u32> {
    0..=SEQ_MASK
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..100)
}

proptest! {
    #[test]
    fn sealed_header_keeps_counter_and_receiver(counter in 0..envelope::COUNTER_END, receiver: u32, rest in vec(any::<u8>(), 16..40)) {
        let mut datagram = envelope::header(counter, receiver).to_vec();
        datagram.extend(&rest);
        let view = Sealed::parse(&datagram).unwrap();
        prop_assert_eq!((view.counter(), view.receiver(), view.ciphertext), (counter, receiver, &rest[..]));
        prop_assert_eq!(u32::from_be_bytes(envelope::nonce(counter)[8..].try_into().unwrap()), counter);
    }

    #[test]
    fn handshake_messages_keep_their_parts(capabilities: u16, network: u32, sender: u32, noise in vec(any::<u8>(), 148)) {
        let mut message = Init::header(capabilities, network, sender).to_vec();
        message.extend(&noise);
        let view = Init::parse(&message).unwrap();
        prop_assert_eq!((view.capabilities, view.network, view.sender), (capabilities, network, sender));
        prop_assert_eq!(&view.noise[..], &noise[..116]);
        prop_assert_eq!((&view.macs.mac1[..], &view.macs.mac2[..]), (&noise[116..132], &noise[132..]));
        prop_assert_eq!((view.macs.before_mac1, view.macs.before_mac2), (&message[..128], &message[..144]));
        prop_assert_eq!(&view.macs.header[..], &message[..12]);

        let mut message = Response::header(capabilities, sender, network).to_vec();
        message.extend(&noise[..96]);
        let view = Response::parse(&message).unwrap();
        prop_assert_eq!((view.capabilities, view.sender, view.receiver), (capabilities, sender, network));
        prop_assert_eq!(&view.noise[..], &noise[..64]);
        prop_assert_eq!((&view.macs.mac1[..], &view.macs.mac2[..]), (&noise[64..80], &noise[80..96]));
        prop_assert_eq!((view.macs.before_mac1, view.macs.before_mac2), (&message[..76], &message[..92]));
    }

    #[test]
    fn handshake_payloads_round_trip(node: u16, lane: u8, boot: u64, stamp: u64, observed_port: u16) {
        let init = InitPayload { node, lane, boot, stamp };
        prop_assert_eq!(InitPayload::parse(&init.to_bytes()), Ok(init));
        let response = ResponsePayload { node, lane, boot, observed_port };
        prop_assert_eq!(ResponsePayload::parse(&response.to_bytes()), Ok(response));
    }

    #[test]
    fn cookie_reply_round_trips(receiver: u32, nonce: [u8; 16], sealed: [u8; 32]) {
        let reply = CookieReply { receiver, nonce: &nonce, sealed: &sealed };
        let mut out = Vec::new();
        reply.emit(&mut out);
        prop_assert_eq!(CookieReply::parse(&out), Ok(reply));
    }

    #[test]
    fn protected_frame_round_trips(routed: bool, class in 0u8..16, seq in seq(), budget: u16, rest in some_bytes()) {
        let header = Protected { routed, class, seq, budget: Budget(budget) };
        let frame = if routed { Frame::Routed(header, &rest) } else { Frame::Direct(header, &rest) };
        let bytes = emit_frame(&frame);
        prop_assert_eq!(Frame::parse(&bytes), Ok(frame));
        let mut symbol = vec![header.first_byte()];
        symbol.extend(&rest);
        prop_assert_eq!(Protected::of_symbol(&symbol, seq, Budget(budget)), Ok(header));
    }

    #[test]
    fn repair_round_trips(class in 0u8..16, budget: u16, first in seq(), span in 1u8..=128, row in 0u8..32, symbol in some_bytes()) {
        let frame = Frame::Repair(Repair { class, budget: Budget(budget), first, span, row, symbol: &symbol });
        let bytes = emit_frame(&frame);
        prop_assert_eq!(Frame::parse(&bytes), Ok(frame));
    }

    #[test]
    fn feedback_round_trips_and_lists_what_is_missing(class in 0u8..16, next in seq(), base in seq(), answers_tail: bool, bitmap in vec(any::<u8>(), 0..=1024)) {
        let feedback = Feedback { class, next, base, answers_tail, bitmap: &bitmap };
        let frame = Frame::Feedback(feedback);
        let bytes = emit_frame(&frame);
        prop_assert_eq!(Frame::parse(&bytes), Ok(frame));
        let naive: Vec<u32> = (0..8 * bitmap.len())
            .filter(|i| bitmap[i / 8] >> (7 - i % 8) & 1 == 1)
            .map(|i| i as u32)
            .collect();
        prop_assert_eq!(feedback.missing().collect::<Vec<_>>(), naive);
    }

    #[test]
    fn small_frames_round_trip(class in 0u8..16, next in seq(), nonce: [u8; 8], reason: u8) {
        for frame in [Frame::Tail(Tail { class, next }), Frame::PathChallenge(nonce), Frame::PathResponse(nonce), Frame::Close(reason)] {
            let bytes = emit_frame(&frame);
        prop_assert_eq!(Frame::parse(&bytes), Ok(frame));
        }
    }

    #[test]
    fn link_probes_round_trip_and_padding_changes_nothing(pace in 0u8..16, seq in seq(), sent_ns: u64, received_ns: u64, counts: [u32; 3], received_size: u16, asks_back: bool, len in 0usize..1500) {
        let [sent, received, hold_ns] = counts;
        let probe = LinkProbe { pace, seq, sent_ns, sent };
        let mut out = Vec::new();
        probe.emit(len, &mut out);
        prop_assert_eq!(out.len(), len.max(LinkProbe::LEN));
        prop_assert_eq!(Frame::parse(&out), Ok(Frame::Probe(probe)));
        let counterprobe = asks_back.then_some(Counterprobe { seq, sent: received });
        let reply = Frame::ProbeReply(LinkProbeReply { pace, seq, sent_ns, hold_ns, received_ns, sent, received, received_size, counterprobe });
        let out = emit_frame(&reply);
        prop_assert_eq!(out.len(), LinkProbeReply::LEN + if asks_back { Counterprobe::LEN } else { 0 });
        prop_assert_eq!(Frame::parse(&out), Ok(reply));
    }

    #[test]
    fn path_probes_round_trip(slot: u8, seq: u32, sent_ns: u64, counts: [u32; 3]) {
        let [sent, received, hold_ns] = counts;
        let probe = Body::PathProbe(PathProbe { slot, seq, sent_ns, sent });
        let reply = Body::PathProbeReply(PathProbeReply { slot, seq, sent_ns, hold_ns, sent, received });
        for (body, len) in [(probe, PathProbe::LEN), (reply, PathProbeReply::LEN)] {
            prop_assert_eq!(emit_body(&body).len(), len);
            let bytes = emit_body(&body);
            prop_assert_eq!(Body::parse(&bytes), Ok(body));
        }
    }

    #[test]
    fn packets_runs_and_pieces_round_trip(flags: [bool; 3], run: u8, index: u8, id: u16, bytes in some_bytes()) {
        let [partial_checksum, first, last] = flags;
        let packet = &bytes[..];
        for body in [
            Body::Packet { partial_checksum, packet },
            Body::Run(Run { partial_checksum, first, last, run, index, packet }),
            Body::Piece(Piece { second: first, id, bytes: packet }),
        ] {
            let bytes = emit_body(&body);
            prop_assert_eq!(Body::parse(&bytes), Ok(body));
        }
    }

    #[test]
    fn bundle_gives_back_its_packets(packets in vec(some_bytes(), 1..6)) {
        let mut out = vec![body::BUNDLE_BYTE];
        for packet in &packets {
            out.extend(body::bundle_item(packet).unwrap());
            out.extend(packet);
        }
        let Ok(Body::Bundle(bundle)) = Body::parse(&out) else { panic!("not a bundle") };
        prop_assert_eq!(bundle.packets().collect::<Vec<_>>(), packets);
        prop_assert_eq!(emit_body(&Body::Bundle(bundle)), out);
    }

    #[test]
    fn route_walks_from_the_first_hop_to_the_egress_and_back(nodes in proptest::collection::btree_set(any::<u16>(), 2..=6), generation: u8) {
        let nodes: Vec<u16> = nodes.into_iter().collect();
        let (source, path) = nodes.split_first().unwrap();
        let route = RouteRepr::new(*source, path, generation).unwrap();
        let mut bytes = Vec::new();
        route.emit(&mut bytes);
        prop_assert_eq!(bytes.len(), route.wire_len());
        bytes.push(0xaa);
        for (i, node) in path.iter().enumerate() {
            let (view, rest) = RouteView::parse(&bytes).unwrap();
            prop_assert_eq!((view.source(), view.here(), view.next()), (*source, *node, path.get(i + 1).copied()));
            prop_assert_eq!((Some(&view.egress()), view.generation(), rest), (path.last(), generation, &[0xaa][..]));
            prop_assert_eq!(view.segments().collect::<Vec<_>>(), path);
            prop_assert_eq!(advance(&mut bytes), i + 1 < path.len());
        }
        let back = route.reversed().unwrap();
        let mut way: Vec<u16> = nodes.clone();
        way.reverse();
        prop_assert_eq!(RouteRepr::new(way[0], &way[1..], generation), Some(back));
    }

    #[test]
    fn ce_mark_stays_on_the_way(nodes in proptest::collection::btree_set(any::<u16>(), 2..=6)) {
        let nodes: Vec<u16> = nodes.into_iter().collect();
        let mut bytes = Vec::new();
        RouteRepr::new(nodes[0], &nodes[1..], 0).unwrap().emit(&mut bytes);
        bytes.push(0);
        let before = RouteView::parse(&bytes).unwrap().0.repr();
        set_ce(&mut bytes);
        advance(&mut bytes);
        let after = RouteView::parse(&bytes).unwrap().0.repr();
        prop_assert_eq!(after, RouteRepr { ce: true, left: before.left.saturating_sub(1), ..before });
    }

    #[test]
    fn what_is_accepted_is_emitted_the_same(mut bytes in vec(any::<u8>(), 1..80), nibble in 0u8..16) {
        bytes[0] = nibble << 4 | bytes[0] & 0x0f;
        if let Ok(frame) = Frame::parse(&bytes) {
            let again = emit_frame(&frame);
            match frame {
                Frame::Probe(_) => prop_assert_eq!(&again[..], &bytes[..LinkProbe::LEN]),
                // Their class carries nothing and is sent as zero.
                Frame::PathChallenge(_) | Frame::PathResponse(_) | Frame::Close(_) => prop_assert_eq!(&again[1..], &bytes[1..]),
                _ => prop_assert_eq!(&again, &bytes),
            }
        }
        if let Ok(body) = Body::parse(&bytes) {
            let again = emit_body(&body);
            match body {
                Body::PathProbe(_) => prop_assert_eq!(&again[..], &bytes[..PathProbe::LEN]),
                _ => prop_assert_eq!(&again, &bytes),
            }
        }
        if let Ok((route, rest)) = RouteView::parse(&bytes) {
            let mut again = Vec::new();
            route.repr().emit(&mut again);
            again.extend_from_slice(rest);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn sequence_number_is_restored_within_half_the_space(highest: u32, ahead in -(1i32 << 23)..1 << 23) {
        let seq = highest.wrapping_add_signed(ahead);
        prop_assert_eq!(nearest(seq & SEQ_MASK, highest), seq);
    }

    #[test]
    fn budget_never_grows(ns in 0u64..10_000_000_000, held_ns: u64) {
        let budget = Budget::from_ns(Some(ns));
        let kept = budget.to_ns().unwrap();
        prop_assert!(kept.abs_diff(ns.min(6_553_400_000)) <= 50_000);
        prop_assert!(budget.less(held_ns) <= budget);
        prop_assert_eq!(budget.less(0), budget);
        prop_assert_eq!(Budget::NONE.less(held_ns), Budget::NONE);
    }
}

#[test]
fn a_route_of_none_or_six_is_not_made() {
    assert_eq!(RouteRepr::new(1, &[], 0), None);
    assert_eq!(RouteRepr::new(1, &[2, 3, 4, 5, 6, 7], 0), None);
}

#[test]
fn no_deadline_is_not_the_longest_deadline() {
    assert_eq!(Budget::from_ns(Some(u64::MAX)).to_ns(), Some(6_553_400_000));
    assert_eq!(Budget::from_ns(None).to_ns(), None);
}

#[test]
fn a_symbol_of_an_unprotected_frame_is_refused() {
    let tail = Tail { class: 1, next: 2 }.to_bytes();
    assert_eq!(
        Protected::of_symbol(&tail, 0, Budget::NONE),
        Err(WireError::UnknownType)
    );
    assert_eq!(
        Protected::of_symbol(&[], 0, Budget::NONE),
        Err(WireError::Truncated)
    );
}

#[test]
fn bundle_lengths_are_checked_before_the_walk() {
    assert_eq!(Bundle::parse(&[]), Err(WireError::Truncated));
    assert_eq!(Bundle::parse(&[0, 0]), Err(WireError::BadLength));
    assert_eq!(
        Bundle::parse(&[0, 1, 9, 0, 2, 9]),
        Err(WireError::Truncated)
    );
    assert_eq!(Bundle::parse(&[0, 1, 9, 0]), Err(WireError::Truncated));
}
