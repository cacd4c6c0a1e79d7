//! Strangers, replays, floods, forgeries, and any bytes at all: nothing that works is destroyed by them.

use overlayd_wire::Init;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::association::NEXT_LIFE;
use super::super::handshake::{Agreement, Initiator};
use super::*;

/// An init to `to` as somebody with this private key and claimed id would make it.
fn forge(to: usize, private: u8, node: u16, stamp: u64) -> Vec<u8> {
    let identity = crypto::Identity::new([private; 32]);
    let theirs = crypto::PublicKeys::new(public_key(&private_key(to)));
    let agreement = Agreement {
        network: NETWORK,
        suite: Suite::Aes256Gcm,
        psk: [0x77; 32].into(),
    };
    let hello = overlayd_wire::InitPayload {
        node,
        lane: 0,
        boot: 1,
        stamp,
    };
    Initiator::new(
        &identity,
        &agreement,
        Layer::Hop,
        &theirs,
        7,
        hello,
        [0x55; 32],
    )
    .unwrap()
    .message
    .to_vec()
}

fn parcel(to: usize, source: SocketAddr, bytes: Vec<u8>) -> Parcel {
    Parcel {
        from: 1 - to,
        to,
        layer: Layer::Hop,
        source,
        bytes,
    }
}

#[test]
fn a_datagram_is_opened_once() {
    let mut pair = Pair::connected();
    pair.say(A, HOP[A], "once").unwrap();
    let copy = pair.captured.last().unwrap().clone();
    pair.inject(pair.now + SECOND, copy.clone());
    pair.inject(pair.now + 2 * SECOND, copy);
    pair.run_for(3 * SECOND);
    assert_eq!(pair.heard(B), ["once"]);
    assert_eq!(pair.ends[B].drops, [DropReason::Replayed; 2]);
}

#[test]
fn reordering_within_the_window_is_no_replay() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|_| true);
    for number in 0..1_000 {
        pair.say(A, HOP[A], &number.to_string()).unwrap();
    }
    let mut parcels: Vec<Parcel> = pair.captured.split_off(pair.captured.len() - 1_000);
    parcels.reverse();
    for parcel in parcels {
        pair.inject(pair.now, parcel);
    }
    pair.run_for(MS);
    assert_eq!(pair.heard(B).len(), 1_000);
}

#[test]
fn one_layers_datagram_is_not_taken_for_the_others() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|_| true);
    for (scope, layer) in [(HOP[A], Layer::EndToEnd), (END_TO_END[A], Layer::Hop)] {
        pair.say(A, scope, "smuggled").unwrap();
        let mut parcel = pair.captured.last().unwrap().clone();
        parcel.layer = layer;
        pair.inject(pair.now, parcel);
    }
    pair.run_for(MS);
    assert_eq!(pair.ends[B].drops, [DropReason::UnknownSession; 2]);
}

#[test]
fn a_flipped_bit_costs_one_datagram_and_nothing_else() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|_| true);
    pair.say(A, HOP[A], "good").unwrap();
    let good = pair.captured.last().unwrap().clone();
    for bit in 0..good.bytes.len() * 8 {
        let mut bad = good.clone();
        bad.bytes[bit / 8] ^= 1 << (bit % 8);
        pair.inject(pair.now, bad);
    }
    pair.run_for(MS);
    assert_eq!(pair.heard(B), [""; 0]);
    assert_eq!(pair.ends[B].drops.len(), good.bytes.len() * 8);
    // The window has not moved: the true datagram still opens.
    pair.inject(pair.now, good);
    pair.run_for(MS);
    assert_eq!(pair.heard(B), ["good"]);
}

