//! What a call into the node left to do: an arena of bytes with descriptors, reused from call to call. Pure.

use std::net::SocketAddr;
use std::ops::Range;

use crate::Event;
use crate::packet::{Offload, Packet};

/// Drained by the shell after each call, then cleared. Capacity is kept: no allocation in the steady state.
#[derive(Debug, Default)]
pub struct Output {
    /// Sealed datagrams, one after the other, in order of sending.
    pub bytes: Vec<u8>,
    pub datagrams: Vec<Transmit>,
    /// Inner packets for the TUN.
    pub packets: Vec<Delivery>,
    /// Packets from the TUN that shard 0 is to carry.
    pub handed_bytes: Vec<u8>,
    pub handed: Vec<Handed>,
    pub pieces: Vec<Piece>,
    /// Of packets, what is not as it was received.
    pub packet_bytes: Vec<u8>,
    pub events: Vec<Event>,
    /// Datagrams and packets that the node's counters have seen.
    pub(crate) counted: (u64, u64),
}

/// One datagram to send. Neighbours in the list that share (uplink, remote, ecn) and size may leave as one segmented send.
#[derive(Clone, Debug)]
pub struct Transmit {
    pub uplink: u8,
    pub remote: SocketAddr,
    /// The two ECN bits of the outer header.
    pub ecn: u8,
    /// In `Output::bytes`.
    pub range: Range<usize>,
}

/// One inner packet to write to the TUN, in pieces that follow each other.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// In `Output::pieces`; one, unless it is a super-packet or might have become one.
    pub pieces: Range<usize>,
    pub offload: Offload,
}

/// One packet for shard 0.
#[derive(Clone, Debug)]
pub struct Handed {
    /// In `Output::handed_bytes`.
    pub range: Range<usize>,
    pub offload: Offload,
}

/// Where a part of a packet lies.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In the bytes that the last call was given.
    Received(Range<usize>),
    /// In `Output::packet_bytes`.
    Made(Range<usize>),
}

impl Output {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
        self.packets.clear();
        self.handed_bytes.clear();
        self.handed.clear();
        self.pieces.clear();
        self.packet_bytes.clear();
        self.events.clear();
        self.counted = (0, 0);
    }

    pub(crate) fn count(&mut self) {
        self.counted = (self.datagrams.len() as u64, self.packets.len() as u64);
    }

    pub(crate) fn hand_over(&mut self, packet: &Packet<'_>) {
        let start = self.handed_bytes.len();
        self.handed_bytes.extend_from_slice(packet.bytes);
        self.handed.push(Handed {
            range: start..self.handed_bytes.len(),
            offload: packet.offload,
        });
    }

    /// The bytes from `start` on are one datagram.
    pub(crate) fn push_datagram(&mut self, uplink: u8, remote: SocketAddr, ecn: u8, start: usize) {
        let range = start..self.bytes.len();
        self.datagrams.push(Transmit {
            uplink,
            remote,
            ecn,
            range,
        });
    }

    /// The bytes of a packet, piece by piece. `received`: what the last call was given; nothing, if that was no datagrams.
    pub fn packet<'a>(
        &'a self,
        delivery: &Delivery,
        received: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.pieces[delivery.pieces.clone()]
            .iter()
            .map(move |piece| match piece {
                Piece::Received(range) => &received[range.clone()],
                Piece::Made(range) => &self.packet_bytes[range.clone()],
            })
    }

    /// Copies every packet into `packet_bytes`, as one piece: for who takes the output when what was received is gone.
    pub fn keep(&mut self, received: &[u8]) {
        let pieces = std::mem::take(&mut self.pieces);
        for delivery in &mut self.packets {
            let start = self.packet_bytes.len();
            for piece in &pieces[delivery.pieces.clone()] {
                match piece.clone() {
                    Piece::Received(range) => {
                        self.packet_bytes.extend_from_slice(&received[range]);
                    }
                    Piece::Made(range) => self.packet_bytes.extend_from_within(range),
                }
            }
            let place = self.pieces.len();
            delivery.pieces = place..place + 1;
            self.pieces
                .push(Piece::Made(start..self.packet_bytes.len()));
        }
    }

    /// A piece with a copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Piece {
        let start = self.packet_bytes.len();
        self.packet_bytes.extend_from_slice(bytes);
        Piece::Made(start..self.packet_bytes.len())
    }

    /// A piece with what follows the header of a packet, which lies `at` in what was received, or is copied.
    pub(crate) fn push_payload(&mut self, at: Option<usize>, packet: &[u8], header: usize) {
        let piece = match at {
            Some(at) => Piece::Received(at + header..at + packet.len()),
            None => self.copy(&packet[header..]),
        };
        self.pieces.push(piece);
    }

    /// A packet of the pieces from `start` on.
    pub(crate) fn push_packet(&mut self, start: usize, offload: Offload) {
        let pieces = start..self.pieces.len();
        self.packets.push(Delivery { pieces, offload });
    }

    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
            && self.packets.is_empty()
            && self.handed.is_empty()
            && self.events.is_empty()
    }
}
