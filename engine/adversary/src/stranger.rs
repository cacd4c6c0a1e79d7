//! Those who are not enrolled, or not as they say: real handshakes with a wrong key, lane, name, secret or network, and floods of them. Pure.

use std::net::SocketAddr;
use std::sync::LazyLock;

use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};
use overlayd_node::session::{
    Action, LinkSettings, PeerSettings, Random, Scope, Sessions, Settings, Via, public_key,
};
use overlayd_node::snapshot::Suite;

use crate::coverage::Group;
use crate::mesh::{self, HOSTILE};
use crate::oracle::NODES;
use crate::world::{SECOND, World};

const MAC_LEN: usize = 16;
/// Copies of one init at once: more than one source may send.
const FLOOD: usize = 24;
/// Whom they knock at: nodes with an address.
const DOORS: [u16; 3] = [1, 2, 3];

pub(crate) struct Stranger {
    what: &'static str,
    pub(crate) address: SocketAddr,
    sessions: Sessions,
    /// Its own clock: it need not be true.
    clock: u64,
    copies: usize,
}

impl Stranger {
    pub(crate) fn all(seed: u64, now: u64) -> Vec<Self> {
        let (own, network, psk) = (mesh::private_key(HOSTILE), mesh::NETWORK, mesh::PSK);
        let unknown = [0x55; 32];
        [
            ("unknown_key", unknown, 77, 0, network, psk, 1),
            ("wrong_lane", own, HOSTILE, 7, network, psk, 1),
            ("wrong_name", own, 9, 0, network, psk, 1),
            ("wrong_secret", own, HOSTILE, 0, network, [1; 32], 1),
            ("wrong_network", own, HOSTILE, 0, 8, psk, 1),
            ("flood", unknown, 78, 0, network, psk, FLOOD),
        ]
        .into_iter()
        .enumerate()
        .map(|(place, (what, key, node, lane, network, psk, copies))| {
            let random = Random::new([seed as u8 ^ place as u8; 32]);
            let mut sessions = Sessions::new(key, 1, random, false, now);
            let link = |id: u16| LinkSettings {
                numbering: 0,
                id,
                peer: id,
                uplink: 0,
                remote: Some(mesh::underlay(id, 0)),
                reflexive: None,
                lane,
            };
            let peer = |id: u16| PeerSettings {
                id,
                public_key: public_key(&mesh::private_key(id)),
            };
            let settings = Settings {
                node,
                network,
                suite: Suite::Aes256Gcm,
                psk,
                peers: DOORS.map(peer).to_vec(),
                links: DOORS.map(link).to_vec(),
            };
            sessions.configure(now, &settings);
            let address = SocketAddr::from(([203, 0, 113, place as u8], 7));
            Self {
                what,
                address,
                sessions,
                clock: now,
                copies,
            }
        })
        .collect()
    }

    /// A new init for a node.
    fn knock(&mut self, now: u64, door: u16) -> Option<Vec<u8>> {
        let scope = Scope::Hop(door);
        self.clock = self.clock.max(now);
        self.sessions.ensure(self.clock, scope);
        self.sessions.forget(self.clock, scope);
        // A start is put off by a second after that.
        self.clock += 2 * SECOND;
        self.sessions.handle_timeout(self.clock);
        std::iter::from_fn(|| self.sessions.poll()).find_map(|action| match action {
            Action::Send {
                via: Via::Underlay { remote, .. },
                bytes,
            } => (remote == mesh::underlay(door, 0)).then_some(bytes),
            _ => None,
        })
    }

    /// An answer. What it says to that comes out in `tend_stranger`.
    pub(crate) fn hear(&mut self, now: u64, from: SocketAddr, bytes: &[u8]) {
        self.clock = self.clock.max(now);
        // Sealed datagrams and refusals are of no use to it.
        let _ = self.sessions.handle_handshake(
            self.clock,
            Via::Underlay {
                uplink: 0,
                remote: from,
            },
            bytes,
        );
    }
}

impl World {
    /// One of them knocks somewhere.
    pub(crate) fn attack_as_stranger(&mut self) {
        let place = self.rng.below(self.strangers.len() as u64) as usize;
        let door = DOORS[self.rng.below(DOORS.len() as u64) as usize];
        let stranger = &mut self.strangers[place];
        let (what, address, copies) = (stranger.what, stranger.address, stranger.copies);
        let Some(bytes) = stranger.knock(self.now, door) else {
            return;
        };
        for _ in 0..copies {
            self.count.knocks += 1;
            self.inject(
                (Group::Stranger, what),
                usize::from(door) - 1,
                (0, address),
                &mut [bytes.clone()],
            );
        }
    }

    /// Sends what a stranger has to say to the answers that it got: an init again, with a cookie.
    pub(crate) fn tend_stranger(&mut self, place: usize) {
        let stranger = &mut self.strangers[place];
        let address = stranger.address;
        let said: Vec<Action> = std::iter::from_fn(|| stranger.sessions.poll()).collect();
        for action in said {
            if let Action::Send {
                via: Via::Underlay { remote, .. },
                bytes,
            } = action
            {
                self.launch(SECOND / 1_000, address, remote, 0, bytes);
            }
        }
    }
}

/// Makes mac1 of a handshake message fit its receiver, whose public key everybody may know.
pub(crate) fn put_mac1(message: &mut [u8], receiver: u16) {
    static KEYS: LazyLock<[[u8; 32]; NODES]> =
        LazyLock::new(|| std::array::from_fn(|id| mac1_key(id as u16)));
    // A receiver that there is not has no key, and a short message no place for it.
    let key = KEYS.get(usize::from(receiver));
    let (Some(key), Some(at)) = (key, message.len().checked_sub(2 * MAC_LEN)) else {
        return;
    };
    let Ok(mut mac) = <Blake2sMac<U16> as KeyInit>::new_from_slice(key) else {
        return;
    };
    Update::update(&mut mac, &message[..at]);
    let mac: [u8; MAC_LEN] = mac.finalize().into_bytes().into();
    message[at..at + MAC_LEN].copy_from_slice(&mac);
}

fn mac1_key(receiver: u16) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    Digest::update(&mut hash, b"overlayd/1 mac1");
    Digest::update(&mut hash, public_key(&mesh::private_key(receiver)));
    hash.finalize().into()
}
