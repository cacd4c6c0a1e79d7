//! Ends that nobody can call until they have called themselves: what others see of them is where they meet.

use std::cell::Cell;
use std::rc::Rc;

use super::*;

fn seen(end: usize, reflexive: SocketAddr) -> Settings {
    let mut settings = settings(end, false);
    settings.links[0].reflexive = Some(reflexive);
    settings
}

/// Both behind a NAT that lets in who was called before.
fn behind_nats() -> Pair {
    let mut pair = Pair::new();
    let opened = Rc::new([Cell::new(false), Cell::new(false)]);
    pair.loses = Box::new(move |parcel| {
        opened[parcel.from].set(true);
        !opened[parcel.to].get()
    });
    pair
}

/// Where an end's next inits go, and when, with nobody there.
fn calls(pair: &mut Pair, end: usize, count: usize) -> Vec<(Nanos, SocketAddr)> {
    let mut ways = Vec::new();
    while ways.len() < count {
        pair.now = pair.ends[end].sessions.poll_timeout().unwrap();
        pair.ends[end].sessions.handle_timeout(pair.now);
        ways.extend(sent(pair, end));
    }
    ways
}

fn sent(pair: &mut Pair, end: usize) -> Vec<(Nanos, SocketAddr)> {
    let now = pair.now;
    std::iter::from_fn(|| pair.ends[end].sessions.poll())
        .filter_map(|action| match action {
            Action::Send { via, .. } => Some((now, via.remote()?)),
            _ => None,
        })
        .collect()
}

#[test]
fn two_behind_nats_meet_where_others_see_them() {
    let mut pair = behind_nats();
    for end in [A, B] {
        pair.configure(end, &seen(end, address(1 - end)));
        pair.ensure(end, HOP[end]);
    }
    pair.run_for(SECOND);
    assert!(pair.is_up(A, HOP[A]) && pair.is_up(B, HOP[B]));
    pair.assert_agreed(HOP);
}

#[test]
fn without_an_address_they_wait_for_each_other() {
    let mut pair = behind_nats();
    for end in [A, B] {
        pair.configure(end, &settings(end, false));
        pair.ensure(end, HOP[end]);
    }
    pair.run_for(60 * SECOND);
    assert_eq!((pair.ends[A].sent, pair.ends[B].sent), ([0; 4], [0; 4]));
}

#[test]
fn one_that_never_opens_is_called_twice_a_minute_at_most() {
    let mut pair = Pair::new();
    pair.configure(A, &seen(A, address(B)));
    pair.ends[A].sessions.ensure(0, HOP[A]);
    assert_eq!(sent(&mut pair, A).len(), 1);
    let calls = calls(&mut pair, A, 20);
    assert!(calls.iter().all(|(_, remote)| *remote == address(B)));
    let within = |span: Nanos| calls.iter().filter(|(at, _)| *at < span).count();
    assert!((3..=5).contains(&within(5 * SECOND)));
    let late = calls.windows(2).skip(8).map(|pair| pair[1].0 - pair[0].0);
    for pause in late {
        assert!((30 * SECOND..=40 * SECOND).contains(&pause), "{pause}");
    }
}

#[test]
fn a_peer_that_is_seen_elsewhere_is_called_there_at_once() {
    let mut pair = Pair::new();
    pair.configure(A, &seen(A, address(B)));
    pair.ensure(A, HOP[A]);
    calls(&mut pair, A, 12);
    let moved: SocketAddr = "203.0.113.50:5000".parse().unwrap();
    pair.now += SECOND;
    let now = pair.now;
    let settings = seen(A, moved);
    pair.ends[A].sessions.configure(now, &settings);
    assert_eq!(sent(&mut pair, A), [(now, moved)]);
    pair.ends[A].sessions.configure(now, &settings);
    assert_eq!(sent(&mut pair, A), [], "it is no news");
    let (next, _) = calls(&mut pair, A, 1)[0];
    assert!(next < now + SECOND, "hope is new");
}

#[test]
fn a_session_outlasts_what_others_say() {
    let mut pair = behind_nats();
    for end in [A, B] {
        pair.configure(end, &seen(end, address(1 - end)));
        pair.ensure(end, HOP[end]);
    }
    pair.run_for(SECOND);
    pair.configure(A, &seen(A, "203.0.113.50:5000".parse().unwrap()));
    pair.configure(A, &settings(A, false));
    pair.run_for(10 * SECOND);
    pair.say(A, HOP[A], "still there").unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.heard(B), ["still there"]);
    assert_eq!(pair.ends[A].downs(), []);
}
