//! What the adversary on the wire remembers of the datagrams that it has seen. Pure.

use std::net::SocketAddr;

use overlayd_netem::Rng;

/// Datagrams that are remembered: the latest, some of any age, and handshakes apart, as they are rare.
const LATEST: usize = 2_048;
const OLD: usize = 2_048;
const HANDSHAKES: usize = 96;
const STOLEN: usize = 512;

#[derive(Default)]
pub(crate) struct Tap {
    pub(crate) latest: Vec<Seen>,
    pub(crate) old: Vec<Seen>,
    pub(crate) handshakes: Vec<Seen>,
    /// Kept from their receivers.
    pub(crate) stolen: Vec<Seen>,
    count: usize,
    pub(crate) scratch: Vec<u8>,
    /// The wires are left alone.
    pub(crate) calm: bool,
}

#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Tap {
    pub(crate) fn steal(&mut self, seen: Seen) {
        if self.stolen.len() == STOLEN {
            self.stolen.remove(0);
        }
        self.stolen.push(seen);
    }

    pub(crate) fn note(&mut self, rng: &mut Rng, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.count += 1;
        let is_handshake = bytes.first().is_some_and(|first| first >> 4 != 4);
        let places = [
            (is_handshake, HANDSHAKES, self.count),
            (true, LATEST, self.count),
            (
                self.count.is_multiple_of(16),
                OLD,
                rng.below(OLD as u64) as usize,
            ),
        ];
        for (list, (wanted, most, place)) in [&mut self.handshakes, &mut self.latest, &mut self.old]
            .into_iter()
            .zip(places)
        {
            if !wanted {
                continue;
            }
            if list.len() < most {
                list.push(Seen {
                    from,
                    to,
                    bytes: bytes.to_vec(),
                });
                continue;
            }
            let seen = &mut list[place % most];
            (seen.from, seen.to) = (from, to);
            seen.bytes.clear();
            seen.bytes.extend_from_slice(bytes);
        }
    }
}
