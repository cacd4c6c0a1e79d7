//! Totals of one node since its start. Pure.

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub packets_in: u64,
    pub packets_out: u64,
    pub datagrams_in: u64,
    pub datagrams_out: u64,
    pub relayed: u64,
    /// By name of the `DropReason`.
    pub drops: std::collections::BTreeMap<&'static str, u64>,
}
