//! First handshakes: who begins, over what, and that both ends end up with the same session.

use proptest::prelude::*;

use super::*;

#[test]
fn hop_and_end_to_end_sessions_come_up_and_carry_both_ways() {
    let mut pair = Pair::connected();
    for (scopes, word) in [(HOP, "hop"), (END_TO_END, "end to end")] {
        pair.say(A, scopes[A], word).unwrap();
        pair.say(B, scopes[B], word).unwrap();
    }
    pair.run_for(SECOND);
    for end in [A, B] {
        assert_eq!(pair.heard(end), ["hop", "end to end"]);
        assert_eq!(pair.ends[end].drops, []);
    }
    pair.assert_agreed(HOP);
    pair.assert_agreed(END_TO_END);
}

#[test]
fn ready_tells_who_where_and_the_port_that_is_seen() {
    let pair = Pair::connected();
    let (a, b) = (pair.ends[A].ready(), pair.ends[B].ready());
    let hop = |end: usize| Via::Underlay {
        uplink: 0,
        remote: address(end),
    };
    let ready = |scope, peer, via, observed_port, confirm| Ready {
        scope,
        peer,
        first: true,
        restarted: false,
        via,
        observed_port,
        confirm,
    };
    assert_eq!(
        *a[0],
        ready(HOP[A], 2, hop(B), Some(address(A).port()), true)
    );
    assert_eq!(
        *a[1],
        ready(END_TO_END[A], 2, Via::Route { peer: 2 }, None, true)
    );
    assert_eq!(*b[0], ready(HOP[B], 1, hop(A), None, false));
    assert_eq!(
        *b[1],
        ready(END_TO_END[B], 1, Via::Route { peer: 1 }, None, false)
    );
}

#[test]
fn the_lower_id_begins_and_the_other_waits() {
    let mut pair = Pair::new();
    pair.ensure(A, HOP[A]);
    pair.ensure(B, HOP[B]);
    pair.run_for(SECOND);
    assert_eq!(
        (pair.ends[A].sent, pair.ends[B].sent),
        ([0, 1, 0, 0], [0, 0, 1, 0])
    );
}

#[test]
fn the_higher_id_begins_where_the_lower_does_not() {
    let mut pair = Pair::new();
    pair.ensure(B, HOP[B]);
    pair.run_for(199 * MS);
    assert_eq!(pair.ends[B].sent, [0; 4]);
    pair.run_for(SECOND);
    assert!(pair.is_up(A, HOP[A]) && pair.is_up(B, HOP[B]));
}

#[test]
fn a_peer_behind_a_nat_is_waited_for_and_its_address_is_learned() {
    let mut pair = Pair::new();
    pair.configure(A, &settings(A, false));
    pair.ends[B].address = "203.0.113.7:61000".parse().unwrap();
    pair.ensure(A, HOP[A]);
    pair.run_for(10 * SECOND);
    assert_eq!(pair.ends[A].sent, [0; 4]);
    pair.ensure(B, HOP[B]);
    pair.run_for(SECOND);
    let seen = Via::Underlay {
        uplink: 0,
        remote: pair.ends[B].address,
    };
    assert_eq!(pair.ends[A].ready()[0].via, seen);
    assert_eq!(pair.ends[B].ready()[0].observed_port, Some(61000));
    // A leads the renewal, to where it saw B.
    pair.say(A, HOP[A], "before").unwrap();
    pair.run_for(130 * SECOND);
    assert_eq!(pair.ends[A].sent[1], 1);
}

#[test]
fn a_link_is_told_from_another_by_lane_uplink_and_address() {
    let mut pair = Pair::new();
    let mut several = settings(B, true);
    let link = several.links[0].clone();
    several.links = vec![
        LinkSettings {
            id: 5,
            lane: 1,
            ..link.clone()
        },
        LinkSettings {
            id: 6,
            uplink: 1,
            ..link.clone()
        },
        LinkSettings {
            id: 7,
            remote: Some("198.51.100.1:9".parse().unwrap()),
            ..link.clone()
        },
        LinkSettings {
            id: 8,
            remote: None,
            ..link.clone()
        },
        LinkSettings { id: 20, ..link },
    ];
    pair.configure(B, &several);
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    assert_eq!(pair.ends[B].ready()[0].scope, Scope::Hop(20));
    // From an address that nobody knows: the link whose peer has to call.
    pair.ends[A].address = "203.0.113.9:1".parse().unwrap();
    pair.restart(A, 2);
    pair.ends[A].address = "203.0.113.9:1".parse().unwrap();
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    assert_eq!(pair.ends[B].ready()[1].scope, Scope::Hop(8));
}

#[test]
fn an_init_end_to_end_of_another_shard_is_refused() {
    let mut pair = Pair::new();
    pair.ends[B].sessions.set_lane(16);
    pair.ensure(A, HOP[A]);
    pair.ensure(A, END_TO_END[A]);
    pair.run_for(SECOND);
    assert!(pair.is_up(B, HOP[B]));
    assert!(!pair.is_up(A, END_TO_END[A]) && !pair.is_up(B, END_TO_END[B]));
    assert!(pair.ends[B].drops.contains(&DropReason::UnknownLink));
    pair.ends[A].sessions.set_lane(16);
    pair.run_for(60 * SECOND);
    pair.ensure(A, END_TO_END[A]);
    pair.run_for(10 * SECOND);
    assert!(pair.is_up(A, END_TO_END[A]) && pair.is_up(B, END_TO_END[B]));
}

