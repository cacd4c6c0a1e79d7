//! Sessions in the course of time: new keys without a lost word, ends, restarts, silence, moves.

use overlayd_wire::envelope::COUNTER_END;
use proptest::prelude::*;

use super::super::association::{LIFETIME, PREVIOUS_LIFE, REKEY_AGE, REKEY_COUNTER};
use super::*;

/// Both ends say numbers, one each in `every`, for `span`; returns how many each said.
fn converse(pair: &mut Pair, scopes: [Scope; 2], span: Nanos, every: Nanos) -> usize {
    let count = (span / every) as usize;
    for number in 0..count {
        for end in [A, B] {
            pair.say(end, scopes[end], &number.to_string()).unwrap();
        }
        pair.run_for(every);
    }
    pair.run_for(SECOND);
    count
}

fn assert_all_heard(pair: &Pair, count: usize) {
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    for end in [A, B] {
        assert_eq!(pair.heard(end), expected);
        assert_eq!(pair.ends[end].drops, []);
    }
}

#[test]
fn keys_change_every_two_minutes_and_no_word_is_lost() {
    for scopes in [HOP, END_TO_END] {
        let mut pair = Pair::connected();
        let before = pair.ends[A].current(scopes[A]);
        let count = converse(&mut pair, scopes, 1_000 * SECOND, 500 * MS);
        assert_all_heard(&pair, count);
        assert_ne!(pair.ends[A].current(scopes[A]), before);
        let readies = |end: usize| {
            pair.ends[end]
                .ready()
                .iter()
                .filter(|ready| ready.scope == scopes[end])
                .count()
        };
        assert_eq!((readies(A), readies(B)), (9, 9));
        assert!(!pair.ends[A].downs().contains(&scopes[A]));
        // The lower id led every one of them, in one round trip each.
        assert_eq!(pair.ends[B].sent[1], 0);
        pair.assert_agreed(scopes);
    }
}

#[test]
fn the_follower_renews_where_the_leader_cannot() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|parcel| parcel.from == A && parcel.bytes[0] == 0x10);
    let count = converse(&mut pair, HOP, 200 * SECOND, SECOND);
    assert_all_heard(&pair, count);
    assert!(pair.ends[B].sent[1] >= 1);
    pair.assert_agreed(HOP);
}

#[test]
fn many_packets_bring_new_keys_before_their_time() {
    for end in [A, B] {
        let mut pair = Pair::connected();
        let before = pair.ends[end].current(HOP[end]);
        let association = pair.ends[end]
            .sessions
            .associations
            .get_mut(HOP[end])
            .unwrap();
        association
            .current
            .as_mut()
            .unwrap()
            .skip_to(REKEY_COUNTER - 2);
        pair.say(end, HOP[end], "one").unwrap();
        pair.run_for(SECOND);
        assert_eq!(pair.ends[end].current(HOP[end]), before);
        pair.say(end, HOP[end], "two").unwrap();
        pair.run_for(SECOND);
        assert_ne!(pair.ends[end].current(HOP[end]), before);
        pair.assert_agreed(HOP);
    }
}

#[test]
fn the_counter_never_passes_its_end() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|parcel| parcel.bytes[0] >> 4 != 4);
    let association = pair.ends[A].sessions.associations.get_mut(HOP[A]).unwrap();
    association
        .current
        .as_mut()
        .unwrap()
        .skip_to(COUNTER_END - 1);
    assert_eq!(pair.say(A, HOP[A], "last"), Ok(COUNTER_END - 1));
    assert_eq!(pair.say(A, HOP[A], "none"), Err(DropReason::SessionSpent));
    pair.run_for(100 * MS);
    assert_eq!(pair.heard(B), ["last"]);
    assert_eq!(pair.ends[A].downs(), [HOP[A]]);
    pair.loses = Box::new(|_| false);
    pair.run_for(5 * SECOND);
    assert!(pair.is_up(A, HOP[A]));
    pair.assert_agreed(HOP);
}

#[test]
fn old_keys_are_kept_for_ten_seconds_and_no_longer() {
    for (age, heard) in [(PREVIOUS_LIFE - MS, vec!["late"]), (PREVIOUS_LIFE, vec![])] {
        let mut pair = Pair::connected();
        pair.delay = MS;
        pair.loses = Box::new(|parcel| parcel.from == B && parcel.bytes[0] >> 4 == 4);
        pair.say(B, HOP[B], "late").unwrap();
        let late = pair.captured.last().unwrap().clone();
        pair.loses = Box::new(|_| false);
        let replaced_at = {
            let before = pair.ends[A].current(HOP[A]);
            while pair.ends[A].current(HOP[A]) == before {
                pair.say(A, HOP[A], "confirm").unwrap();
                pair.run_for(MS * 100);
            }
            let association = pair.ends[A].sessions.associations.get(HOP[A]).unwrap();
            association.previous.last().unwrap().0 - PREVIOUS_LIFE
        };
        pair.inject(replaced_at + age, late);
        pair.run_for(20 * SECOND);
        assert_eq!(pair.heard(A), heard);
    }
}

