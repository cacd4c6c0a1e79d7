//! Totals of one node since its start. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{DropReason, Nanos};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub packets_in: u64,
    pub packets_out: u64,
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    pub relayed: u64,
    /// Packets sent although no path to their destination was alive.
    pub stranded: u64,
    /// Packets that got a mark of congestion here or under way, and bear it to their destination.
    pub congestion_marks: u64,
    /// Senders of inner packets that were told by ICMP what fits.
    pub advised: u64,
    /// Packets that waited at the egress for others of their flow, and gaps that nothing filled in time.
    pub order_waited: u64,
    pub order_given_up: u64,
    pub probing: Probing,
    /// By name of the `DropReason`.
    pub drops: BTreeMap<&'static str, u64>,
}

/// What this node spends on probes; bytes are those of IP packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Probing {
    /// Probes, their padding and answers so far.
    pub bytes: u64,
    /// In the last second, and what a second may have.
    pub rate: u64,
    pub budget: u64,
    /// Between two probes of what is in use, and of an idle link, as the budget allows now.
    pub in_use_ns: Nanos,
    pub idle_ns: Nanos,
}

/// What the packet path counts in; no allocation.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) datagrams_in: u64,
    pub(crate) datagrams_out: u64,
    pub(crate) relayed: u64,
    pub(crate) stranded: u64,
    pub(crate) congestion_marks: u64,
    pub(crate) advised: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            packets_in: 0,
            packets_out: 0,
            datagrams_in: 0,
            datagrams_out: 0,
            relayed: 0,
            stranded: 0,
            congestion_marks: 0,
            advised: 0,
            drops: [0; DropReason::ALL.len()],
        }
    }
}

impl Tally {
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    pub(crate) fn drop_many(&mut self, reason: DropReason, count: u64) {
        self.drops[reason as usize] += count;
    }

    pub(crate) fn drops(&self) -> &[u64] {
        &self.drops
    }

    pub(crate) fn counters(&self) -> Counters {
        let drops = DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), self.drops[*reason as usize]));
        Counters {
            packets_in: self.packets_in,
            packets_out: self.packets_out,
            datagrams_in: self.datagrams_in,
            datagrams_out: self.datagrams_out,
            relayed: self.relayed,
            stranded: self.stranded,
            congestion_marks: self.congestion_marks,
            advised: self.advised,
            order_waited: 0,
            order_given_up: 0,
            probing: Probing::default(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
        }
    }
}
