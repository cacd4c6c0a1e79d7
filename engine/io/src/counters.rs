//! What the shell itself counts: where the kernel or a full queue lost something, and which offloads were given up. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

/// Totals since the start of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShellCounters {
    /// Packets from the TUN whose offload header does not fit them.
    pub tun_malformed: u64,
    /// Packets that the TUN did not take.
    pub tun_refused: u64,
    /// Datagrams longer than the underlay's next link carries.
    pub udp_too_big: u64,
    /// Datagrams that the kernel refused for another reason (no route, filtered, interface down).
    pub udp_refused: u64,
    /// Datagrams given up because the socket stayed full.
    pub udp_send_overflow: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub udp_receive_overflow: u64,
    /// Datagrams cut short on receipt.
    pub udp_truncated: u64,
    /// Packets that were given to shard 0 to carry.
    pub handed_over: u64,
    /// Those of them that found no room there.
    pub handover_overflow: u64,
    /// Events that nobody fetched in time.
    pub events_dropped: u64,
    /// Sockets that gave up segmented sends after the kernel failed at them.
    pub udp_gso_step_downs: u64,
    /// Queues that gave up handing super-packets to the TUN after the kernel failed at them.
    pub tun_segmentation_step_downs: u64,
    /// The same of super-packets of UDP.
    pub tun_udp_segmentation_step_downs: u64,
}

impl ShellCounters {
    /// Adds the drops, by reason, to those of the node.
    pub(crate) fn merge_into(&self, drops: &mut BTreeMap<&'static str, u64>) {
        let reasons = [
            ("tun_malformed", self.tun_malformed),
            ("tun_refused", self.tun_refused),
            ("udp_too_big", self.udp_too_big),
            ("udp_refused", self.udp_refused),
            ("udp_send_overflow", self.udp_send_overflow),
            ("udp_receive_overflow", self.udp_receive_overflow),
            ("udp_truncated", self.udp_truncated),
            ("handover_overflow", self.handover_overflow),
        ];
        drops.extend(reasons.into_iter().filter(|(_, count)| *count > 0));
    }
}
