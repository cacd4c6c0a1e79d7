//! Ingress, first stage: whose an inner packet is, and its class of service. Pure.

use overlayd_wire::{Budget, InnerPacket};

use crate::advise;
use crate::node::Packet;
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

/// The class of the first classifier that matches in all its given fields; else the first class.
fn class_of(classifiers: &[Classifier], packet: &InnerPacket<'_>) -> u8 {
    classifiers
        .iter()
        .find(|rule| matches(rule, packet))
        .map_or(0, |rule| rule.class)
}

fn matches(rule: &Classifier, packet: &InnerPacket<'_>) -> bool {
    let port_matches = |port| {
        packet
            .ports()
            .is_some_and(|(source, destination)| port == source || port == destination)
    };
    rule.dscp.is_none_or(|dscp| dscp == packet.dscp())
        && rule
            .protocol
            .is_none_or(|protocol| protocol == packet.protocol())
        && rule.port.is_none_or(port_matches)
        && rule.prefix.is_none_or(|prefix| {
            prefix.contains(packet.source()) || prefix.contains(packet.destination())
        })
}