#[test]
fn what_nobody_uses_ends_and_frees_its_memory() {
    let mut pair = Pair::connected();
    pair.loses = Box::new(|_| true);
    pair.run_for(LIFETIME + SECOND);
    for end in [A, B] {
        assert!(!pair.is_up(end, END_TO_END[end]));
        let association = pair.ends[end]
            .sessions
            .associations
            .get(END_TO_END[end])
            .unwrap();
        assert!(
            association.current.is_none()
                && association.next.is_none()
                && association.previous.is_empty()
        );
        assert!(pair.ends[end].downs().contains(&END_TO_END[end]));
    }
}

#[test]
fn a_restarted_peer_is_noticed_and_said_to_have_restarted() {
    let mut pair = Pair::connected();
    pair.restart(B, 2);
    pair.ensure(B, HOP[B]);
    pair.run_for(SECOND);
    let last = (*pair.ends[A].ready().last().unwrap()).clone();
    assert_eq!(
        (last.scope, last.restarted, last.first),
        (HOP[A], true, false)
    );
    pair.say(A, HOP[A], "again").unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.heard(B), ["again"]);
}

#[test]
fn a_peer_that_lost_its_sessions_without_a_word_is_called_after_five_seconds() {
    let mut pair = Pair::connected();
    pair.restart(B, 2);
    for _ in 0..120 {
        pair.say(A, HOP[A], "hello?").unwrap();
        let _ = pair.say(B, HOP[B], "yes");
        pair.run_for(100 * MS);
    }
    let last = (*pair.ends[A].ready().last().unwrap()).clone();
    assert!(last.scope == HOP[A] && last.restarted);
    assert!(pair.heard(B).len() > 50);
    pair.assert_agreed(HOP);
}

#[test]
fn a_peer_that_never_answers_is_called_every_few_seconds_while_it_is_sent_to() {
    let mut pair = Pair::connected();
    let before = pair.ends[A].sent[1];
    for _ in 0..60 {
        pair.say(A, HOP[A], "on and on").unwrap();
        pair.run_for(SECOND);
    }
    let called = pair.ends[A].sent[1];
    assert!((5..=12).contains(&(called - before)), "{called}");
    assert_eq!(pair.heard(B).len(), 60);
    pair.run_for(60 * SECOND);
    assert_eq!(
        pair.ends[A].sent[1], called,
        "nothing is sent, nobody is missed"
    );
}

#[test]
fn a_peer_that_renews_in_a_hurry_does_not_fill_our_memory() {
    let mut pair = Pair::connected();
    for _ in 0..20 {
        let now = pair.now;
        pair.ends[A].sessions.initiate(now, HOP[A]);
        pair.collect(A);
        pair.run_for(100 * MS);
    }
    for end in [A, B] {
        let association = pair.ends[end].sessions.associations.get(HOP[end]).unwrap();
        assert_eq!(association.previous.len(), 3);
    }
    pair.assert_agreed(HOP);
}

#[test]
fn a_peer_that_forgot_how_often_it_started_is_let_in_after_a_cookie_round() {
    let mut pair = Pair::connected();
    pair.restart(A, 0);
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    assert_eq!((pair.ends[A].sent, pair.ends[B].sent[3]), ([0, 2, 0, 0], 1));
    assert!(pair.ends[B].ready().last().unwrap().restarted);
    pair.say(B, HOP[B], "welcome back").unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.heard(A), ["welcome back"]);
    // From now on the low boot is the known one.
    pair.restart(A, 1);
    pair.ensure(A, HOP[A]);
    pair.run_for(SECOND);
    assert_eq!(pair.ends[B].sent[3], 1);
    assert!(pair.is_up(A, HOP[A]));
}

#[test]
fn a_peer_that_moved_is_answered_where_it_is() {
    let mut pair = Pair::connected();
    pair.restart(B, 2);
    pair.ends[B].address = "203.0.113.50:5000".parse().unwrap();
    pair.ensure(B, HOP[B]);
    pair.run_for(SECOND);
    let seen = Via::Underlay {
        uplink: 0,
        remote: pair.ends[B].address,
    };
    assert_eq!(pair.ends[A].ready().last().unwrap().via, seen);
    let count = converse(&mut pair, HOP, REKEY_AGE + 5 * SECOND, SECOND);
    assert_eq!(pair.heard(A).len(), count);
    assert_eq!(pair.ends[A].sent[1], 3, "one per scope, one renewal");
}

#[test]
fn an_address_that_was_proven_is_called_and_the_configured_one_in_turn() {
    let mut pair = Pair::connected();
    let moved: SocketAddr = "203.0.113.50:5000".parse().unwrap();
    pair.ends[A].sessions.set_remote(LINK[A], moved);
    pair.ends[A].sessions.forget(pair.now, HOP[A]);
    let mut ways = Vec::new();
    while ways.len() < 4 {
        pair.now = pair.ends[A].sessions.poll_timeout().unwrap();
        pair.ends[A].sessions.handle_timeout(pair.now);
        while let Some(action) = pair.ends[A].sessions.poll() {
            if let Action::Send { via, .. } = action {
                ways.push(via.remote().unwrap());
            }
        }
    }
    assert_eq!(ways, [moved, address(B), moved, address(B)]);
}

