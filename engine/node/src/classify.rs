//! Ingress, first stage: the class of service of an inner packet. Pure.

use overlayd_wire::InnerPacket;

use crate::snapshot::Classifier;

/// The class of the first classifier that matches in all its given fields; else the first class.
pub(crate) fn class_of(classifiers: &[Classifier], packet: &InnerPacket<'_>) -> u8 {
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