#[test]
fn strangers_get_silence() {
    let mut pair = Pair::connected();
    let mut wrong_mac = forge(B, 1, 1, 1);
    wrong_mac[130] ^= 1;
    let mut other_network = forge(B, 1, 1, 1);
    other_network[4] ^= 1;
    let mut other_version = forge(B, 1, 1, 1);
    other_version[1] = 2;
    let messages = [
        (wrong_mac, DropReason::BadMac),
        (other_network, DropReason::WrongNetwork),
        (other_version, DropReason::UnknownVersion),
        (forge(B, 99, 1, 1), DropReason::UnknownPeer),
        (forge(B, 1, 2, u64::MAX), DropReason::UnknownPeer),
    ];
    let sent = pair.ends[B].sent;
    for (message, reason) in messages {
        pair.inject(pair.now, parcel(B, address(A), message));
        pair.run_for(MS);
        assert_eq!(pair.ends[B].drops.pop(), Some(reason));
    }
    assert_eq!(pair.ends[B].sent, sent);
    assert_eq!(pair.ends[B].sessions.half_open, 0);
}

#[test]
fn a_replayed_init_is_answered_with_a_cookie_and_changes_nothing() {
    let mut pair = Pair::connected();
    let init = pair.captured[0].clone();
    assert_eq!(init.bytes[0], 0x10);
    let before = pair.ends[B].current(HOP[B]);
    for _ in 0..5 {
        pair.inject(pair.now, init.clone());
        pair.run_for(SECOND);
    }
    assert_eq!(pair.ends[B].sent[2..], [2, 5]);
    assert_eq!(pair.ends[B].drops, [DropReason::CookieRequired; 5]);
    assert_eq!(pair.ends[B].current(HOP[B]), before);
    pair.say(A, HOP[A], "still here").unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.heard(B), ["still here"]);
}

#[test]
fn a_replay_with_a_cookie_makes_a_session_that_nobody_can_use_and_that_ends() {
    let mut pair = Pair::connected();
    let init = pair.captured[0].clone();
    // Whoever replays sits on the path and reads the cookie with the responder's public key.
    let view = Init::parse(&init.bytes).unwrap();
    let via = Via::Underlay {
        uplink: 0,
        remote: address(A),
    };
    let b = &mut pair.ends[B].sessions;
    let public = crypto::PublicKeys::new(b.public_key());
    let reply = b
        .cookies
        .reply(pair.now, via, &public, &view.macs, view.sender)
        .unwrap();
    let reply = overlayd_wire::CookieReply::parse(&reply).unwrap();
    let cookie = cookie::open_reply(&public, view.macs.mac1, &reply).unwrap();
    let mac2 = cookie::mac2(&cookie, view.macs.before_mac2);
    let mut message = init.bytes.clone();
    message[144..].copy_from_slice(&mac2);
    let before = pair.ends[B].current(HOP[B]);
    pair.inject(pair.now, parcel(B, address(A), message.clone()));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[B].sessions.half_open, 1);
    assert_eq!(pair.ends[B].current(HOP[B]), before);
    // A second one does not push out what waits.
    pair.inject(pair.now, parcel(B, address(A), message));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[B].drops, [DropReason::CookieRequired]);
    pair.run_for(NEXT_LIFE);
    assert_eq!(pair.ends[B].sessions.half_open, 0);
    pair.say(A, HOP[A], "still here").unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.heard(B), ["still here"]);
    // And the newest stamp is still the true one.
    pair.restart(A, 1);
    pair.now += SECOND;
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    assert!(pair.is_up(A, HOP[A]));
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    let mut pair = Pair::connected();
    let response = pair
        .captured
        .iter()
        .find(|parcel| parcel.bytes[0] == 0x20)
        .unwrap()
        .clone();
    let before = pair.ends[A].current(HOP[A]);
    pair.inject(pair.now, response.clone());
    let mut cookie_reply = vec![0x30, 0, 0, 0];
    cookie_reply.extend_from_slice(&response.bytes[8..12]);
    cookie_reply.resize(56, 1);
    pair.inject(pair.now, parcel(A, address(B), cookie_reply));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[A].drops, [DropReason::UnexpectedAnswer; 2]);
    assert_eq!(pair.ends[A].current(HOP[A]), before);
}

