//! How many inits are worth the cost of Noise: a count per second for all, and token buckets per source. Pure.

use std::net::IpAddr;

use super::crypto::{self, Key};
use super::{Random, Via};
use crate::Nanos;

/// More inits in a second than this, and sources have to show cookies. One costs about 0.2 ms: 4 % of a core.
const LOAD_PER_S: u32 = 200;
/// One source (/32, /64 or node): this many at once …
const BURST: u64 = 16;
/// … and one in this time after that.
const INTERVAL: Nanos = 50_000_000;
const SECOND: Nanos = 1_000_000_000;
const BUCKETS: usize = 4_096;

pub(super) struct Admission {
    secret: Key,
    /// Sources that proved nothing, and sources that showed a cookie: those who forge addresses cannot empty the latter's buckets.
    strangers: Buckets,
    proven: Buckets,
    second: Nanos,
    inits: u32,
}

impl Admission {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            secret: random.bytes(),
            strangers: Buckets::new(),
            proven: Buckets::new(),
            second: 0,
            inits: 0,
        }
    }

    /// Counts an init of a source without a cookie. False: it has to bring one.
    pub(super) fn take_stranger(&mut self, now: Nanos, via: Via) -> bool {
        let second = now / SECOND;
        if second != self.second {
            (self.second, self.inits) = (second, 0);
        }
        self.inits = self.inits.saturating_add(1);
        self.inits <= LOAD_PER_S && self.strangers.take(now, place(&self.secret, via))
    }

    /// Counts an init of a source that showed a cookie. False: too many.
    pub(super) fn take_proven(&mut self, now: Nanos, via: Via) -> bool {
        self.proven.take(now, place(&self.secret, via))
    }
}

/// A fixed number of buckets; sources that fall into the same one share it, and cannot know which that is.
struct Buckets {
    /// When the bucket will be full again (generic cell rate algorithm).
    full_at: Box<[Nanos]>,
}

impl Buckets {
    fn new() -> Self {
        Self {
            full_at: vec![0; BUCKETS].into(),
        }
    }

    fn take(&mut self, now: Nanos, place: usize) -> bool {
        let Some(full_at) = self.full_at.get_mut(place) else {
            return false;
        };
        let next = (*full_at).max(now) + INTERVAL;
        if next > now + BURST * INTERVAL {
            return false;
        }
        *full_at = next;
        true
    }
}

fn place(secret: &Key, via: Via) -> usize {
    let mac = match via {
        Via::Underlay { remote, .. } => match remote.ip() {
            IpAddr::V4(address) => crypto::mac128(secret, &[b"4", &address.octets()]),
            IpAddr::V6(address) => crypto::mac128(secret, &[b"6", &address.octets()[..8]]),
        },
        Via::Route { peer } => crypto::mac128(secret, &[b"n", &peer.to_be_bytes()]),
    };
    let [a, b, ..] = mac;
    usize::from(u16::from_be_bytes([a, b])) % BUCKETS
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    fn via(address: &str) -> Via {
        Via::Underlay {
            uplink: 0,
            remote: address.parse().unwrap(),
        }
    }

    fn admission() -> Admission {
        Admission::new(&mut Random::new([4; 32]))
    }

    #[test]
    fn one_source_gets_a_burst_and_then_its_rate() {
        let mut admission = admission();
        let one = via("192.0.2.1:1");
        assert_eq!(
            (0..100).filter(|_| admission.take_proven(0, one)).count(),
            16
        );
        let later = (1..=100)
            .filter(|i| admission.take_proven(i * INTERVAL / 2, one))
            .count();
        assert_eq!(later, 50);
    }

    #[test]
    fn ports_and_hosts_of_one_ipv6_network_share_a_bucket() {
        let mut admission = admission();
        let taken = (0..100)
            .filter(|i| admission.take_proven(0, via(&format!("[2001:db8::{i:x}]:{}", i + 1))))
            .count();
        assert_eq!(taken, 16);
        assert!(admission.take_proven(0, via("[2001:db8:0:1::1]:1")));
    }

    #[test]
    fn load_asks_every_stranger_for_a_cookie_until_the_second_is_over() {
        let mut admission = admission();
        let stranger = |i: u64| via(&format!("10.{}.{}.1:1", i / 256, i % 256));
        let admitted = (0..1_000)
            .filter(|i| admission.take_stranger(5, stranger(*i)))
            .count();
        assert!((150..=200).contains(&admitted), "{admitted}");
        assert!(!admission.take_stranger(6, stranger(2_000)));
        assert!(admission.take_proven(6, stranger(2_000)));
        assert!(admission.take_stranger(SECOND, stranger(2_001)));
    }
}
