//! Prints `tests/vectors/session.json`: a conversation as it stands on the wire, from the first init to frames under both seals, with every secret.
//!
//! `cargo run -p overlayd-node --example session_vectors > tests/vectors/session.json`. All randomness comes from fixed seeds, so the same
//! bytes come out each time; the Python dissector opens them with the logged keys, written from the page alone.

use overlayd_node::session::{
    Action, KeyRecord, LinkSettings, PeerSettings, Random, Scope, Sessions, Settings, Via,
    public_key,
};
use overlayd_node::snapshot::Suite;
use overlayd_wire::envelope::HEADER_LEN;
use overlayd_wire::{Body, Budget, PathProbe, Protected, RouteRepr, Tail};
use serde_json::{Value, json};

const NETWORK: u32 = 0x0a0b_0c0d;
const PSK: [u8; 32] = [0x77; 32];
/// Node ids.
const INGRESS: u16 = 1;
const EGRESS: u16 = 2;
const LINK: u16 = 10;

fn main() {
    println!("{}", text());
}

/// The whole file, without the newline at its end.
pub(crate) fn text() -> String {
    let conversations = [Suite::Aes256Gcm, Suite::Chacha20Poly1305]
        .map(|suite| format!("  {}", conversation(suite)));
    format!(
        "{{\n\"conversations\": [\n{}\n]\n}}",
        conversations.join(",\n")
    )
}

fn conversation(suite: Suite) -> Value {
    let mut ends = [end(INGRESS, EGRESS, suite), end(EGRESS, INGRESS, suite)];
    let mut log = Log::default();
    for scope in [Scope::Hop(LINK), Scope::EndToEnd(EGRESS)] {
        let [ingress, _] = &mut ends;
        ingress.ensure(1_000_000_000, scope);
        exchange(&mut ends, &mut log);
    }
    let [ingress, _] = &mut ends;
    for (name, frame) in frames(ingress) {
        let mut datagram = [&[0; HEADER_LEN][..], &frame].concat();
        if ingress
            .seal_tail(2_000_000_000, Scope::Hop(LINK), &mut datagram, 0)
            .is_ok()
        {
            log.datagrams
                .push(json!({"name": name, "hex": hex(&datagram), "frame": hex(&frame)}));
        }
    }
    json!({
        "suite": suite,
        "network": NETWORK,
        "psk": hex(&PSK),
        "private_keys": {"1": hex(&private_key(INGRESS)), "2": hex(&private_key(EGRESS))},
        "keys": log.keys,
        "datagrams": log.datagrams,
    })
}

#[derive(Default)]
struct Log {
    keys: Vec<Value>,
    datagrams: Vec<Value>,
}

/// Carries handshake messages to and fro until nobody has one more.
fn exchange(ends: &mut [Sessions; 2], log: &mut Log) {
    let mut from = 0;
    for _ in 0..4 {
        let mut messages = Vec::new();
        while let Some(action) = ends[from].poll() {
            match action {
                Action::Send { via, bytes } => messages.push((via, bytes)),
                Action::KeyLog(record) if from == 0 => log.keys.push(key_line(&record)),
                _ => {}
            }
        }
        for (via, bytes) in messages {
            let (name, source) = match via {
                Via::Route { .. } => (
                    "end to end",
                    Via::Route {
                        peer: [INGRESS, EGRESS][from],
                    },
                ),
                Via::Underlay { uplink, .. } => (
                    "hop",
                    Via::Underlay {
                        uplink,
                        remote: address([INGRESS, EGRESS][from]),
                    },
                ),
            };
            let kind = ["init", "response"][from];
            log.datagrams
                .push(json!({"name": format!("{name} {kind}"), "hex": hex(&bytes)}));
            if let Err(reason) = ends[1 - from].handle_handshake(1_000_000_000, source, &bytes) {
                log.datagrams
                    .push(json!({"name": "refused", "reason": reason.name()}));
            }
        }
        from = 1 - from;
    }
}

/// Plaintexts of hop frames, with an end-to-end datagram inside where the frame is routed.
fn frames(ingress: &mut Sessions) -> Vec<(&'static str, Vec<u8>)> {
    let packet = inner_packet();
    let header = |routed| {
        Protected {
            routed,
            class: 2,
            seq: 5,
            budget: Budget(1_500),
        }
        .to_bytes()
    };
    let body = Body::Packet {
        partial_checksum: false,
        packet: &packet,
    };
    let mut direct = header(false).to_vec();
    body.emit(&mut direct);
    let mut routed = |body: Body<'_>| {
        let mut frame = header(true).to_vec();
        if let Some(route) = RouteRepr::new(INGRESS, &[7, EGRESS], 42) {
            route.emit(&mut frame);
        }
        let inside = frame.len();
        frame.extend_from_slice(&[0; HEADER_LEN]);
        body.emit(&mut frame);
        let sealed = ingress.seal_tail(2_000_000_000, Scope::EndToEnd(EGRESS), &mut frame, inside);
        sealed.map_or_else(|_| Vec::new(), |_| frame)
    };
    let probe = Body::PathProbe(PathProbe {
        slot: 1,
        seq: 2,
        sent_ns: 3,
        sent: 4,
    });
    vec![
        ("direct packet", direct),
        ("routed packet", routed(body)),
        ("routed path probe", routed(probe)),
        ("tail", Tail { class: 2, next: 6 }.to_bytes().to_vec()),
    ]
}

fn end(node: u16, peer: u16, suite: Suite) -> Sessions {
    let mut sessions = Sessions::new(private_key(node), 1, Random::new([node as u8; 32]), true, 0);
    sessions.configure(
        0,
        &Settings {
            node,
            network: NETWORK,
            suite,
            psk: PSK,
            peers: vec![PeerSettings {
                id: peer,
                public_key: public_key(&private_key(peer)),
            }],
            links: vec![LinkSettings {
                numbering: 0,
                id: LINK,
                peer,
                uplink: 0,
                remote: Some(address(peer)),
                reflexive: None,
                lane: 0,
            }],
        },
    );
    sessions
}

fn private_key(node: u16) -> [u8; 32] {
    [0x10 + node as u8; 32]
}

fn address(node: u16) -> std::net::SocketAddr {
    ([192, 0, 2, node as u8], 51_820).into()
}

/// As an engine writes it into its key log.
fn key_line(record: &KeyRecord) -> Value {
    let scope = match record.scope {
        Scope::Hop(_) => "hop",
        Scope::EndToEnd(_) => "end_to_end",
    };
    json!({
        "type": "key_log", "at_ns": 0, "scope": scope, "peer": record.peer, "receiver_index": record.receiver_index,
        "suite": record.suite, "key": hex(&record.key),
    })
}

/// 10.77.0.1:4660 > 10.77.0.2:53, UDP, "hi".
fn inner_packet() -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 30, 0x12, 0x34, 0x40, 0, 64, 17, 0x13, 0xf0, 10, 77, 0, 1, 10, 77, 0, 2,
    ];
    packet.extend([0x12, 0x34, 0, 53, 0, 10, 0, 0, b'h', b'i']);
    packet
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
