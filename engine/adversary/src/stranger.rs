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

use crate::SECOND;
use crate::mesh::{self, HOSTILE};
use crate::oracle::NODES;

const MAC_LEN: usize = 16;
/// Copies of one init at once: more than one source may send.
const FLOOD: usize = 24;
/// Whom they knock at: nodes with an address.
pub(crate) const DOORS: [u16; 3] = [1, 2, 3];

pub(crate) struct Stranger {
    pub(crate) what: &'static str,
    pub(crate) address: SocketAddr,
    sessions: Sessions,
    /// Its own clock: it need not be true.
    clock: u64,
    pub(crate) copies: usize,
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
    pub(crate) fn knock(&mut self, now: u64, door: u16) -> Option<Vec<u8>> {
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

    /// What it has to say to the answers that it got (an init again, with a cookie), and to whom.
    pub(crate) fn replies(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::iter::from_fn(|| self.sessions.poll())
            .filter_map(|action| match action {
                Action::Send {
                    via: Via::Underlay { remote, .. },
                    bytes,
                } => Some((remote, bytes)),
                _ => None,
            })
            .collect()
    }

    /// An answer. What it says to that, `replies` tells.
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