#[test]
fn a_closed_session_is_gone_and_a_wanted_link_comes_back() {
    let mut pair = Pair::connected();
    for end in [A, B] {
        pair.ends[end].sessions.forget(pair.now, HOP[end]);
        pair.collect(end);
        assert_eq!(pair.ends[end].downs(), [HOP[end]]);
    }
    assert_eq!(pair.say(A, HOP[A], "gone"), Err(DropReason::NoSession));
    pair.run_for(3 * SECOND);
    assert!(pair.is_up(A, HOP[A]) && pair.is_up(B, HOP[B]));
    assert!(pair.ends[A].ready().last().unwrap().first);
}

#[test]
fn a_revoked_peer_is_cut_off_at_once() {
    let mut pair = Pair::connected();
    pair.say(B, HOP[B], "in flight").unwrap();
    let mut without = settings(A, true);
    without.peers.clear();
    without.links.clear();
    pair.configure(A, &without);
    let mut downs = pair.ends[A].downs();
    downs.sort();
    assert_eq!(downs, [HOP[A], END_TO_END[A]]);
    assert_eq!(pair.say(A, HOP[A], "no"), Err(DropReason::NoSession));
    pair.run_for(SECOND);
    assert_eq!(pair.ends[A].drops, [DropReason::UnknownSession]);
    // Its handshakes are not answered either.
    pair.restart(B, 2);
    pair.ensure(B, HOP[B]);
    pair.run_for(300 * MS);
    assert_eq!(pair.ends[A].drops.last(), Some(&DropReason::UnknownPeer));
    assert_eq!(pair.ends[A].sent[2], 0);
}

#[test]
fn a_snapshot_keeps_what_it_does_not_change() {
    let mut pair = Pair::connected();
    let before = [HOP[A], END_TO_END[A]].map(|scope| pair.ends[A].current(scope));
    let mut more = settings(A, true);
    more.peers.push(PeerSettings {
        id: 9,
        public_key: public_key(&[9; 32]),
    });
    more.links.push(LinkSettings {
        id: 11,
        peer: 9,
        uplink: 0,
        remote: None,
        reflexive: None,
        lane: 0,
        numbering: 0,
    });
    pair.configure(A, &more);
    assert_eq!(
        [HOP[A], END_TO_END[A]].map(|scope| pair.ends[A].current(scope)),
        before
    );
    assert_eq!(pair.ends[A].downs(), []);
}

#[test]
fn another_key_link_lane_suite_psk_network_or_id_ends_what_depended_on_it() {
    type Case<'a> = (&'a str, fn(&mut Settings), &'a [Scope]);
    let cases: [Case<'_>; 7] = [
        (
            "key",
            |s| s.peers[0].public_key = [5; 32],
            &[HOP[A], END_TO_END[A]],
        ),
        ("uplink", |s| s.links[0].uplink = 1, &[HOP[A]]),
        ("lane", |s| s.links[0].lane = 1, &[HOP[A]]),
        (
            "suite",
            |s| s.suite = Suite::Chacha20Poly1305,
            &[HOP[A], END_TO_END[A]],
        ),
        ("psk", |s| s.psk = [1; 32], &[HOP[A], END_TO_END[A]]),
        ("network", |s| s.network = 1, &[HOP[A], END_TO_END[A]]),
        ("id", |s| s.node = 7, &[HOP[A], END_TO_END[A]]),
    ];
    for (what, change, gone) in cases {
        let mut pair = Pair::connected();
        let mut changed = settings(A, true);
        change(&mut changed);
        pair.configure(A, &changed);
        let mut downs = pair.ends[A].downs();
        downs.sort();
        assert_eq!(downs, gone, "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Renewals under loss: words are lost as the wire loses them, none for want of a key.
    #[test]
    fn renewals_under_loss_cost_nothing_extra(seed: [u8; 32], loss_percent in 0u64..30, delay_ms in 1u64..300) {
        let mut random = Random::new(seed);
        let mut pair = Pair::connected();
        pair.delay = delay_ms * MS;
        pair.loses = Box::new(move |_| random.below(100) < loss_percent);
        for number in 0..1_850 {
            for end in [A, B] {
                pair.say(end, HOP[end], &number.to_string()).unwrap();
            }
            pair.run_for(300 * MS);
        }
        pair.run_for(SECOND);
        for end in [A, B] {
            let key_drops = pair.ends[end].drops.iter().filter(|reason| **reason != DropReason::UnexpectedAnswer).count();
            prop_assert_eq!(key_drops, 0, "{:?}", pair.ends[end].drops);
            prop_assert!(!pair.ends[end].downs().contains(&HOP[end]));
        }
        pair.assert_agreed(HOP);
    }
}