#[test]
fn forged_answers_do_not_spoil_the_true_one() {
    let mut pair = Pair::new();
    pair.loses = Box::new(|parcel| parcel.bytes[0] == 0x20);
    pair.ensure(A, HOP[A]);
    pair.run_for(100 * MS);
    let response = pair
        .captured
        .iter()
        .find(|parcel| parcel.bytes[0] == 0x20)
        .unwrap()
        .clone();
    for at in [2, 4, 12, 50, 70] {
        let mut forged = response.clone();
        forged.bytes[at] ^= 1;
        let keys = crypto::PublicKeys::new(public_key(&private_key(A)));
        let mac1 = keys.mac1(&forged.bytes[..76]);
        forged.bytes[76..92].copy_from_slice(&mac1);
        pair.inject(pair.now, forged);
    }
    let mut cookie_reply = vec![0x30, 0, 0, 0];
    cookie_reply.extend_from_slice(&response.bytes[8..12]);
    cookie_reply.resize(56, 1);
    pair.inject(pair.now, parcel(A, address(B), cookie_reply));
    pair.run_for(MS);
    assert!(!pair.is_up(A, HOP[A]));
    assert!(pair.ends[A].drops.contains(&DropReason::BadTag));
    pair.inject(pair.now, response);
    pair.run_for(MS);
    assert!(pair.is_up(A, HOP[A]));
}

#[test]
fn a_flood_from_made_up_addresses_gets_cookies_and_a_true_peer_still_gets_in() {
    let mut pair = Pair::new();
    let flood = forge(B, 99, 1, 1);
    for i in 0..5_000u32 {
        let source = SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + i * 7_919), 1));
        pair.inject(
            pair.now + u64::from(i) * MS / 5,
            parcel(B, source, flood.clone()),
        );
    }
    pair.run_for(500 * MS);
    pair.ensure(A, HOP[A]);
    pair.run_for(200 * MS);
    assert!(pair.is_up(A, HOP[A]) && pair.is_up(B, HOP[B]));
    assert_eq!(pair.ends[A].sent[1], 2, "the second with the cookie");
    let noise = pair.ends[B]
        .drops
        .iter()
        .filter(|reason| **reason == DropReason::UnknownPeer)
        .count();
    assert!(
        noise <= 200,
        "{noise} handshakes were looked into within a second"
    );
}

#[test]
fn an_answer_is_never_larger_than_the_question() {
    let mut pair = Pair::connected();
    pair.restart(A, 0);
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    for parcel in pair
        .captured
        .iter()
        .filter(|parcel| matches!(parcel.bytes[0], 0x20 | 0x30))
    {
        assert!(parcel.bytes.len() < overlayd_wire::handshake::INIT_LEN);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_leave_the_session_alone(
        messages in vec((vec(any::<u8>(), 0..200), 0u8..16, any::<bool>()), 1..50),
        cuts in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..50),
    ) {
        let mut pair = Pair::connected();
        let captured = pair.captured.clone();
        for (mut bytes, nibble, routed) in messages {
            if let Some(first) = bytes.first_mut() {
                *first = nibble << 4 | *first & 0x0f;
            }
            let layer = if routed { Layer::EndToEnd } else { Layer::Hop };
            pair.inject(pair.now, Parcel { layer, ..parcel(B, address(A), bytes) });
        }
        for (which, at, value) in cuts {
            let mut parcel = captured[which.index(captured.len())].clone();
            let at = at.index(parcel.bytes.len());
            parcel.bytes[at] = value;
            if value % 3 == 0 {
                parcel.bytes.truncate(at);
            }
            pair.inject(pair.now, parcel);
        }
        pair.run_for(SECOND);
        for scopes in [HOP, END_TO_END] {
            pair.assert_agreed(scopes);
            pair.say(A, scopes[A], "word").unwrap();
            pair.say(B, scopes[B], "word").unwrap();
        }
        pair.run_for(SECOND);
        prop_assert_eq!(pair.heard(A), vec!["word"; 2]);
        prop_assert_eq!(pair.heard(B), vec!["word"; 2]);
        prop_assert!(pair.ends[B].sessions.half_open <= 2);
    }
}
