//! What goes on in the mesh meanwhile: honest traffic, unsound packets of local programs, restarts, cuts, moves, new tables, long silences. Pure.

use overlayd_node::{Offload, Segment, SegmentKind};

use crate::mesh::{CALLER, ELDER, HOSTILE, underlay};
use crate::packets;
use crate::world::World;
use crate::{MS, SECOND};

/// Who sends to whom; twice: twice as much.
const PAIRS: [(u16, u16); 20] = [
    (1, 2),
    (1, 2),
    (1, 2),
    (2, 1),
    (2, 1),
    (1, 5),
    (5, 1),
    (2, 5),
    (5, 2),
    (1, 3),
    (3, 2),
    (3, 5),
    (1, HOSTILE),
    (2, HOSTILE),
    (5, HOSTILE),
    (3, HOSTILE),
    (HOSTILE, 1),
    (HOSTILE, 2),
    (HOSTILE, 3),
    (HOSTILE, 5),
];

impl World {
    /// A program somewhere sends a few packets.
    pub(crate) fn traffic(&mut self) {
        let (from, to) = PAIRS[self.rng.below(PAIRS.len() as u64) as usize];
        let many = if self.rng.chance(0.01) {
            12
        } else {
            self.rng.below(4) * self.rng.below(2)
        };
        for _ in 0..=many {
            self.send(from, to);
        }
        if self.rng.chance(0.04) {
            self.send_unsound(from, to);
        }
    }

    /// A program, or the kernel, hands over something that must not leave. Its number is one that no stream reaches.
    fn send_unsound(&mut self, from: u16, to: u16) {
        let mut bytes = Vec::new();
        let rng = &mut self.rng;
        let (source, destination) = match rng.below(4) {
            0 => (9, to),
            1 => (to, from),
            2 => (from, 9),
            _ => (from, to),
        };
        let mut offload = packets::write(
            &mut bytes,
            source,
            destination,
            u32::MAX - rng.below(1 << 20) as u32,
        );
        if (source, destination) == (from, to) {
            match rng.below(4) {
                0 => bytes.truncate(rng.below(bytes.len() as u64) as usize),
                1 => bytes[0] = rng.next_u64() as u8 & 0x3f,
                2 => {
                    let size = rng.below(3) as u16;
                    offload.segment = Some(Segment {
                        kind: SegmentKind::TcpV4,
                        header_len: rng.below(90) as u16,
                        size,
                    });
                    bytes[9] = 17;
                    bytes[6] = 17;
                }
                _ => {
                    // Longer than two pieces carry.
                    bytes.resize(9_000, 0);
                    let length = if bytes[0] >> 4 == 4 { 9_000u16 } else { 8_960 };
                    let at = if bytes[0] >> 4 == 4 { 2 } else { 4 };
                    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
                    offload = Offload::default();
                }
            }
        }
        self.send_bytes(from, &bytes, offload);
    }

    /// Something happens to somebody: each kind of thing in turn.
    pub(crate) fn episode(&mut self, turn: u64) {
        let place = self.rng.below(self.hosts.len() as u64) as usize;
        let other =
            (place + 1 + self.rng.below(self.hosts.len() as u64 - 1) as usize) % self.hosts.len();
        match turn % 16 {
            1 => self.flood_with_packets(),
            2 | 6 => self.flood_with_handshakes(),
            3 | 8 | 13 => self.restart(mortal(place)),
            4 => self.restart(usize::from(HOSTILE) - 1),
            5 | 10 | 15 => {
                let (one, two) = (place.min(other) as u16 + 1, place.max(other) as u16 + 1);
                let until = self.now + 300 * MS + self.rng.below(4 * SECOND);
                let now = self.now;
                self.cuts.retain(|cut| now < cut.2);
                self.cuts.push((one, two, until));
            }
            7 => self.shun(mortal(place % 4)),
            9 => self.new_routes(place),
            14 => self.rebind(),
            11 => self.new_classes(place),
            12 => self.move_link(place),
            _ => {
                // Nobody sends for a while: timers run out, keys age, paths cool down.
                let silence = SECOND + self.rng.below(40 * SECOND);
                self.advance(silence);
            }
        }
    }

    /// The controller prefers other paths.
    fn new_routes(&mut self, place: usize) {
        let rng = &mut self.rng;
        for route in &mut self.hosts[place].tables.routes {
            let places = route.paths.len() as u64;
            route
                .paths
                .swap(rng.below(places) as usize, rng.below(places) as usize);
        }
        self.next_generation(place);
    }

    fn new_classes(&mut self, place: usize) {
        let class = self.rng.below(6) as usize;
        let class = &mut self.hosts[place].tables.classes[class];
        class.retransmit = !class.retransmit;
        self.next_generation(place);
    }

    /// A link is told to lead to another address of its peer, and back: for a moment it leads nowhere.
    fn move_link(&mut self, place: usize) {
        let links = &mut self.hosts[place].tables.links;
        let link = self.rng.below(links.len() as u64) as usize;
        let before = links[link].remote;
        let Some(remote) = &mut links[link].remote else {
            return;
        };
        remote.set_port(4_501);
        self.next_generation(place);
        let moment = self.rng.below(200 * MS);
        self.advance(moment);
        self.hosts[place].tables.links[link].remote = before;
        self.next_generation(place);
    }

    /// A node starts with the caller cut off, wants to reach it over a relay, and then loses its link to that.
    fn shun(&mut self, place: usize) {
        let id = place as u16 + 1;
        let until = self.now + 3 * SECOND;
        for peer in 1..=4 {
            self.cuts.push((peer, CALLER, until));
        }
        self.restart(place);
        self.advance(500 * MS);
        for _ in 0..12 {
            self.send(id, CALLER);
            self.advance(30 * MS);
        }
        let all = self.hosts[place].tables.links.clone();
        self.hosts[place].tables.links.clear();
        self.next_generation(place);
        self.advance(2 * SECOND);
        self.hosts[place].tables.links = all;
        self.next_generation(place);
    }

    fn next_generation(&mut self, place: usize) {
        self.hosts[place].tables.generation += 1;
        self.apply(place);
    }

    /// Every node is as at the start, and is left in peace for a while.
    pub(crate) fn calm_down(&mut self) {
        self.tap.calm = true;
        self.hostile.calm = true;
        self.cuts.clear();
        self.restart(usize::from(HOSTILE) - 1);
        self.hosts[usize::from(CALLER) - 1].addresses = [underlay(CALLER, 0), underlay(CALLER, 1)];
        // What was held back on the wires still arrives; what was lost is found again.
        self.advance(30 * SECOND);
    }
}

/// Of a place, or another if its node is to live.
fn mortal(place: usize) -> usize {
    if place == usize::from(ELDER) - 1 {
        0
    } else {
        place
    }
}
