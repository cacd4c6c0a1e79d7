//! Ingress, first stage: whose an inner packet is, and its class of service. Pure.

use std::net::IpAddr;

use overlayd_wire::{Budget, InnerPacket};

use crate::advise;
use crate::packet::Packet;
use crate::snapshot::Classifier;
use crate::tables::Owner;
use crate::{DropReason, Node};

/// What the later stages need to know of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Place of the peer that has the destination.
    pub(crate) peer: usize,
    pub(crate) class: u8,
    pub(crate) budget: Budget,
    pub(crate) ecn: u8,
    /// It opens a TCP connection.
    pub(crate) opens: bool,
}

impl Node {
    pub(crate) fn classify(&self, packet: &Packet<'_>) -> Result<Flow, DropReason> {
        let view = InnerPacket::parse(packet.bytes)?;
        if self.tables.owner(view.source()) != Some(Owner::Here) {
            return Err(DropReason::ForeignSource);
        }
        let Some(Owner::Peer(id)) = self.tables.owner(view.destination()) else {
            return Err(DropReason::NoOwner);
        };
        let class = class_of(self.tables.classifiers(view.dscp()), &view);
        let deadline = self
            .policies
            .get(usize::from(class))
            .and_then(|policy| policy.deadline);
        Ok(Flow {
            peer: self.peer_place(id).ok_or(DropReason::NoOwner)?,
            class,
            budget: Budget::from_ns(deadline),
            ecn: view.ecn(),
            opens: advise::opens(&view, packet.bytes),
        })
    }
}

/// The same for all packets of a flow, and hardly for two flows. Fragments of a packet count as a flow without ports.
pub(crate) fn flow_hash(packet: &[u8]) -> u32 {
    InnerPacket::parse(packet).map_or(0, |view| hash_of(&view))
}

/// The same of a packet that was parsed.
pub(crate) fn hash_of(view: &InnerPacket<'_>) -> u32 {
    let addresses = match (view.source(), view.destination()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            u128::from(from.to_bits()) << 64 | u128::from(to.to_bits())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => from.to_bits() ^ to.to_bits().rotate_left(64),
        _ => 0,
    };
    let (from, to) = view.ports().unwrap_or_default();
    let rest = u64::from(from) << 32 | u64::from(to) << 16 | u64::from(view.protocol());
    hash(&[addresses as u64, (addresses >> 64) as u64, rest])
}

/// Mixes words (the finish of splitmix64 after each).
pub(crate) fn hash(words: &[u64]) -> u32 {
    let mixed = words.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, word| {
        let state = (state ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let state = (state ^ state >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^ state >> 31
    });
    (mixed >> 32) as u32
}

/// The class of the first classifier that matches in all its given fields; else the first class.
fn class_of(classifiers: &[Classifier], packet: &InnerPacket<'_>) -> u8 {
    classifiers
        .iter()
        .find(|rule| matches(rule, packet))
        .map_or(0, |rule| rule.class)
}

fn matches(rule: &Classifier, packet: &InnerPacket<'_>) -> bool {
    let ports = packet.ports();
    let port_matches = |port| ports.is_some_and(|(from, to)| port == from || port == to);
    rule.dscp.is_none_or(|dscp| dscp == packet.dscp())
        && rule
            .protocol
            .is_none_or(|protocol| protocol == packet.protocol())
        && rule.port.is_none_or(port_matches)
        && rule.prefix.is_none_or(|prefix| {
            prefix.contains(packet.source()) || prefix.contains(packet.destination())
        })
        && rule
            .source
            .is_none_or(|prefix| prefix.contains(packet.source()))
        && rule
            .destination
            .is_none_or(|prefix| prefix.contains(packet.destination()))
        && rule
            .source_port
            .is_none_or(|port| ports.is_some_and(|(from, _)| port == from))
        && rule
            .destination_port
            .is_none_or(|port| ports.is_some_and(|(_, to)| port == to))
}
