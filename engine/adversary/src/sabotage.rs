//! Breaks the nodes on purpose, so that tests can see that each check of the harness can fail. Called behind each call into a node (`door`). Pure.

use std::net::SocketAddr;

use overlayd_node::{Delivery, Node, Piece, Transmit};

use crate::mesh::{ELDER, HOSTILE};
use crate::packets;

/// What is wrong with the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Now and then a call panics.
    Panic,
    /// Each call of two of the nodes leaves something behind.
    Leak,
    /// Now and then a call takes far more memory for a moment than a node may have.
    Gorge,
    /// Now and then a packet is delivered that nobody sent.
    Invent,
    /// Packets are delivered with a bit changed.
    Alter,
    /// Packets are delivered twice.
    Repeat,
    /// Whoever says something gets a long answer, often.
    Amplify,
}

/// Calls between two things that happen now and then.
const NOW_AND_THEN: u64 = 500;
const OFTEN: u64 = 10;
const LEAK_BYTES: usize = 8 << 10;
const ANSWER_BYTES: usize = 8_000;
const GORGE_BYTES: usize = 1 << 30;

impl Sabotage {
    pub(crate) fn act(self, calls: u64, id: u16, source: Option<SocketAddr>, node: &mut Node) {
        // What the hostile peer's own node delivers is nobody's affair.
        if id == HOSTILE && self != Self::Leak {
            return;
        }
        let is_time = calls.is_multiple_of(NOW_AND_THEN);
        match self {
            Self::Panic if is_time => std::panic::resume_unwind(Box::new("on purpose")),
            Self::Leak if [ELDER, HOSTILE].contains(&id) => {
                std::mem::forget(std::hint::black_box(vec![0u8; LEAK_BYTES]))
            }
            Self::Gorge if is_time => {
                drop(std::hint::black_box(Vec::<u8>::with_capacity(GORGE_BYTES)))
            }
            Self::Invent if id == ELDER => deliver(node),
            Self::Alter => {
                if let Some(byte) = node.output().packet_bytes.last_mut() {
                    *byte ^= 1;
                }
            }
            Self::Repeat => {
                let output = node.output();
                output.packets.extend(output.packets.last().cloned());
            }
            Self::Amplify if calls.is_multiple_of(OFTEN) => {
                let (output, Some(remote)) = (node.output(), source) else {
                    return;
                };
                let start = output.bytes.len();
                output.bytes.resize(start + ANSWER_BYTES, 0);
                output.datagrams.push(Transmit {
                    uplink: 0,
                    remote,
                    ecn: 0,
                    range: start..output.bytes.len(),
                });
            }
            _ => {}
        }
    }
}

/// Has the elder deliver a packet that nobody sent.
fn deliver(node: &mut Node) {
    let mut packet = Vec::new();
    let offload = packets::write(&mut packet, 1, ELDER, u32::MAX);
    let output = node.output();
    let (start, place) = (output.packet_bytes.len(), output.pieces.len());
    output.packet_bytes.extend_from_slice(&packet);
    output
        .pieces
        .push(Piece::Made(start..output.packet_bytes.len()));
    output.packets.push(Delivery {
        pieces: place..place + 1,
        offload,
    });
}