#[test]
fn lost_messages_are_repeated_with_growing_pauses() {
    let mut pair = Pair::new();
    pair.loses = Box::new(|_| true);
    pair.ensure(A, HOP[A]);
    let mut sent = Vec::new();
    for _ in 0..600 {
        pair.run_for(100 * MS);
        sent.push(pair.ends[A].sent[1]);
    }
    assert!(sent[9] >= 2, "{sent:?}");
    assert!((11..=20).contains(&sent[599]), "{sent:?}");
    pair.loses = Box::new(|_| false);
    pair.run_for(7 * SECOND);
    assert!(pair.is_up(A, HOP[A]) && pair.is_up(B, HOP[B]));
}

#[test]
fn nobody_tries_for_ever_to_reach_a_peer_that_is_not_asked_for() {
    let mut pair = Pair::new();
    pair.loses = Box::new(|_| true);
    pair.ensure(A, END_TO_END[A]);
    pair.run_for(60 * SECOND);
    let sent = pair.ends[A].sent[1];
    pair.run_for(600 * SECOND);
    assert_eq!(pair.ends[A].sent[1], sent);
    assert_eq!(pair.ends[A].sessions.poll_timeout(), None);
}

#[test]
fn what_nobody_has_configured_is_not_tried() {
    let mut pair = Pair::new();
    pair.ensure(A, Scope::Hop(99));
    pair.ensure(A, Scope::EndToEnd(9));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[A].sent, [0; 4]);
    assert_eq!(
        pair.say(A, Scope::Hop(99), "no"),
        Err(DropReason::NoSession)
    );
    assert_eq!(pair.say(A, HOP[A], "no"), Err(DropReason::NoSession));
}

#[test]
fn sealing_without_a_session_leaves_no_plaintext_in_the_buffer() {
    let mut sessions = Pair::new().ends.into_iter().next().unwrap().sessions;
    let mut buffer = b"before12345678secret".to_vec();
    assert_eq!(
        sessions.seal_tail(0, HOP[A], &mut buffer, 6),
        Err(DropReason::NoSession)
    );
    assert_eq!(buffer, b"before");
}

#[test]
fn keys_in_the_log_open_what_is_on_the_wire() {
    let mut pair = Pair::connected();
    pair.say(A, END_TO_END[A], "for the capture").unwrap();
    pair.run_for(SECOND);
    let mut datagram = pair.captured.last().unwrap().bytes.clone();
    let view = overlayd_wire::Sealed::parse(&datagram).unwrap();
    let (counter, receiver) = (view.counter(), view.receiver());
    for end in [A, B] {
        let records: Vec<_> = pair.ends[end]
            .events
            .iter()
            .filter_map(|event| {
                if let Action::KeyLog(record) = event {
                    Some(record)
                } else {
                    None
                }
            })
            .filter(|record| record.receiver_index == receiver)
            .collect();
        assert_eq!((records.len(), records[0].scope), (1, END_TO_END[end]));
        let seal = Seal::new(records[0].suite, &records[0].key).unwrap();
        let range = seal.open(counter, &mut datagram.clone()).unwrap();
        assert_eq!(range.len(), "for the capture".len());
    }
    datagram.truncate(0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However the messages cross, are lost or overtake each other: in the end both send on the same session, and what is then sent arrives.
    #[test]
    fn simultaneous_beginnings_end_in_one_session(
        seed: [u8; 32],
        delay_ms in 1u64..600,
        spread_ms in 0u64..400,
        lag_ms in 0u64..600,
        loss_percent in 0u64..40,
        end_to_end: bool,
    ) {
        let scopes = if end_to_end { END_TO_END } else { HOP };
        let mut random = Random::new(seed);
        let mut draws = random.fork();
        let mut pair = Pair::new();
        pair.delay = delay_ms * MS;
        pair.holds = Box::new(move || draws.below(spread_ms * MS + 1));
        pair.loses = Box::new(move |_| random.below(100) < loss_percent);
        pair.ensure(B, scopes[B]);
        pair.run_for(lag_ms * MS);
        pair.ensure(A, scopes[A]);
        for _ in 0..300 {
            for end in [A, B] {
                pair.ensure(end, scopes[end]);
                let _ = pair.say(end, scopes[end], "confirm");
            }
            pair.run_for(100 * MS);
        }
        pair.loses = Box::new(|_| false);
        for _ in 0..100 {
            for end in [A, B] {
                let _ = pair.say(end, scopes[end], "confirm");
            }
            pair.run_for(100 * MS);
        }
        pair.assert_agreed(scopes);
        for end in [A, B] {
            pair.say(end, scopes[end], "word").unwrap();
        }
        pair.run_for(3 * SECOND);
        prop_assert_eq!((pair.heard(A), pair.heard(B)), (vec!["word"], vec!["word"]));
    }
}
